"""Operations that send MIDI."""

import asyncio
import math
from dataclasses import dataclass

from jackcapture.control.jack_presence import engine_with_jack
from jackcapture.control.operations.describe import describe_latency
from jackcapture.control.operations.registry import Context, operation
from jackcapture.errors import InvalidValueError, OperationCancelledError, UnreachableError
from jackcapture.model.results import ConnectionResult, LateEventResult, MidiOutputResult
from jackcapture.model.starts import AtFrame, parse_start
from jackcapture.protocol.messages import (
    AT_ONCE,
    MidiCancel,
    MidiEvent,
    MidiOutputState,
    MidiSend,
)

_LOOK_SECONDS = 0.05
MAX_AHEAD_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class MidiEventArgument:
    """One MIDI message: milliseconds after `at`, and its bytes in hexadecimal, such as `90 40 7f`."""

    ms: float
    data: str


@operation(cancellable=True)
async def midi_send(
    context: Context,
    events: list[MidiEventArgument],
    to: list[str] | None = None,
    at: str = "now",
    output: str = "midi-out",
    wait: bool = True,
) -> MidiOutputResult:
    """Send MIDI messages from a port of ours, each at its exact frame.

    `events` are messages in hexadecimal, each with its milliseconds after `at`, in order. `to` are JACK port names or
    regular expressions over them, which are connected first. `at` is `now` (as soon as may be) or a 64-bit JACK frame.
    With `wait`, the result comes when all is sent, and tells which events were late; else at once. To cancel the call
    while it waits is to cancel what is left, as `midi_cancel` does.
    """
    link = context.services.link
    start_frame = AT_ONCE if at == "now" else _frame(at)
    engine = await engine_with_jack(context.services.link)
    command = MidiSend(output, tuple(to or ()), start_frame, _events(events, engine.sample_rate))
    state = await link.request(command, MidiOutputState)
    while wait and not state.is_done:
        await asyncio.sleep(_LOOK_SECONDS)
        outputs = (await context.services.engine_state()).midi_outputs
        known = next((known for known in outputs if known.output == output), None)
        if known is None or known.start_frame != state.start_frame:
            raise UnreachableError(
                f"the engine died while it was sending; {state.sent} of {state.events} events are sent"
            )
        state = known
        try:
            context.progress(state.sent, state.events, "events")
        except OperationCancelledError:
            if not state.is_done:
                await link.request(MidiCancel(output), MidiOutputState)
            raise
    return _describe(state)


@operation
async def midi_cancel(context: Context, output: str = "midi-out") -> MidiOutputResult:
    """Send nothing more of what a MIDI output has left, and end the notes that sound."""
    return _describe(await context.services.link.request(MidiCancel(output), MidiOutputState))


@operation
async def midi_list(context: Context) -> tuple[MidiOutputResult, ...]:
    """Give our MIDI outputs, and how far each is with what it was given last."""
    return tuple(_describe(state) for state in (await context.services.engine_state()).midi_outputs)


def _events(given: list[MidiEventArgument], sample_rate: int) -> tuple[MidiEvent, ...]:
    return tuple(_event(index, event, sample_rate) for index, event in enumerate(given))


def _frame(at: str) -> int:
    moment = parse_start(at)
    if not isinstance(moment, AtFrame):
        raise InvalidValueError(f"{at!r} is no moment at which MIDI can be sent: it must be now or a JACK frame", at=at)
    return moment.frame


def _event(index: int, event: MidiEventArgument, sample_rate: int) -> MidiEvent:
    try:
        data = bytes.fromhex(event.data)
    except ValueError:
        raise InvalidValueError(
            f"event {index}: {event.data[:40]!r} are no bytes: write them in hexadecimal, such as '90 40 7f'"
        ) from None
    if not 0 <= event.ms <= MAX_AHEAD_MS:  # also refuses NaN
        raise InvalidValueError(f"event {index} is at {event.ms} ms: it must be 0 to {MAX_AHEAD_MS}")
    return MidiEvent(math.floor(event.ms * sample_rate / 1000 + 0.5), data)


def _describe(state: MidiOutputState) -> MidiOutputResult:
    return MidiOutputResult(
        output=state.output,
        port=ConnectionResult(state.port.port, state.port.connections, describe_latency(state.port.latency)),
        start_frame=state.start_frame,
        events=state.events,
        sent=state.sent,
        late=tuple(LateEventResult(late.index, late.frames) for late in state.late),
        late_count=state.late_count,
        done=state.is_done,
        error=state.error or None,
    )
