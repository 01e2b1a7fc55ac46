"""Checks of the disk that the store lies on: what kind it is, its room, its speed against what the streams bring."""

import os
import tempfile
import time
from dataclasses import dataclass

from jackcapture.doctor.circumstances import Circumstances
from jackcapture.doctor.findings import Finding, Severity

PIECE_BYTES = 1 << 20
TEST_BYTES = 64 << 20
TEST_SECONDS = 2.0
SYNCS = 16

_CHANNEL_BYTES = 48000 * 4
_MARGIN = 2.0  # what a disk should be faster than the streams
_SLOW_SYNC_SECONDS = 0.5
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs", "afs", "glusterfs"}


@dataclass(frozen=True, slots=True)
class DiskSpeed:
    """Bytes a second that reach the disk, and seconds that the slowest of some small fsyncs took."""

    bytes_per_second: float
    slowest_sync_seconds: float


def check_file_system(circumstances: Circumstances) -> Finding:
    """Check that the store lies on a disk that keeps it."""
    place = existing(circumstances.root)
    kind = file_system_of(place)
    told = f"the store {circumstances.root} lies on {kind}"
    if kind in ("tmpfs", "ramfs"):
        return Finding(
            "file-system",
            Severity.WARNING,
            f"{told}, in memory: a restart of the machine ends it",
            "set root to a disk",
        )
    if kind in _REMOTE:
        return Finding(
            "file-system",
            Severity.WARNING,
            f"{told}, over a network: SQLite's locks and fsync are often not what they should be there",
            "record to a local disk, and copy afterwards (jackcapture session export)",
        )
    return Finding("file-system", Severity.OK, told)


def check_room(circumstances: Circumstances) -> Finding:
    """Check how long the room on the disk lasts, if all streams record."""
    space = os.statvfs(existing(circumstances.root))
    free = space.f_bavail * space.f_frsize
    rate = sum(it.bytes_per_second for it in circumstances.streams)
    if not rate:
        return Finding("room", Severity.OK, f"{free / 1e9:.1f} GB are free")
    hours = free / rate / 3600
    told = f"{free / 1e9:.1f} GB are free: {hours:.1f} h of all streams"
    if hours < 1:
        return Finding(
            "room", Severity.WARNING, told, "make room, or limit what is kept: jackcapture stream keep URI --keep 24h"
        )
    return Finding("room", Severity.OK, told)


def check_speed(circumstances: Circumstances) -> Finding:
    """Write to the store's disk, and compare with what the streams bring."""
    place = existing(circumstances.root)
    if not os.access(place, os.W_OK):
        return Finding(
            "disk-speed",
            Severity.PROBLEM,
            f"{place} cannot be written by this user",
            "give the user the folder (chown), or set root to another one",
        )
    try:
        speed = measure_disk(place)
    except OSError as error:
        return Finding("disk-speed", Severity.PROBLEM, f"{place} cannot be written: {error.strerror}", "see the disk")
    return judge_speed(speed, circumstances)


def judge_speed(speed: DiskSpeed, circumstances: Circumstances) -> Finding:
    """Say what a speed is worth for the streams that there are."""
    rate = sum(it.bytes_per_second for it in circumstances.streams)
    channels = int(speed.bytes_per_second / _MARGIN / _CHANNEL_BYTES)
    told = (
        f"{speed.bytes_per_second / 1e6:.0f} MB/s reach the disk, enough for {channels} channels (48 kHz, float) with "
        f"half of it to spare; the slowest fsync took {speed.slowest_sync_seconds * 1000:.0f} ms"
    )
    if rate:
        told += f"; the streams bring {rate / 1e6:.1f} MB/s"
    if rate * _MARGIN > speed.bytes_per_second:
        severity = Severity.PROBLEM if rate > speed.bytes_per_second else Severity.WARNING
        return Finding(
            "disk-speed", severity, told, "use a faster disk, fewer streams, or --format i24 or i16 for new streams"
        )
    if speed.slowest_sync_seconds > min(_SLOW_SYNC_SECONDS, circumstances.ring_seconds / 4):
        return Finding(
            "disk-speed",
            Severity.WARNING,
            told,
            "see what else writes to this disk (iotop); the rings bridge "
            f"{circumstances.ring_seconds:g} s (ring_seconds)",
        )
    return Finding("disk-speed", Severity.OK, told)


def measure_disk(folder: str) -> DiskSpeed:
    """Measure how fast a file in `folder` reaches the disk; it is removed again. Raises OSError."""
    space = os.statvfs(folder)
    size = min(TEST_BYTES, space.f_bavail * space.f_frsize // 10) // PIECE_BYTES * PIECE_BYTES
    piece = os.urandom(PIECE_BYTES)  # disks that compress must not gain by it
    written = 0
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        began = time.monotonic()
        while written < max(size, PIECE_BYTES) and time.monotonic() - began < TEST_SECONDS:
            file.write(piece)
            written += PIECE_BYTES
        os.fdatasync(file.fileno())
        seconds = time.monotonic() - began
        slowest = 0.0
        for number in range(SYNCS):
            before = time.monotonic()
            os.pwrite(file.fileno(), piece[:4096], number * PIECE_BYTES % written)
            os.fsync(file.fileno())
            slowest = max(slowest, time.monotonic() - before)
    return DiskSpeed(written / max(seconds, 1e-9), slowest)


def existing(path: str) -> str:
    """Give the nearest folder above a path that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def file_system_of(path: str) -> str:
    """Give the type of the file system that a path lies on, by /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    device = os.stat(path).st_dev
    wanted, found = f"{os.major(device)}:{os.minor(device)}", "an unknown file system"
    real, longest = os.path.realpath(path), -1
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            numbers, point = before.split()[2], before.split()[4].encode().decode("unicode_escape")
            if numbers == wanted:
                return after.split()[0]
            # btrfs and overlays show other device numbers in stat: the innermost mount is theirs.
            if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) > longest:
                longest, found = len(point), after.split()[0]
    return found
