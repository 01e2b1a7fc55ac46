"""Runs the real-time core without JACK: cycles at chosen frames, from ports whose samples say where they belong, and
with MIDI events as a test gives them.

Channel c (from 0) of frame f carries ((f * 4099 + c * 65537) mod 2^24 - 2^23) / 2^23: full scale, and exact in
float32 and in 24 bits.
"""

import itertools
import struct
import tempfile
from collections.abc import Callable, Iterable
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
    lost = 0
    """Frames of the gaps that were taken."""

    def take_gaps(self) -> list[RingGap]:
        self._step()
        gaps = super().take_gaps()
        for gap in gaps if self.channels else ():
            assert gap.frame == self.first_frame + gap.delivered + self.lost
            self.lost += gap.frames
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
    events: list[tuple[int, bytes]] = field(default_factory=list)
    """Of the next cycle, for a MIDI port: (frame in the cycle, bytes)."""
    lost_events: int = 0
    """What JACK says in the next cycle of events that it lost."""

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


@dataclass
class Output:
    """A MIDI output of the core, and what came out."""

    slot: int
    shared: Any
    room: int | None  # bytes that JACK takes in a cycle
    sent: list[tuple[int, bytes]] = field(default_factory=list)  # (64-bit JACK frame, bytes)
    clears: int = 0
    keep: list[Any] = field(default_factory=list)
    used: int = 0

    def schedule(self, events: Iterable[tuple[int, bytes]]) -> Any:
        """Give the core what to send, as (64-bit JACK frame, bytes); the events, with their `sent_frame`."""
        listed = list(events)
        data = ffi.new("uint8_t[]", b"".join(part for _, part in listed) or b"\0")
        shared = ffi.new("jc_midi_event[]", len(listed))
        offset = 0
        for event, (frame, part) in zip(shared, listed, strict=True):
            event.frame, event.sent_frame, event.offset, event.length = frame, lib.JC_NOT_SENT, offset, len(part)
            offset += len(part)
        schedule = ffi.new("jc_midi_schedule *", {"events": shared, "bytes": data, "count": len(listed), "next": 0})
        self.keep += [data, shared, schedule]
        lib.jc_set_schedule(self.shared, schedule)
        return shared

    def cancel(self) -> None:
        """Let the core send nothing more."""
        lib.jc_set_schedule(self.shared, ffi.NULL)

    @property
    def done(self) -> int:
        """How many events of the schedule are sent or refused."""
        return int(lib.jc_events_done(self.shared.schedule))


