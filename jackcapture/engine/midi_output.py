"""The engine's MIDI outputs: ports from which events are sent at exact frames. Main thread only."""

import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from jackcapture.engine._rt import ffi, lib
from jackcapture.engine.connections import matches
from jackcapture.engine.jack_client import JackClient
from jackcapture.errors import ConflictError, InvalidValueError, JackCaptureError, NotFoundError
from jackcapture.model.midi import check_message, sounding_notes
from jackcapture.protocol.messages import (
    AT_ONCE,
    LateEvent,
    MidiEvent,
    MidiOutputState,
    MidiSend,
    PortConnections,
)

log = logging.getLogger(__name__)

MAX_EVENTS = 1_000_000
MAX_BYTES = 64 << 20
MAX_DESTINATIONS = 256
MAX_AHEAD_SECONDS = 24 * 3600
MAX_LATE_LISTED = 1000

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_LEAD_PERIODS = 3  # until a schedule, and a connection just made, are surely in effect
_LEAD_SECONDS = 0.01
_RETIREMENT_CYCLES = 2
_LAST_WORD_SECONDS = 0.3


@dataclass(slots=True)
class _Sending:
    """Events that an output was given, in the form that the callback reads."""

    start_frame: int
    schedule: Any
    events: Any
    data: Any
    cancelled_at_cycle: int | None = None
    done: int | None = None  # set when nothing more will be sent
    error: str = ""
    ends_notes: bool = False  # not asked for: ends what a cancelled one left sounding

    def count_done(self) -> int:
        return int(lib.jc_events_done(self.schedule)) if self.done is None else self.done

    def messages(self, count: int) -> Iterable[bytes]:
        """Give the first `count` messages."""
        for i in range(count):
            event = self.events[i]
            yield bytes(ffi.buffer(self.data + event.offset, event.length))


@dataclass(slots=True)
class _Output:
    """A port; `shared` is what the callback reads and lives as long as the client."""

    name: str
    slot: int
    port: Any = None
    shared: Any = None
    sending: _Sending | None = None
    shown: _Sending | None = None  # what was asked for last, also after its end
    destinations: list[str] = field(default_factory=list)  # connected before the server went


