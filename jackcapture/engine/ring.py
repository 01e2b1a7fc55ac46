"""A stream's ring in shared memory, seen from the engine's Python threads.

Layout and ownership of each field: rt_core.h. The file outlives the process, so that what was captured can be
recovered after a crash.
"""

import ctypes
import errno
import mmap
import os
import resource
from dataclasses import dataclass
from typing import Any

from jackcapture.engine._rt import ffi, lib
from jackcapture.errors import StorageDamagedError, StorageFullError
from jackcapture.model.streams import SampleFormat
from jackcapture.model.takes import GapCause

_SAMPLE_FORMATS = {SampleFormat.F32: lib.JC_F32, SampleFormat.I24: lib.JC_I24, SampleFormat.I16: lib.JC_I16}
_CAUSES = {
    lib.JC_GAP_XRUN: GapCause.XRUN,
    lib.JC_GAP_RING_OVERFLOW: GapCause.RING_OVERFLOW,
    lib.JC_GAP_SERVER_DOWN: GapCause.SERVER_DOWN,
    lib.JC_GAP_MIDI_LOST: GapCause.MIDI_LOST,
    lib.JC_GAP_ENGINE_DIED: GapCause.ENGINE_DIED,
}


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where the frames of a next client go on: the 64-bit JACK frame of an earlier one at a time of JACK's, in µs.

    `counter` is JACK's 32-bit frame counter (with the test offset) there, None if the server was another; it may have
    been unless that `is_certain`.
    """

    frame: int
    monotonic_us: int
    counter: int | None
    is_certain: bool = True


START_MARGIN_FRAMES = 32768
"""How much of an audio ring a start must leave alone: the callback may be overwriting it at that moment."""

MIDI_RING_BYTES = 1 << 21
"""More than 100,000 short messages, ten seconds of three thousand at a time that a MIDI cable cannot carry."""


@dataclass(frozen=True, slots=True)
class RingGap:
    """Frames that were lost, from a 64-bit JACK frame on, after `delivered` frames (audio) or bytes (MIDI)."""

    frame: int
    frames: int
    delivered: int
    cause: GapCause

    @property
    def end_frame(self) -> int:
        """The frame after the last lost one."""
        return self.frame + self.frames


def ring_capacity(seconds: float, sample_rate: int) -> int:
    """Give the frames of an audio ring for at least `seconds`: a power of two, with room for the margin of a start."""
    frames = max(int(seconds * sample_rate), START_MARGIN_FRAMES) + START_MARGIN_FRAMES
    return int(1 << (frames - 1).bit_length())


class Ring:
    """One ring. Reading and consuming: writer thread only; the rest: any thread but JACK's.

    `channels` is 0 for MIDI. `capacity`, a power of two, counts frames of audio or bytes of MIDI records, and so do
    `delivered` and what is consumed.
    """

    def __init__(self, path: str, channels: int, capacity: int, sample_rate: int) -> None:
        """Create the file at `path`; raises `StorageFullError` if shared memory is full."""
        size = _ring_bytes(channels, capacity)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                # Allocated now: a page of a full tmpfs would be SIGBUS in the callback.
                os.posix_fallocate(descriptor, 0, size)
                self._use(path, channels, capacity, _mapped(descriptor, size))
            except OSError:
                os.unlink(path)
                raise
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
                raise
            raise _no_room(path, channels, size) from error
        kind = lib.JC_AUDIO if channels else lib.JC_MIDI
        lib.jc_ring_init(self.pointer, kind, channels or 1, capacity, sample_rate)

    @classmethod
    def open(cls, path: str) -> "Ring":
        """Map a ring that another engine has left; raises `StorageDamagedError` for what is none of this version."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise StorageDamagedError(f"the ring {path} cannot be opened: {error.strerror}", path=path) from error
        try:
            size = os.fstat(descriptor).st_size
            if size < lib.JC_RING_HEADER_BYTES:
                raise StorageDamagedError(f"the ring {path} has {size} bytes: it is cut off", path=path)
            ring = cls.__new__(cls)
            ring._use(path, 0, 0, _mapped(descriptor, size))
        finally:
            os.close(descriptor)
        head = ring.pointer
        channels = int(head.channels) if head.kind == lib.JC_AUDIO else 0
        ring.channels, ring.capacity = channels, int(head.capacity)
        is_sound = head.magic == lib.JC_RING_MAGIC and head.version == lib.JC_RING_VERSION
        if not is_sound or ring.capacity.bit_count() != 1 or size != _ring_bytes(channels, ring.capacity):
            ring.close(unlink=False)
            raise StorageDamagedError(f"the ring {path} is none of this version of jackcapture", path=path)
        return ring

    def _use(self, path: str, channels: int, capacity: int, mapped: mmap.mmap) -> None:
        self.path = path
        self.channels = channels
        self.capacity = capacity
        self._map = mapped
        self._buffer = ffi.from_buffer(self._map, require_writable=True)
        self.pointer = ffi.cast("jc_ring *", self._buffer)
        self._gap_buffer = ffi.new("jc_gap[]", lib.JC_GAP_SLOTS)

    def lock_memory(self) -> str | None:
        """Keep the ring in memory; give a warning that names the limit where that is not allowed."""
        libc = ctypes.CDLL(None, use_errno=True)
        address = int(ffi.cast("uintptr_t", self._buffer))
        if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(self._map))) == 0:
            return None
        soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        return (
            f"could not lock {len(self._map)} bytes of ring memory ({os.strerror(ctypes.get_errno())}): the limit "
            f"'memlock' (ulimit -l) is {soft} bytes; raise it in /etc/security/limits.d"
        )

    @property
    def cycles(self) -> int:
        """JACK cycles since the stream was attached."""
        return int(lib.jc_ring_cycles(self.pointer))

    @property
    def first_frame(self) -> int:
        """The 64-bit JACK frame of the first delivered frame; valid once `cycles` is not 0."""
        return int(self.pointer.first_frame)

    @property
    def settled_frame(self) -> int:
        """The 64-bit JACK frame before which all is in the ring or in a gap; to be read before either."""
        return int(lib.jc_ring_settled_frame(self.pointer))

    @property
    def delivered(self) -> int:
        """What the callback has put in."""
        return int(lib.jc_ring_delivered(self.pointer))

    @property
    def next_frame(self) -> int:
        """The 64-bit JACK frame after the newest finished cycle."""
        return int(lib.jc_ring_next_frame(self.pointer))

    @property
    def fill(self) -> float:
        """How full the ring is, 0 to 1; of an audio ring 0 while nobody records."""
        if not self.pointer.guarded:
            return 0.0
        return min(1.0, (self.delivered - int(self.pointer.consumed)) / self.capacity)

    @property
    def moved_frame(self) -> int:
        """The 64-bit JACK frame before which all of the take that runs is in chunks."""
        return int(self.pointer.moved_frame)

    @property
    def consumed(self) -> int:
        """What was given back to the callback."""
        return int(self.pointer.consumed)

    @property
    def anchor(self) -> Anchor:
        """Where JACK was at the end of the newest cycle; valid once `cycles` is not 0."""
        head = self.pointer
        usecs = int(head.cycle_usecs) + int(head.cycle_frames) * 1_000_000 // int(head.sample_rate)
        return Anchor(int(head.next_frame), usecs, int(head.next_frame32), is_certain=False)

    def adopt(self, shared: Any) -> None:
        """Make whole what a dead engine has left; `shared`, a `jc_stream *`, goes on in it."""
        lib.jc_ring_adopt(self.pointer, shared)

    def known_gaps(self) -> list[RingGap]:
        """Give the newest gaps, taken or not, in order."""
        return self._gaps(lib.jc_ring_known_gaps(self.pointer, self._gap_buffer))

    def take_gaps(self) -> list[RingGap]:
        """Take the gaps since the last call."""
        return self._gaps(lib.jc_ring_take_gaps(self.pointer, self._gap_buffer, lib.JC_GAP_SLOTS))

    def _gaps(self, count: int) -> list[RingGap]:
        gaps = (self._gap_buffer[i] for i in range(count))
        return [RingGap(int(gap.frame), int(gap.frames), int(gap.delivered), _CAUSES[gap.cause]) for gap in gaps]

    def guard(self, consumed: int) -> None:
        """From now on keep all from `consumed` on."""
        lib.jc_ring_guard(self.pointer, consumed)

    def unguard(self) -> None:
        """From now on let the oldest frames of audio be overwritten."""
        lib.jc_ring_unguard(self.pointer)

    def consume(self, consumed: int, moved_frame: int) -> None:
        """Give what is before `consumed` back to the callback: all before `moved_frame` is in chunks, or not wanted."""
        lib.jc_ring_consume(self.pointer, consumed, moved_frame)

    def read(self, start: int, frames: int, sample_format: SampleFormat, address: int) -> int:
        """Write delivered frames [start, start + frames), interleaved, to `address`; gives how many samples clipped."""
        target = ffi.cast("void *", address)
        return int(lib.jc_ring_read(self.pointer, start, frames, _SAMPLE_FORMATS[sample_format], target))

    def close(self, *, unlink: bool = True) -> None:
        """Unmap, and remove the file. The callback must have passed two cycles without the stream."""
        self.pointer = ffi.NULL
        ffi.release(self._buffer)
        self._map.close()
        if unlink:
            os.unlink(self.path)


def _ring_bytes(channels: int, capacity: int) -> int:
    return int(lib.JC_RING_HEADER_BYTES) + (channels * capacity * 4 or capacity)


def _no_room(path: str, channels: int, size: int) -> StorageFullError:
    directory = os.path.dirname(path)
    what = f"{channels} channels" if channels else "a MIDI stream"
    space = os.statvfs(directory)
    free = space.f_bavail * space.f_frsize
    return StorageFullError(
        f"the ring of {what} needs {size} bytes of shared memory in {directory}, where {free} are free; make it "
        "larger or shorten ring_seconds",
        path=path,
        bytes_needed=size,
        bytes_free=free,
    )


def _mapped(descriptor: int, size: int) -> mmap.mmap:
    return mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
