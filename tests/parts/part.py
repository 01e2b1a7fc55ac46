"""A part of its own in C (see part.h): a process that says `ready`, answers line by line, and ends with its test."""

import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from parts.jackd import JackServer


class Part:
    """A running part, as a context manager.

    `server` is a JackServer, a server's name, or None for libjack's default. `name` is the client's name.
    """

    def __init__(
        self,
        program: Path,
        server: JackServer | str | None,
        name: str,
        options: list[str],
        *,
        patience: float = 10.0,
    ) -> None:
        self.name = name
        self.command = [str(program), "--name", name, *options]
        if server is not None:
            self.command += ["--server", server.name if isinstance(server, JackServer) else server]
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._returncode: int | None = None
        self._said = b""
        self._last_words: list[str] = []

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError when the part was not started or was stopped."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def last_words(self) -> list[str]:
        """The lines that the part printed as it ended; none before."""
        return list(self._last_words)

    def start(self) -> Self:
        """Start the part and return when JACK calls it.

        Raises RuntimeError, with what the part said, when it does not come to that.
        """
        if self._process is not None:
            raise RuntimeError(f"{self.name} runs already")
        self._returncode = None
        self._said = b""
        self._last_words = []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process: closed by wait
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        try:
            said = self._line(self._patience)
            if said != "ready":
                raise RuntimeError(f"it said {said!r} in place of ready: {' '.join(self.command)}")
        except BaseException:
            self.kill()
            raise
        return self

    def ask(self, line: str, *, patience: float | None = None) -> str:
        """Say one line and return the one line that answers it.

        Raises RuntimeError when the answer is an error, or when none comes, with what the part said.
        """
        stdin = self._running().stdin
        assert stdin is not None
        try:
            os.write(stdin.fileno(), line.encode() + b"\n")
        except BrokenPipeError:
            raise RuntimeError(self._trouble(f"{self.name} does not hear {line!r}")) from None
        said = self._line(self._patience if patience is None else patience)
        if said.startswith("error "):
            raise RuntimeError(f"{self.name} to {line!r}: {said.removeprefix('error ')}")
        return said

    def wait(self, patience: float = 10.0) -> int:
        """Wait for the part to end by itself; return its exit status. Raises subprocess.TimeoutExpired."""
        if self._process is None:
            if self._returncode is None:
                raise RuntimeError(f"{self.name} was not started")
            return self._returncode
        self._returncode = self._process.wait(patience)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._last_words = (self._said + self._process.stdout.read()).decode().splitlines()
        self._process.stdout.close()
        self._errors.close()
        self._process = None
        return self._returncode

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the part."""
        self._running().send_signal(number)

    def close_stdin(self) -> None:
        """Close the part's standard input, which asks it to end."""
        stdin = self._running().stdin
        assert stdin is not None
        stdin.close()

    def stop(self) -> None:
        """End the part, if it still runs (SIGTERM; SIGKILL when it does not obey)."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the part with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process

    def _line(self, patience: float) -> str:
        """The next line that the part prints. Raises RuntimeError when it does not print one in time."""
        stdout = self._running().stdout
        assert stdout is not None
        deadline = time.monotonic() + patience
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        while b"\n" not in self._said:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise RuntimeError(self._trouble(f"{self.name} has not answered in {patience:g} s"))
            read = os.read(stdout.fileno(), 4096)
            if not read:
                raise RuntimeError(self._trouble(f"{self.name} has ended"))
            self._said += read
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()

    def _trouble(self, what: str) -> str:
        """`what`, with the command and all that it wrote to its standard error."""
        size = os.fstat(self._errors.fileno()).st_size
        errors = os.pread(self._errors.fileno(), size, 0).decode(errors="replace")
        return f"{what}: {' '.join(self.command)} (printed {self._said!r})\n{errors}"


def counts(line: str) -> dict[str, int]:
    """An answer like `emitted 3 refused 0` as a dict."""
    words = line.split()
    return {word: int(number) for word, number in zip(words[::2], words[1::2], strict=True)}