class MidiOutputs:
    """All MIDI outputs of the engine. What is no longer sent is kept until the callback has surely let go of it."""

    def __init__(self, publish: Callable[[MidiOutputState], None]) -> None:
        self._publish = publish
        self._client: JackClient | None = None
        self._outputs: dict[str, _Output] = {}
        self._retired: list[tuple[int, _Sending]] = []  # (free at this cycle, ...)

    def connect(self, client: JackClient) -> None:
        """Take all outputs into the graph of a server."""
        self._client = client
        for output in self._outputs.values():
            try:
                self._register(output, client)
                self._connect(output, client, [name for name in output.destinations if name in client.midi_inputs()])
            except JackCaptureError as error:
                log.error("%s", error)

    def disconnect(self, reason: str) -> None:
        """Let go of a server whose callbacks run no more."""
        self._client = None
        self._retired.clear()
        for output in self._outputs.values():
            output.port = output.shared = None
            if output.sending is not None:
                self._end(output, output.sending, reason)

    def send(self, command: MidiSend, client: JackClient) -> MidiOutputState:
        """Begin to send; raises `InvalidValueError`, `NotFoundError` or `ConflictError`, and sends nothing then."""
        _check(command)
        self.tick()  # what is sent by now does not stand in the way
        output = self._outputs.get(command.output)
        if output is not None and output.sending is not None:
            left = int(output.sending.schedule.count) - output.sending.count_done()
            raise ConflictError(
                f"MIDI output {command.output!r} is sending: {left} events are left; cancel them or use another output",
                output=command.output,
                events_left=left,
            )
        destinations = _destinations(command, client)
        if client.is_freewheeling and client.forgets_ports and (output is None or destinations):
            raise ConflictError("JACK is freewheeling: no port can be registered or connected; send when it has ended")
        if output is None:
            output = _Output(command.output, self._free_slot())
        if output.port is None:
            self._register(output, client)
            self._outputs[command.output] = output
        self._connect(output, client, destinations)
        start_frame = self._start_frame(command, client)
        self._begin(output, _make(start_frame, command.events))
        return self._state(output, client)

    def cancel(self, name: str) -> MidiOutputState:
        """Send nothing more of what an output has left, and end the notes that sound; raises `NotFoundError`."""
        output = self._outputs.get(name)
        if output is None:
            known = ", ".join(sorted(self._outputs)) or "none"
            raise NotFoundError(f"there is no MIDI output {name!r}; there are: {known}", output=name)
        client = self._client
        if client is not None and output.sending is not None and output.sending.cancelled_at_cycle is None:
            lib.jc_set_schedule(output.shared, ffi.NULL)
            output.sending.cancelled_at_cycle = client.cycles
        return self._state(output, client)

    def states(self) -> tuple[MidiOutputState, ...]:
        """Give the state of each output."""
        return tuple(self._state(output, self._client) for output in self._outputs.values())

    def tick(self) -> None:
        """Notice what was sent, and free what the callback has let go of."""
        client = self._client
        if client is None:
            return
        cycles = client.cycles
        self._retired = [(free_at, sending) for free_at, sending in self._retired if cycles < free_at]
        for output in self._outputs.values():
            sending = output.sending
            if sending is None:
                continue
            if sending.cancelled_at_cycle is not None:
                if cycles >= sending.cancelled_at_cycle + _RETIREMENT_CYCLES:
                    self._end_cancelled(output, sending, client)
            elif sending.count_done() == sending.schedule.count:
                lib.jc_set_schedule(output.shared, ffi.NULL)
                self._retired.append((cycles + _RETIREMENT_CYCLES, sending))
                self._end(output, sending, "")

    def awaits_cycle(self) -> bool:
        """Whether something waits for the callback to let go of it."""
        return bool(self._retired) or any(
            output.sending is not None and output.sending.cancelled_at_cycle is not None
            for output in self._outputs.values()
        )

    def close(self) -> None:
        """Cancel what is being sent and end the notes that sound, as long as that takes little; before `disconnect`."""
        for name in self._outputs:
            self.cancel(name)
        deadline = time.monotonic() + _LAST_WORD_SECONDS
        while self._client is not None and self._is_sending() and time.monotonic() < deadline:
            self.tick()
            time.sleep(0.002)

    def _is_sending(self) -> bool:
        return any(output.sending is not None for output in self._outputs.values())

    def _begin(self, output: _Output, sending: _Sending) -> None:
        output.sending = sending
        if not sending.ends_notes:
            output.shown = sending
        lib.jc_set_schedule(output.shared, sending.schedule)

    def _end_cancelled(self, output: _Output, sending: _Sending, client: JackClient) -> None:
        done = sending.count_done()
        self._end(output, sending, f"cancelled after {done} of {sending.schedule.count} events")
        note_offs = sounding_notes(sending.messages(done))
        if note_offs:
            ending = _make(_soonest(client), [MidiEvent(0, message) for message in note_offs])
            ending.ends_notes = True
            self._begin(output, ending)

    def _end(self, output: _Output, sending: _Sending, error: str) -> None:
        sending.done = sending.count_done()
        refused = sum(late == lib.JC_REFUSED for _, late in _inexact(sending))
        if refused:
            error = error or f"JACK refused {refused} events: its buffer does not hold them"
        sending.error = error
        output.sending = None
        if not sending.ends_notes:
            self._publish(self._state(output, self._client))

    def _state(self, output: _Output, client: JackClient | None) -> MidiOutputState:
        place = PortConnections("")
        if client is not None and output.port is not None:
            place = PortConnections(output.port.name, client.connections(output.port))
        shown = output.shown
        if shown is None:
            return MidiOutputState(output.name, place)
        late = [
            LateEvent(index, sent_frame - int(shown.events[index].frame))
            for index, sent_frame in _inexact(shown)
            if sent_frame != lib.JC_REFUSED
        ]
        return MidiOutputState(
            output.name,
            place,
            shown.start_frame,
            int(shown.schedule.count),
            shown.count_done(),
            tuple(late[:MAX_LATE_LISTED]),
            len(late),
            is_done=shown.done is not None,
            error=shown.error,
        )

    def _register(self, output: _Output, client: JackClient) -> None:
        output.port = client.register_output(output.name)
        output.shared = ffi.new("jc_midi_output *", {"port": client.pointer_of(output.port)})
        lib.jc_set_output(client.core, output.slot, output.shared)

    def _connect(self, output: _Output, client: JackClient, destinations: Iterable[str]) -> None:
        for destination in destinations:
            client.connect_output(output.port, destination)
            if destination not in output.destinations:
                output.destinations.append(destination)

    def _free_slot(self) -> int:
        taken = {output.slot for output in self._outputs.values()}
        slot = next((free for free in range(lib.JC_MAX_OUTPUTS) if free not in taken), None)
        if slot is None:
            raise ConflictError(f"an engine has at most {lib.JC_MAX_OUTPUTS} MIDI outputs")
        return slot

    @staticmethod
    def _start_frame(command: MidiSend, client: JackClient) -> int:
        if command.start_frame == AT_ONCE:
            return _soonest(client)
        ahead = command.start_frame - client.next_frame
        if ahead > MAX_AHEAD_SECONDS * client.sample_rate:
            raise ConflictError(
                f"start frame {command.start_frame} lies {ahead / client.sample_rate:.0f} s ahead of JACK's frame "
                f"{client.next_frame}: at most {MAX_AHEAD_SECONDS} s",
                start_frame=command.start_frame,
                frame=client.next_frame,
            )
        return command.start_frame


