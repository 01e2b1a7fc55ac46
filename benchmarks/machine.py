"""What the figures were measured on, and whether there is room to measure."""

import os
import platform
import shutil
from pathlib import Path

_RESERVE_BYTES = 1 << 30


def describe(folder: Path) -> dict[str, str | int | float]:
    """Describe the machine, as far as the figures depend on it, without its name."""
    return {
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "kernel": platform.release().split("-")[0],
        "architecture": platform.machine(),
        "file_system": _file_system(folder),
        "python": platform.python_version(),
    }


def check_room(folder: Path, needed: int) -> None:
    """Raise RuntimeError, with what is needed, unless the disk of a folder has so many bytes and some to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + _RESERVE_BYTES:
        raise RuntimeError(
            f"{folder} has {free / 1e9:.1f} GB free; this needs {(needed + _RESERVE_BYTES) / 1e9:.1f} GB: make room, "
            "or name another folder with --folder"
        )


def _file_system(folder: Path) -> str:
    """Give the type of the file system that a folder lies on."""
    path, found = os.path.realpath(folder), ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if path == mount or path.startswith(mount.rstrip("/") + "/"):
            found = max(found, (mount, kind), key=lambda it: len(it[0]))
    return found[1]
