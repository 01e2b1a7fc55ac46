"""The command line as processes of their own that need not import it: each is forked from one that has done so.

Tests run hundreds of commands, and a Python that imports the command line and the client takes half a second of a
processor. What differs from a fresh process is that half second, and that no import can be forgotten:
tests/integration/test_command_line.py has fresh ones.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from parts.jackd import dying_with_us

PATIENCE = 60.0
"""Seconds that a command may take."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


class CommandLine:
    """The process that is forked, as a context manager; started when it is first needed. One thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()  # it ends when nothing more can come
            self._process = None

    def run(self, arguments: list[str], environment: dict[str, str]) -> Done:
        """Run a command to its end."""
        if self._process is None:
            self._process = subprocess.Popen(
                [*dying_with_us(), sys.executable, "-c", "from parts.command_line import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[1],
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory(prefix="jct-") as folder:
            out, err = f"{folder}/out", f"{folder}/err"
            request = {"arguments": arguments, "environment": environment, "cwd": os.getcwd(), "out": out, "err": err}
            try:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
                if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
                    raise TimeoutError(f"{arguments} is not done in {PATIENCE:g} s")
                status = int(self._process.stdout.readline())
            except BaseException:  # its answer must not be taken for that of the next command
                self._process.kill()
                self._process.communicate()
                self._process = None
                raise
            return Done(status, Path(out).read_text(), Path(err).read_text())


def serve() -> None:
    """Fork a process for each request on standard input; answer with its exit status."""
    import jackcapture.cli.main  # here: the process that asks has no use for them
    import jackcapture.client
    from jackcapture.settings import load_settings

    load_settings({}, {})  # and what it imports when it is called
    libc = ctypes.CDLL(None)

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            _become(jackcapture.cli.main.main, json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(main: Any, request: dict[str, Any]) -> None:
    """Be the command: does not return."""
    status: Any = 1
    try:
        for number, path, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, request["out"], os.O_WRONLY | os.O_CREAT),
            (2, request["err"], os.O_WRONLY | os.O_CREAT),
        ):
            descriptor = os.open(path, flags, 0o600)
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = ["jackcapture", *request["arguments"]]
        main()
        status = 0
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)