class CoreHarness:
    """A core, its fake libjack and its streams, as a context manager. `frame` is the next cycle's 64-bit frame."""

    def __init__(self, first_frame: int = 1000) -> None:
        self.frame = first_frame
        self.streams: list[Attached] = []
        self.outputs: dict[int, Output] = {}  # by port
        self.without_buffer: set[int] = set()  # ports
        self.clock_fails = False
        self.paused_us = 0
        # The state, then frame, valid, bar, beat, tick, bar_start_tick, beats_per_bar, beat_type, ticks_per_beat, bpm.
        self.transport: tuple[Any, ...] = (0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self.while_paused: Callable[[], None] | None = None
        self._jack_frame: int | None = None
        self._cycle_frames = 0
        self._given: Any = None  # the bytes of the newest event that the core asked for
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
            ffi.callback("uint32_t(void *)", self._event_count),
            ffi.callback("int(void *, void *, uint32_t)", self._event_get),
            ffi.callback("uint32_t(void *)", self._lost_event_count),
            ffi.callback("void(void *)", self._clear_buffer),
            ffi.callback("int(void *, uint32_t, const uint8_t *, size_t)", self._event_write),
            ffi.callback("size_t(void *)", self._max_event_size),
        )
        self.core.last_frame_time, self.core.get_cycle_times, self.core.port_get_buffer = self._functions[:3]
        self.core.get_time, self.core.pause, self.core.transport_query = self._functions[3:6]
        self.core.midi_get_event_count, self.core.midi_event_get = self._functions[6:8]
        self.core.midi_get_lost_event_count, self.core.midi_clear_buffer = self._functions[8:10]
        self.core.midi_event_write, self.core.midi_max_event_size = self._functions[10:]
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
        """Publish a new stream to the core; one of MIDI with 0 channels."""
        place = len(self.streams) if slot is None else slot
        ring = SteppedRing(str(self.folder / f"{next(self._numbers)}.ring"), channels, capacity, RATE)
        ports = ffi.new("void *[]", [ffi.cast("void *", (place << 16) + c + 1) for c in range(channels or 1)])
        shared = ffi.new("jc_stream *", {"ring": ring.pointer, "ports": ports})
        stream = Attached(place, ring, shared, ports)
        self.streams.append(stream)
        lib.jc_set_stream(self.core, place, shared)
        return stream

    def attach_output(self, room: int | None = None, slot: int = 0) -> Output:
        """Publish a new MIDI output, whose buffer takes `room` bytes in a cycle."""
        port = (1 << 30) + slot
        shared = ffi.new("jc_midi_output *", {"port": ffi.cast("void *", port), "schedule": ffi.NULL})
        output = self.outputs[port] = Output(slot, shared, room)
        lib.jc_set_output(self.core, slot, shared)
        return output

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
        self._cycle_frames = frames
        before = [stream.ring.delivered for stream in self.streams]
        assert lib.jc_process(frames, self.core) == 0
        for stream, delivered in zip(self.streams, before, strict=True):
            grown = stream.ring.delivered - delivered
            is_delivered = stream.ring.settled_frame == stream.ring.next_frame
            amount = frames if stream.ring.channels else self._midi_bytes(stream)
            assert grown == (amount if is_delivered else 0)
            stream.note(self.frame, frames, is_delivered=is_delivered)
            stream.events, stream.lost_events = [], 0
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
        number = int(ffi.cast("uintptr_t", port))
        if number in self.without_buffer:
            return ffi.NULL
        if number in self._buffers:
            return ffi.cast("void *", self._buffers[number].ctypes.data)
        return port  # of MIDI

    def _midi_bytes(self, stream: Attached) -> int:
        if (stream.slot << 16) + 1 in self.without_buffer:
            return 0
        return sum(record_bytes(data) for _, data in stream.events)

    def _stream_of(self, buffer: Any) -> Attached:
        slot = int(ffi.cast("uintptr_t", buffer)) >> 16
        return next(stream for stream in self.streams if stream.slot == slot)

    def _event_count(self, buffer: Any) -> int:
        return len(self._stream_of(buffer).events)

    def _event_get(self, event: Any, buffer: Any, index: int) -> int:
        time, data = self._stream_of(buffer).events[index]
        self._given = ffi.new("uint8_t[]", data or b"\0")
        ffi.memmove(event, struct.pack("<I4xQQ", time, len(data), int(ffi.cast("uintptr_t", self._given))), 24)
        return 0

    def _lost_event_count(self, buffer: Any) -> int:
        return self._stream_of(buffer).lost_events

    def _clear_buffer(self, buffer: Any) -> None:
        output = self.outputs[int(ffi.cast("uintptr_t", buffer))]
        output.used = 0
        output.clears += 1

    def _max_event_size(self, buffer: Any) -> int:
        output = self.outputs[int(ffi.cast("uintptr_t", buffer))]
        return (1 << 32) - 1 if output.room is None else output.room - output.used

    def _event_write(self, buffer: Any, time: int, data: Any, length: int) -> int:
        output = self.outputs[int(ffi.cast("uintptr_t", buffer))]
        assert time < self._cycle_frames
        assert not output.sent or self.frame + time >= output.sent[-1][0]
        assert output.room is None or output.used + length <= output.room, "the room was not asked for"
        output.used += length
        output.sent.append((self.frame + time, bytes(ffi.buffer(data, length))))
        return 0


def record_bytes(data: bytes) -> int:
    """What the record of an event takes in a ring."""
    return (int(lib.JC_MIDI_HEAD_BYTES) + len(data) + 7) // 8 * 8


class MidiReader:
    """The writer's end of a MIDI ring."""

    def __init__(self, ring: Ring, chunk_bytes: int = 4096, to_position: int = 0) -> None:
        self.ring = ring
        self.to_position = to_position
        self.cursor = ffi.new("jc_midi_cursor *")
        self.new_chunk(chunk_bytes)

    def new_chunk(self, chunk_bytes: int) -> None:
        """Go on in a fresh chunk."""
        self.chunk = ffi.new("uint8_t[]", chunk_bytes)
        self.cursor.written = 0

    def move(self, until_frame: int = (1 << 64) - 1) -> list[tuple[int, bytes]]:
        """Move what comes before a frame into the chunk; gives what is in it: (position, bytes)."""
        size, to_position = len(self.chunk), self.to_position % (1 << 64)
        delivered = self.ring.delivered
        lib.jc_midi_move(self.ring.pointer, self.cursor, delivered, until_frame, to_position, self.chunk, size)
        self.ring.consume(int(self.cursor.taken), 0)
        return self.records()

    def records(self) -> list[tuple[int, bytes]]:
        """What is in the chunk; all behind it is zero."""
        data, found, at = bytes(ffi.buffer(self.chunk)), [], 0
        while at < self.cursor.written:
            position, length = struct.unpack_from("<QI", data, at)
            at += lib.JC_MIDI_HEAD_BYTES + length
            found.append((position, data[at - length : at]))
        assert at == self.cursor.written
        assert not any(data[at:])
        return found

    @property
    def clock(self) -> tuple[int, int, bool]:
        """MIDI clock: ticks, ticks since the start, whether it runs."""
        clock = self.cursor.clock
        return int(clock.ticks), int(clock.ticks_since_start), bool(clock.is_running)


def take_marks(core: Any) -> list[Any]:
    """Take the marks that the core has made since the last call."""
    buffer = ffi.new("jc_mark[]", lib.JC_MARK_SLOTS)
    count = lib.jc_take_marks(core, buffer, lib.JC_MARK_SLOTS)
    return [ffi.new("jc_mark *", buffer[i]) for i in range(count)]


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
