"""Checks of what the kernel grants: real-time priority, locked memory, shared memory, open files."""

import contextlib
import os
import resource
from pathlib import Path

from jackcapture.doctor.circumstances import Circumstances
from jackcapture.doctor.disks import existing, file_system_of
from jackcapture.doctor.findings import Finding, Severity

WANTED_PRIORITY = 20
"""Real-time priority that JACK's clients get by default is 5, its server's 10; some set-ups use up to 20."""

WANTED_FILES = 1024

WANTED_SHARED_BYTES = 32 << 20
"""What the rings of eight channels take by default."""

_LIMITS_REMEDY = (
    "copy contrib/limits.d/jackcapture.conf to /etc/security/limits.d/, join the group audio "
    "(sudo usermod -aG audio $USER) and log in again; a systemd unit needs LimitRTPRIO=95 and LimitMEMLOCK=infinity"
)
_REAL_TIME = (os.SCHED_FIFO, os.SCHED_RR)


def check_priority(_: Circumstances) -> Finding:
    """Check that threads may have real-time priority."""
    limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    if limit == resource.RLIM_INFINITY or limit >= WANTED_PRIORITY or _may_set_any_priority():
        granted = "any" if limit == resource.RLIM_INFINITY or _may_set_any_priority() else str(limit)
        return Finding("rtprio", Severity.OK, f"real-time priority is granted: {granted}")
    if limit > 0:
        return Finding(
            "rtprio",
            Severity.WARNING,
            f"real-time priorities up to {limit} are granted; JACK set-ups use up to {WANTED_PRIORITY}",
            _LIMITS_REMEDY,
        )
    return Finding(
        "rtprio",
        Severity.PROBLEM,
        "no real-time priority is granted (RLIMIT_RTPRIO is 0): whatever else runs delays the process callback",
        _LIMITS_REMEDY,
    )


def check_locked_memory(circumstances: Circumstances) -> Finding:
    """Check that the rings may be locked into memory."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    needed = ring_bytes(circumstances)
    if limit == resource.RLIM_INFINITY or os.geteuid() == 0:
        return Finding("memlock", Severity.OK, "memory may be locked without limit")
    if limit >= needed:
        return Finding("memlock", Severity.OK, f"{limit} bytes may be locked; the rings take {needed}")
    return Finding(
        "memlock",
        Severity.PROBLEM,
        f"{limit} bytes may be locked (RLIMIT_MEMLOCK), and the rings take {needed}: those that are swapped out cost "
        "a click",
        _LIMITS_REMEDY,
    )


def check_shared_memory(circumstances: Circumstances) -> Finding:
    """Check that the rings have room in shared memory."""
    place = existing(circumstances.ring_directory)
    space = os.statvfs(place)
    size, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    if file_system_of(place) not in ("tmpfs", "ramfs"):
        return Finding(
            "shared-memory",
            Severity.PROBLEM,
            f"the rings lie in {circumstances.ring_directory}, on a disk: when it stalls, so does the process callback",
            "set ring_directory to a folder in /dev/shm, or leave it out",
        )
    told = f"{place}: {free} of {size} bytes are free; the rings take {ring_bytes(circumstances)}"
    if free < WANTED_SHARED_BYTES:
        return Finding(
            "shared-memory",
            Severity.WARNING,
            f"{told}, and those of eight more channels may need {WANTED_SHARED_BYTES}",
            "make it larger (sudo mount -o remount,size=1G /dev/shm; with Docker --shm-size=1g), or set ring_seconds "
            f"below {circumstances.ring_seconds:g}",
        )
    return Finding("shared-memory", Severity.OK, told)


def check_open_files(_: Circumstances) -> Finding:
    """Check that there may be enough open files."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY or limit >= WANTED_FILES:
        return Finding("open-files", Severity.OK, f"{limit} files may be open")
    return Finding(
        "open-files",
        Severity.WARNING,
        f"only {limit} files may be open (RLIMIT_NOFILE); many streams and slices need up to {WANTED_FILES}",
        f"ulimit -n {WANTED_FILES}, or LimitNOFILE={WANTED_FILES} in the unit",
    )


def check_engine_threads(circumstances: Circumstances) -> Finding | None:
    """Check that the engine's JACK thread really has real-time priority."""
    pid = circumstances.engine_pid
    if pid is None or circumstances.jack is None:
        return None
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            found.append(os.sched_getscheduler(int(task.name)))
        except (ProcessLookupError, PermissionError):
            continue
    if any(policy & ~os.SCHED_RESET_ON_FORK in _REAL_TIME for policy in found):
        return Finding("engine-thread", Severity.OK, "the engine's JACK thread has real-time priority")
    return Finding(
        "engine-thread",
        Severity.PROBLEM,
        f"none of the engine's {len(found)} threads has real-time priority: its process callback is scheduled like any "
        "other work",
        "run JACK with real-time scheduling (jackd -R, the default), and see the finding rtprio",
    )


def ring_bytes(circumstances: Circumstances) -> int:
    """Give what the rings take that are there."""
    with contextlib.suppress(FileNotFoundError), os.scandir(circumstances.ring_directory) as entries:
        return sum(entry.stat().st_size for entry in entries)
    return 0


def _may_set_any_priority() -> bool:
    if os.geteuid() != 0:
        return False
    # Root in a container often may not: ask the kernel, and put back what was.
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, *before)
    return True
