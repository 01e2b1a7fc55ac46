"""Child processes: started apart from the terminal, ended by process id."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

POLL_INTERVAL = 0.01


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    output: IO[Any] | int | None = None,
    result: IO[Any] | int | None = None,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own, so that a terminal's interrupt reaches only whoever started it.

    What it writes goes to `output` (our standard error unless given: standard output is for our own results); its
    standard output goes to `result` if that is given. It has the descriptors `pass_fds`.
    """
    output = sys.stderr.fileno() if output is None else output
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output if result is None else result,
        stderr=output,
        env=None if environment is None else dict(environment),
        start_new_session=True,
        pass_fds=pass_fds,
    )


def end(process: "subprocess.Popen[bytes]", patience: float) -> int:
    """End a child with SIGTERM, after `patience` seconds with SIGKILL; gives its exit status."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def is_alive(pid: int) -> bool:
    """Tell whether a process that may be no child of ours runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in (b"Z", b"X")


def end_pid(pid: int, patience: float) -> None:
    """End a process that may be no child of ours, as `end` does."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(POLL_INTERVAL)
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
