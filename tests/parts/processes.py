"""Finds the processes that a test run started, also those that have detached themselves from it."""

import os
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MARK = "JACKCAPTURE_TEST_RUN"
"""The variable that marks every process of one test run: daemons shed parents, not their environment."""

_KEEPS_TO_ITS_PARENT = b"multiprocessing.resource_tracker"
"""Python's own helper: started once, unseen, and ended together with the interpreter that it belongs to."""


@dataclass(frozen=True)
class Process:
    """A process as /proc shows it."""

    pid: int
    parent: int
    command: str
    marked: bool


def new_run() -> str:
    """Mark this process's environment, and so all children to come, with a fresh run; return the mark."""
    run = uuid.uuid4().hex
    os.environ[MARK] = run
    return run


def of_run(run: str) -> list[Process]:
    """The living processes, without this one, that carry the mark `run` or descend from this process."""
    everything = {process.pid: process for process in _all(f"{MARK}={run}")}
    own = os.getpid()

    def descends(process: Process) -> bool:
        seen = set()
        while process.parent != own:
            seen.add(process.pid)
            if process.parent not in everything or process.parent in seen:
                return False
            process = everything[process.parent]
        return True

    return [p for p in everything.values() if p.pid != own and (p.marked or descends(p))]


def with_variable(name: str, value: str) -> list[Process]:
    """The living processes, without this one, whose environment has this variable with this value."""
    return [process for process in _all(f"{name}={value}") if process.marked and process.pid != os.getpid()]


def still_there(look: Callable[[], list[Process]], patience: float) -> list[Process]:
    """What `look` still finds after at most `patience` seconds (for processes that are about to end)."""
    deadline = time.monotonic() + patience
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def end(processes: list[Process]) -> None:
    """Kill these processes, and no others: each by its id."""
    for process in processes:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _all(variable: str) -> list[Process]:
    mark = variable.encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            status = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
            environment = _environment(folder)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if status[0] in "ZX" or _KEEPS_TO_ITS_PARENT in command:
            continue
        words = command.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        found.append(Process(int(folder.name), int(status[1]), words, mark in environment))
    return found


def _environment(folder: Path) -> list[bytes]:
    try:
        return (folder / "environ").read_bytes().split(b"\0")
    except PermissionError:
        return []  # somebody else's, hence not ours