def _soonest(client: JackClient) -> int:
    """Give the first frame at which an event is not late."""
    return client.next_frame + max(_LEAD_PERIODS * client.period, int(_LEAD_SECONDS * client.sample_rate))


def _make(start_frame: int, given: Iterable[MidiEvent]) -> _Sending:
    """Lay events out as the callback reads them."""
    given = list(given)
    data = ffi.new("uint8_t[]", b"".join(event.data for event in given) or b"\0")
    events = ffi.new("jc_midi_event[]", len(given))
    offset = 0
    for target, event in zip(events, given, strict=True):
        target.frame = start_frame + event.frame
        target.sent_frame = lib.JC_NOT_SENT
        target.offset, target.length = offset, len(event.data)
        offset += len(event.data)
    schedule = ffi.new("jc_midi_schedule *", {"events": events, "bytes": data, "count": len(given)})
    return _Sending(start_frame, schedule, events, data)


def _inexact(sending: _Sending) -> Iterable[tuple[int, int]]:
    """Give (index, frame at which it was sent or JC_REFUSED) of each done event that was not sent at its frame."""
    index = lib.jc_next_inexact(sending.schedule, 0)
    while index < sending.schedule.count:
        yield index, int(sending.events[index].sent_frame)
        index = lib.jc_next_inexact(sending.schedule, index + 1)


def _check(command: MidiSend) -> None:
    """Raise `InvalidValueError` unless the command can be carried out to the letter."""
    if _NAME.fullmatch(command.output) is None:
        raise InvalidValueError(f"{command.output[:100]!r} is no name of a MIDI output: it must match {_NAME.pattern}")
    if len(command.destinations) > MAX_DESTINATIONS:
        raise InvalidValueError(f"{len(command.destinations)} destinations: at most {MAX_DESTINATIONS} can be named")
    if not 1 <= len(command.events) <= MAX_EVENTS:
        raise InvalidValueError(f"{len(command.events)} events: 1 to {MAX_EVENTS} can be sent at once")
    if sum(len(event.data) for event in command.events) > MAX_BYTES:
        raise InvalidValueError(f"events of more than {MAX_BYTES} bytes in all: send them in parts")
    before = 0
    for index, event in enumerate(command.events):
        if event.frame < before:
            raise InvalidValueError(
                f"event {index} is at frame {event.frame}, before the one before it at {before}: give them in order"
            )
        if event.frame > 1 << 62:
            raise InvalidValueError(f"event {index} is at frame {event.frame}: it must be less than 2^62")
        before = event.frame
        try:
            check_message(event.data)
        except InvalidValueError as error:
            raise InvalidValueError(f"event {index}: {error.message}") from None


def _destinations(command: MidiSend, client: JackClient) -> list[str]:
    """Give the ports that the command's destinations name; raises `NotFoundError` for one that names none."""
    inputs = client.midi_inputs()
    found: list[str] = []
    for destination in command.destinations:
        named = matches(destination, inputs)
        if not named:
            there_are = f"there are {', '.join(inputs[:20])}" if inputs else "there are none"
            raise NotFoundError(f"{destination!r} names no MIDI input; {there_are}", destination=destination)
        found += [name for name in named if name not in found]
    return found
