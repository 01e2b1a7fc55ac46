"""A MIDI source that knows what it emitted, and a MIDI sink that knows what it received: bytes and JACK frames.

What jackd2 1.9.21 does that these parts show (tests/integration/test_midi_parts.py holds it to this):

- A MIDI port's buffer is 32,768 bytes, whatever the period. One event in an empty buffer may have 32,720 bytes. Every
  event takes 12 bytes, and its length besides when that is above 4.
- Any bytes are an event, also none at all. Events may share a frame; they are read in the order of their writing.
- jack_midi_event_write refuses an offset beyond the period or before the last event's (which JACK does not count as
  lost) and an event that does not fit (which it does).
- An input with one connection reads the very buffer of the output, and so its count of lost events. With more, the
  events are mixed in the order of their frames; from the first that does not fit on, all are lost for that cycle, and
  the count of lost events is then one too high.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from parts.jackd import JackServer
from parts.part import Part, counts

MidiEvent = tuple[int, bytes]
"""A JACK frame (32 bits, unsigned) and the bytes of one event."""

_HEAD = struct.Struct("<QI")


@dataclass(frozen=True)
class RawEvent:
    """Bytes, valid or not, for the source to emit once: in a cycle of its emission (from 0) at an offset."""

    data: bytes
    cycle: int
    offset: int = 0


@dataclass(frozen=True)
class Emitted:
    """How many events a source has emitted, and how many JACK refused."""

    events: int
    refused: int


@dataclass(frozen=True)
class Received:
    """How many events a sink has received, and how many JACK counted as lost on the way."""

    events: int
    lost: int


class MidiSource(Part):
    """A running `midi_source` (see midi_source.c), as a context manager.

    It emits while its port is connected. `rate` is notes per second; `sysex` bytes a message, one every `sysex_every`
    seconds or, without it, only one, in pieces of at most `piece` bytes a cycle; `clock` MIDI clock in beats per
    minute, with FC, F2 and FB after `clock_stop_after` ticks. What was emitted is in the file `log`.
    """

    def __init__(
        self,
        program: Path,
        server: JackServer | str | None,
        log: Path,
        *,
        rate: float | None = None,
        sysex: int | None = None,
        sysex_every: float | None = None,
        piece: int | None = None,
        clock: float | None = None,
        clock_stop_after: int | None = None,
        raw: Sequence[RawEvent] = (),
        name: str = "midi_source",
    ) -> None:
        said = {
            "--rate": rate,
            "--sysex": sysex,
            "--sysex-every": sysex_every,
            "--piece": piece,
            "--clock": clock,
            "--clock-stop-after": clock_stop_after,
        }
        options = [word for option, value in said.items() if value is not None for word in (option, str(value))]
        for event in raw:
            options += ["--raw", f"{event.data.hex()}@{event.cycle}+{event.offset}"]
        super().__init__(program, server, name, [*options, "--log", str(log)])
        self.port = f"{name}:out"
        self.log = log
        self._complete = False

    def stop_emitting(self, patience: float = 60.0) -> Emitted:
        """Have it emit nothing more, once a sysex message that it has begun is at its end; it goes on running."""
        said = counts(self.ask("stop", patience=patience))
        self._complete = True
        return Emitted(said["emitted"], said["refused"])

    def events(self) -> list[MidiEvent]:
        """All that it emitted, in order. Raises RuntimeError while it may emit more."""
        if self._process is not None and not self._complete:
            raise RuntimeError(f"{self.name} still emits: stop_emitting or stop comes first")
        return read_events(self.log)


class MidiSink(Part):
    """A running `midi_sink` (see midi_sink.c), as a context manager. What it received is in the file `log`."""

    def __init__(self, program: Path, server: JackServer | str | None, log: Path, *, name: str = "midi_sink") -> None:
        super().__init__(program, server, name, ["--log", str(log)])
        self.port = f"{name}:in"
        self.log = log

    def flush(self) -> Received:
        """Wait until all that was emitted before this call is in the log."""
        said = counts(self.ask("flush"))
        return Received(said["received"], said["lost"])

    def events(self) -> list[MidiEvent]:
        """All that it received until now, in order."""
        if self._process is not None:
            self.flush()
        return read_events(self.log)


class StartMidiSource(Protocol):
    """What the fixture `midi_source` gives: starts a MidiSource that is stopped when the test is over."""

    def __call__(
        self,
        server: JackServer | str | None,
        *,
        rate: float | None = None,
        sysex: int | None = None,
        sysex_every: float | None = None,
        piece: int | None = None,
        clock: float | None = None,
        clock_stop_after: int | None = None,
        raw: Sequence[RawEvent] = (),
        name: str = "midi_source",
    ) -> MidiSource: ...


class StartMidiSink(Protocol):
    """What the fixture `midi_sink` gives: starts a MidiSink that is stopped when the test is over."""

    def __call__(self, server: JackServer | str | None, *, name: str = "midi_sink") -> MidiSink: ...


def read_events(log: Path) -> list[MidiEvent]:
    """The events of a log (see part.h). Raises ValueError when the last one is not whole."""
    data = log.read_bytes()
    events: list[MidiEvent] = []
    place = 0
    while place < len(data):
        if place + _HEAD.size > len(data):
            raise ValueError(f"{log} ends within the head of event {len(events)}")
        frame, length = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        if place + length > len(data):
            raise ValueError(f"{log} ends within event {len(events)}")
        events.append((frame, data[place : place + length]))
        place += length
    return events


def expected_note(number: int) -> bytes:
    """The bytes of note `number` (from 0) of a source with a rate."""
    pair, off = divmod(number, 2)
    status = (0x80 if off else 0x90) | pair // 128 // 127 % 16
    return bytes([status, pair % 128, pair // 128 % 127 + 1])


def expected_sysex(message: int, size: int) -> bytes:
    """The bytes of sysex message `message` (from 0) of a source."""
    middle = bytes((i ^ (i >> 7) ^ message) & 0x7F for i in range(1, size - 1))
    return b"\xf0" + middle + b"\xf7"
