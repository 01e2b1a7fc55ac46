"""Operations on streams."""

import asyncio
from collections.abc import Iterable

from jackcapture.control.jack_presence import engine_with_jack
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.operations.describe import describe_stream, read_sealed
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.retention_words import parse_retention
from jackcapture.control.sources import check_sources
from jackcapture.errors import ConflictError, InvalidValueError, UnreachableError
from jackcapture.model.results import StreamResult
from jackcapture.model.starts import parse_start
from jackcapture.model.streams import (
    DEFAULT_CHUNK_BYTES,
    DEFAULT_MIDI_CHUNK_BYTES,
    MAX_CHANNELS,
    AudioFormat,
    MidiFormat,
    SampleFormat,
    StreamDefinition,
    parse_sample_format,
)
from jackcapture.model.uris import device_of, parse_stream_uri
from jackcapture.protocol.messages import EngineState, Port, PortList, PortsRequest, PortType


@operation
async def stream_create(
    context: Context,
    uri: str,
    channels: int | None = None,
    midi: bool = False,
    sources: list[str] | None = None,
    sample_format: str | None = None,
    chunk_size_bytes: int | None = None,
    sample_rate: int | None = None,
    device_identity: str | None = None,
    keep: str | None = None,
    keep_bytes: str | int | None = None,
    keep_chunks: int | None = None,
) -> StreamResult:
    """Define a stream and put its ports into the JACK graph.

    It records audio, with `channels` and a `sample_format` of f32 (the default), i24 or i16, or `midi`. `sources` are
    full JACK port names or regular expressions over them, connected in order to the channels, or all to the one MIDI
    port. `sample_rate` (Hz) is JACK's unless given. A definition cannot be changed. `keep`, `keep_bytes` and
    `keep_chunks` limit what is kept, as `stream_keep` does, which can change them.
    """
    parsed = parse_stream_uri(uri)
    retention = parse_retention(keep, keep_bytes, keep_chunks)
    if midi and channels is not None:
        raise InvalidValueError(
            f"{uri}: MIDI and {channels} channels: a stream has one or the other; leave out the channels for a MIDI "
            "stream, or MIDI for an audio stream",
            channels=channels,
        )
    if midi and sample_format is not None:
        raise InvalidValueError(
            f"{uri}: MIDI and the sample format {sample_format!r}: MIDI has no samples; leave the format out",
            sample_format=sample_format,
        )
    if channels is None and not midi:
        raise InvalidValueError(f"{uri}: the number of channels is missing; give 1 to {MAX_CHANNELS}, or MIDI")
    rate = await sample_rate_for(context, sample_rate)
    definition = StreamDefinition(
        uri=parsed,
        device_identity=device_of(parsed) if device_identity is None else device_identity,
        format=MidiFormat(rate)
        if channels is None
        else AudioFormat(
            rate, channels, parse_sample_format(SampleFormat.F32 if sample_format is None else sample_format)
        ),
        chunk_size_bytes=_default_chunk(midi) if chunk_size_bytes is None else chunk_size_bytes,
        sources=tuple(sources or ()),
    )
    await check_definition(context, definition)
    stream = await context.services.streams.create(definition, retention)
    return (await describe_streams(context, [stream]))[0]


@operation
async def stream_start(context: Context, uris: list[str], at: str = "now") -> tuple[StreamResult, ...]:
    """Begin to record streams, all on the same JACK frame.

    `at` is `now`, a time before now such as `-5s`, or a 64-bit JACK frame; it may lie as far back as the rings hold.
    """
    return await describe_streams(context, await context.services.streams.start(uris, parse_start(at)))


@operation
async def stream_stop(context: Context, uris: list[str]) -> tuple[StreamResult, ...]:
    """End the recording of streams, all on the same JACK frame; returns when everything is in the store."""
    return await describe_streams(context, await context.services.streams.stop(uris))


@operation
async def stream_list(context: Context) -> tuple[StreamResult, ...]:
    """Give all streams with their state, by URI."""
    return await describe_streams(context, context.services.streams.all())


@operation
async def stream_status(context: Context, uri: str) -> StreamResult:
    """Give one stream's definition and state."""
    return (await describe_streams(context, [context.services.streams.get(uri)]))[0]


async def describe_streams(context: Context, streams: Iterable[ManagedStream]) -> tuple[StreamResult, ...]:
    """Give streams as the engine sees them now, or, while it does not answer, as control last knew them."""
    return await describe_known_streams(context, streams, await reachable_engine(context))


async def describe_known_streams(
    context: Context, streams: Iterable[ManagedStream], engine: EngineState | None
) -> tuple[StreamResult, ...]:
    """Give streams as control knows them now; `engine` was just asked for its state."""
    services, xruns = context.services, 0 if engine is None else engine.xruns

    async def describe(stream: ManagedStream) -> StreamResult:
        sealed = await services.reads.read(stream.uri, lambda: read_sealed(services.catalog, stream.uri))
        return describe_stream(sealed, stream, xruns)

    return tuple(await asyncio.gather(*(describe(stream) for stream in streams)))


async def reachable_engine(context: Context) -> EngineState | None:
    """Ask the engine for its state; None if it does not answer."""
    try:
        return await context.services.engine_state()
    except UnreachableError:
        return None


async def check_definition(context: Context, definition: StreamDefinition) -> None:
    """Raise `InvalidValueError` if the graph has a source of a new stream that could never be recorded."""
    if definition.sources:
        wanted = PortType.AUDIO if definition.is_audio else PortType.MIDI
        check_sources(definition.sources, wanted, await _graph(context))


async def sample_rate_for(context: Context, wanted: int | None) -> int:
    """Give JACK's sample rate, which `wanted` must equal while JACK runs."""
    if wanted is None:
        consequence = "; until then the sample rate is unknown: give it, to define the stream all the same"
        return (await engine_with_jack(context.services.link, consequence)).sample_rate
    engine = await reachable_engine(context)
    if engine is None or not engine.connected:
        return wanted
    if wanted != engine.sample_rate:
        raise ConflictError(
            f"a sample rate of {wanted} Hz: JACK server {engine.server!r} runs at {engine.sample_rate} Hz; leave the "
            "rate out, or run JACK at the other rate",
            sample_rate=wanted,
            jack_sample_rate=engine.sample_rate,
        )
    return engine.sample_rate


def _default_chunk(midi: bool) -> int:
    return DEFAULT_MIDI_CHUNK_BYTES if midi else DEFAULT_CHUNK_BYTES


async def _graph(context: Context) -> tuple[Port, ...]:
    """Give the ports of the JACK graph; none while there is no server."""
    try:
        return (await context.services.link.request(PortsRequest(), PortList)).ports
    except UnreachableError:
        return ()
