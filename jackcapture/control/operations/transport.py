"""Operations on JACK's transport. The engine carries them out; being a timebase master is not among them."""

from jackcapture.clock.locating import locate_frame
from jackcapture.control.jack_presence import engine_with_jack
from jackcapture.control.operations.registry import Context, operation
from jackcapture.errors import UnreachableError
from jackcapture.model.times import iso
from jackcapture.model.transport_places import parse_locate_place
from jackcapture.model.transport_results import TransportResult
from jackcapture.protocol.messages import (
    EngineState,
    JackTransport,
    TransportLocate,
    TransportOutcome,
    TransportStart,
    TransportStop,
)

_CONSEQUENCE = "; until then there is no transport"


@operation
async def transport_status(context: Context) -> TransportResult:
    """Give the state of JACK's transport, its frame and, where a JACK client tells them, bar, beat, tick and tempo."""
    state = await _connected(context)
    return _described(state.transport, state.sample_rate)


@operation
async def transport_start(context: Context) -> TransportResult:
    """Let JACK's transport roll, and give what it does then.

    It may be `starting`, with `is_reached` false: clients that are slow to get ready hold it, for as long as JACK lets
    them.
    """
    return await _commanded(context, TransportStart(), "rolling")


@operation
async def transport_stop(context: Context) -> TransportResult:
    """Stop JACK's transport where it is, and give what it does then."""
    return await _commanded(context, TransportStop(), "stopped")


@operation
async def transport_locate(context: Context, place: str) -> TransportResult:
    """Relocate JACK's transport, rolling or not, and give what it does then.

    `place` is a frame of the transport (480000), a time from its beginning (1:30, 2.5s), start, or
    bar:BAR[.BEAT[.TICK]], which is reckoned from the present tempo and measure and needs a JACK client that gives them.
    """
    parsed = parse_locate_place(place)
    state = await _connected(context)
    frame = locate_frame(parsed, state.transport.transport, state.sample_rate)
    return await _commanded(context, TransportLocate(frame), f"frame {frame}", state.sample_rate)


async def _connected(context: Context) -> EngineState:
    state = await engine_with_jack(context.services.link, _CONSEQUENCE)
    if state.transport.frame == state.transport.monotonic_us == 0:
        raise UnreachableError(f"JACK server {state.server!r} has run no cycle yet{_CONSEQUENCE}", server=state.server)
    return state


async def _commanded(
    context: Context, command: TransportStart | TransportStop | TransportLocate, asked: str, sample_rate: int = 0
) -> TransportResult:
    sample_rate = sample_rate or (await _connected(context)).sample_rate
    outcome = await context.services.link.request(command, TransportOutcome)
    return _described(outcome.now, sample_rate, asked, outcome.is_reached)


def _described(
    seen: JackTransport, sample_rate: int, asked: str | None = None, is_reached: bool | None = None
) -> TransportResult:
    transport = seen.transport
    has_bar = transport.bar > 0
    return TransportResult(
        transport.state.value,
        transport.frame,
        round(transport.frame / sample_rate, 6),
        sample_rate,
        seen.frame,
        iso(seen.wall_clock_ns),
        transport.bar if has_bar else None,
        transport.beat if has_bar else None,
        transport.tick if has_bar else None,
        transport.beats_per_minute if has_bar else None,
        transport.beats_per_bar if has_bar else None,
        transport.beat_type if has_bar else None,
        transport.ticks_per_beat if has_bar else None,
        asked,
        is_reached,
    )
