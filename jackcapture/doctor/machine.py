"""Checks of the machine: the processors' governor, the clock, the folder of the sockets."""

import ctypes
import os
import stat
from collections import Counter
from pathlib import Path

from jackcapture.doctor.circumstances import Circumstances
from jackcapture.doctor.findings import Finding, Severity

_PROCESSORS = "/sys/devices/system/cpu"
_SAVING = {"powersave", "conservative"}

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_STA_UNSYNC = 0x40


def check_governor(_: Circumstances, processors: str = _PROCESSORS) -> Finding:
    """Check that the processors do not sleep on the job."""
    found: Counter[str] = Counter()
    drivers = set()
    for folder in Path(processors).glob("cpu[0-9]*/cpufreq"):
        try:
            found[(folder / "scaling_governor").read_text().strip()] += 1
            drivers.add((folder / "scaling_driver").read_text().strip())
        except OSError:
            continue
    if not found:
        return Finding("cpu-governor", Severity.OK, "the processors' frequency is not this system's to set")
    told = "governors: " + ", ".join(f"{name} ({count})" for name, count in sorted(found.items()))
    # With the drivers of newer processors powersave only prefers, and the hardware is quick to speed up.
    is_quick = drivers <= {"intel_pstate", "amd-pstate-epp", "amd_pstate_epp"}
    if found.keys() & _SAVING and not is_quick:
        return Finding(
            "cpu-governor",
            Severity.WARNING,
            f"{told}: a processor that is slow to speed up misses JACK's deadlines at small periods",
            "sudo cpupower frequency-set -g performance",
        )
    return Finding("cpu-governor", Severity.OK, told)


class _Timex(ctypes.Structure):
    """The head of struct timex of adjtimex(2), with room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def check_clock(_: Circumstances) -> Finding:
    """Check that the wall clock is kept right by something."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))  # modes 0: only reads
    if state < 0:
        return Finding("clock", Severity.NOTE, f"the clock's state is not told: {os.strerror(ctypes.get_errno())}")
    return judge_clock(state, int(timex.status), int(timex.maxerror))


def judge_clock(state: int, status: int, max_error_us: int) -> Finding:
    """Say what adjtimex(2) told."""
    if state == _TIME_ERROR or status & _STA_UNSYNC:
        return Finding(
            "clock",
            Severity.WARNING,
            "the wall clock is not synchronised: times of takes are this machine's own, and drift",
            "sudo timedatectl set-ntp true, or install chrony",
        )
    return Finding("clock", Severity.OK, f"the wall clock is synchronised, off by {max_error_us / 1000:.0f} ms at most")


def check_runtime(circumstances: Circumstances) -> Finding:
    """Check that the folder of the sockets is this user's alone."""
    runtime = circumstances.runtime
    try:
        found = os.lstat(runtime)
    except FileNotFoundError:
        return Finding("runtime", Severity.OK, f"{runtime} will be made for this user alone")
    except OSError as error:
        return Finding("runtime", Severity.PROBLEM, f"{runtime}: {error.strerror}", "set runtime to another folder")
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or mode != stat.S_IRWXU:
        return Finding(
            "runtime",
            Severity.PROBLEM,
            f"{runtime} belongs to user {found.st_uid} and has mode {mode:04o}: control refuses a folder that is not "
            "its user's alone",
            f"remove it, or chmod 700 {runtime}, as its owner",
        )
    return Finding("runtime", Severity.OK, f"{runtime} is this user's alone")
