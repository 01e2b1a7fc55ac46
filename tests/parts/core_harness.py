"""Runs the real-time core without JACK: cycles at chosen frames, from ports whose samples say where they belong.

Channel c (from 0) of frame f carries ((f * 4099 + c * 65537) mod 2^24 - 2^23) / 2^23: full scale, and exact in
float32 and in 24 bits.
"""

import itertools
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from jackcapture.engine import _rt
from jackcapture.engine.clock import EngineClock
from jackcapture.engine.ring import Ring, RingGap
from jackcapture.model.streams import SampleFormat
from jackcapture.model.takes import GapCause

ffi, lib = _rt.ffi, _rt.lib
Samples = npt.NDArray[np.float32]
RATE = 48_000


def samples_at(first_frame: int, frames: int, channels: int) -> Samples:
    """What the channels carry from a frame on: float32, shape (frames, channels)."""
    frame = np.arange(frames, dtype=np.int64)[:, np.newaxis] + first_frame % (1 << 32)
    channel = np.arange(channels, dtype=np.int64)[np.newaxis, :]
    return (((frame * 4099 + channel * 65537) % (1 << 24) - (1 << 23)) / (1 << 23)).astype(np.float32)


def as_stored(samples: npt.NDArray[np.floating[Any]], sample_format: SampleFormat) -> bytes:
    """The bytes of samples in a chunk, as numpy's `rint` and `clip` make them."""
    if sample_format is SampleFormat.F32:
        return samples.astype("<f4").tobytes()
    bits = 16 if sample_format is SampleFormat.I16 else 24
    full_scale = 2.0 ** (bits - 1)
    scaled = np.clip(np.rint(np.nan_to_num(samples.astype(np.float64)) * full_scale), -full_scale, full_scale - 1)
    whole = scaled.astype("<i4")
    return whole.view(np.uint8).reshape(*whole.shape, 4)[..., : bits // 8].tobytes()


class SteppedRing(Ring):
    """A ring that lets `between` run where the callback may get between two looks of the writer thread."""

    between: Callable[[], None] | None = None
    _lost = 0

    def take_gaps(self) -> list[RingGap]:
        self._step()
        gaps = super().take_gaps()
        for gap in gaps if self.channels else ():
            assert gap.frame == self.first_frame + gap.delivered + self._lost
            self._lost += gap.frames
        return gaps

    def guard(self, consumed: int) -> None:
        self._step()
        super().guard(consumed)
        self._step()

    def consume(self, consumed: int, moved_frame: int = 0) -> None:
        self._step()
        super().consume(consumed, moved_frame)

    def _step(self) -> None:
        if self.between is not None:
            self.between()


@dataclass
class Attached:
    """A stream of the core, and the truth about it: what it lost, as (first frame, frames, cause)."""

    slot: int
    ring: SteppedRing
    shared: Any
    ports: Any
    first_frame: int | None = None
    next_frame: int = 0
    lost: list[tuple[int, int, GapCause]] = field(default_factory=list)

    def note(self, frame: int, frames: int, *, is_delivered: bool) -> None:
        """Note one cycle: what was skipped before it, and whether its frames were kept."""
        if self.first_frame is None:
            self.first_frame = self.next_frame = frame
        if frame > self.next_frame:
            self._lose(self.next_frame, frame - self.next_frame, GapCause.XRUN)
        if not is_delivered:
            self._lose(frame, frames, GapCause.RING_OVERFLOW)
        self.next_frame = frame + frames

    def _lose(self, frame: int, frames: int, cause: GapCause) -> None:
        if self.lost and sum(self.lost[-1][:2]) == frame:  # goes on: one gap, named by what began it
            first, before, first_cause = self.lost[-1]
            self.lost[-1] = (first, before + frames, first_cause)
        else:
            self.lost.append((frame, frames, cause))

    def truth(self, start: int, end: int) -> Samples:
        """What a recording of the frames [start, end) must hold: lost frames are silence."""
        samples = samples_at(start, end - start, self.ring.channels)
        for frame, frames, _ in self.lost:
            samples[max(frame - start, 0) : max(frame + frames - start, 0)] = 0
        return samples

    def gaps(self, start: int, end: int) -> list[tuple[int, int, GapCause]]:
        """What of the frames [start, end) is lost."""
        parts = ((max(at, start), min(at + length, end), cause) for at, length, cause in self.lost)
        return [(at, to - at, cause) for at, to, cause in parts if at < to]


class CoreHarness:
    """A core, its fake libjack and its streams, as a context manager. `frame` is the next cycle's 64-bit frame."""

    def __init__(self, first_frame: int = 1000) -> None:
        self.frame = first_frame
        self.streams: list[Attached] = []
        self.clock_fails = False
        self.paused_us = 0
        # The state, then frame, valid, bar, beat, tick, bar_start_tick, beats_per_bar, beat_type, ticks_per_beat, bpm.
        self.transport: tuple[Any, ...] = (0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self.while_paused: Callable[[], None] | None = None
        self._jack_frame: int | None = None
        self._folder = tempfile.TemporaryDirectory()
        self._numbers = itertools.count()
        self._buffers: dict[int, Samples] = {}  # by port: (slot << 16) + channel + 1
        self.core = ffi.new("jc_core *")
        self._functions = (
            ffi.callback("uint32_t(void *)", self._last_frame_time),
            ffi.callback("int(void *, uint32_t *, uint64_t *, uint64_t *, float *)", self._cycle_times),
            ffi.callback("void *(void *, uint32_t)", self._port_buffer),
            ffi.callback("uint64_t(void)", self._now),
            ffi.callback("int(uint32_t)", self._pause),
            ffi.callback("uint32_t(void *, void *)", self._transport_query),
        )
        self.core.last_frame_time, self.core.get_cycle_times, self.core.port_get_buffer = self._functions[:3]
        self.core.get_time, self.core.pause, self.core.transport_query = self._functions[3:]
        self.core.sample_rate = RATE
        self.clock = EngineClock(self.core, self.microseconds, RATE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self.streams:
            stream.ring.close()
        self._folder.cleanup()

    @property
    def folder(self) -> Path:
        """A directory that lives as long as the harness."""
        return Path(self._folder.name)

    def microseconds(self) -> int:
        """JACK's time at `frame`."""
        return self.frame * 1_000_000 // RATE

    def attach(self, channels: int = 1, capacity: int = 256, slot: int | None = None) -> Attached:
        """Publish a new stream to the core."""
        place = len(self.streams) if slot is None else slot
        ring = SteppedRing(str(self.folder / f"{next(self._numbers)}.ring"), channels, capacity, RATE)
        ports = ffi.new("void *[]", [ffi.cast("void *", (place << 16) + c + 1) for c in range(channels)])
        shared = ffi.new("jc_stream *", {"ring": ring.pointer, "ports": ports})
        stream = Attached(place, ring, shared, ports)
        self.streams.append(stream)
        lib.jc_set_stream(self.core, place, shared)
        return stream

    def detach(self, stream: Attached) -> None:
        """Take a stream from the core."""
        lib.jc_set_stream(self.core, stream.slot, ffi.NULL)
        self.streams.remove(stream)
        stream.ring.close()

    def cycle(self, frames: int, *, skipped: int = 0, jack_frame: int | None = None, source: Any = None) -> None:
        """Run one JACK cycle, after `skipped` frames that JACK lost.

        `jack_frame` is what JACK says in place of the true frame, `source` (float32, shape (frames, channels)) what
        the ports carry in place of the frames' own samples.
        """
        self.frame += skipped
        self._jack_frame = jack_frame
        for stream in self.streams:
            samples = samples_at(self.frame, frames, stream.ring.channels) if source is None else source
            for channel in range(stream.ring.channels):
                self._buffers[(stream.slot << 16) + channel + 1] = np.ascontiguousarray(samples[:, channel])
        before = [stream.ring.delivered for stream in self.streams]
        assert lib.jc_process(frames, self.core) == 0
        for stream, delivered in zip(self.streams, before, strict=True):
            grown = stream.ring.delivered - delivered
            assert grown in (0, frames)
            stream.note(self.frame, frames, is_delivered=grown == frames)
        self.frame += frames

    def _last_frame_time(self, _client: Any) -> int:
        return (self.frame if self._jack_frame is None else self._jack_frame) % (1 << 32)

    def _cycle_times(self, _client: Any, frames: Any, now: Any, then: Any, period: Any) -> int:
        frames[0], now[0], then[0], period[0] = self.frame % (1 << 32), self.microseconds(), 0, 0.0
        return -1 if self.clock_fails else 0

    def _transport_query(self, _client: Any, position: Any) -> int:
        ffi.memmove(position, struct.pack("<QQIIIiiidffdd", 0, 0, RATE, *self.transport[1:]), 72)
        return int(self.transport[0])

    def _now(self) -> int:
        return self.microseconds() + self.paused_us

    def _pause(self, microseconds: int) -> int:
        self.paused_us += microseconds
        if self.while_paused is not None:
            self.while_paused()
        return 0

    def _port_buffer(self, port: Any, _frames: int) -> Any:
        return ffi.cast("void *", self._buffers[int(ffi.cast("uintptr_t", port))].ctypes.data)


def taken(ring: Ring) -> list[tuple[int, int, GapCause]]:
    """Take a ring's gaps, as (delivered before it, frames, cause)."""
    return [(gap.delivered, gap.frames, gap.cause) for gap in ring.take_gaps()]


def read(ring: Ring, start: int, frames: int, sample_format: SampleFormat = SampleFormat.F32) -> tuple[bytes, int]:
    """Delivered frames [start, start + frames) as they would lie in a chunk, and how many samples clipped."""
    size = frames * ring.channels * sample_format.sample_bytes
    guard = b"\xa5" * 16
    target = bytearray(size) + guard
    buffer = ffi.from_buffer(target, require_writable=True)
    clipped = ring.read(start, frames, sample_format, int(ffi.cast("uintptr_t", buffer)))
    ffi.release(buffer)
    assert target[size:] == guard, "read wrote beyond its frames"
    return bytes(target[:size]), clipped


def read_samples(ring: Ring, start: int, frames: int) -> Samples:
    """Delivered frames [start, start + frames): float32, shape (frames, channels)."""
    return np.frombuffer(read(ring, start, frames)[0], dtype="<f4").reshape(frames, ring.channels)
