"""Operations on streams."""

import asyncio
import re

from jackcapture.control.operations.describe import describe_stream
from jackcapture.control.operations.registry import Context, operation
from jackcapture.errors import ConflictError, InvalidValueError, UnreachableError
from jackcapture.model.results import StreamResult
from jackcapture.model.streams import DEFAULT_CHUNK_BYTES, AudioFormat, StreamDefinition, parse_sample_format
from jackcapture.model.uris import device_of, parse_stream_uri


@operation
async def stream_create(
    context: Context,
    uri: str,
    channels: int | None = None,
    midi: bool = False,
    sources: list[str] | None = None,
    sample_format: str = "f32",
    chunk_size_bytes: int | None = None,
    sample_rate: int | None = None,
    device_identity: str | None = None,
) -> StreamResult:
    """Define a stream and put its ports into the JACK graph.

    `sources` are full JACK port names or regular expressions over them, connected in order to the channels.
    `sample_rate` (Hz) is JACK's unless given. A definition cannot be changed.
    """
    parsed = parse_stream_uri(uri)
    if midi:
        raise InvalidValueError(f"{uri}: MIDI streams cannot be recorded by this version; give channels for audio")
    if channels is None:
        raise InvalidValueError(f"{uri}: the number of channels is missing; give 1 to 1024")
    definition = StreamDefinition(
        uri=parsed,
        device_identity=device_identity or device_of(parsed),
        format=AudioFormat(await _sample_rate(context, sample_rate), channels, parse_sample_format(sample_format)),
        chunk_size_bytes=DEFAULT_CHUNK_BYTES if chunk_size_bytes is None else chunk_size_bytes,
        sources=tuple(_checked_source(source) for source in sources or ()),
    )
    stream = await context.services.streams.create(definition)
    return await asyncio.to_thread(describe_stream, context.services.catalog, stream, 0)


@operation
async def stream_start(context: Context, uris: list[str]) -> tuple[StreamResult, ...]:
    """Begin to record streams, all on the same JACK frame."""
    streams = await context.services.streams.start(uris)
    catalog = context.services.catalog
    return tuple([await asyncio.to_thread(describe_stream, catalog, stream, 0) for stream in streams])


@operation
async def stream_stop(context: Context, uris: list[str]) -> tuple[StreamResult, ...]:
    """End the recording of streams, all on the same JACK frame; returns when everything is in the store."""
    streams = await context.services.streams.stop(uris)
    catalog = context.services.catalog
    return tuple([await asyncio.to_thread(describe_stream, catalog, stream, 0) for stream in streams])


@operation
async def stream_list(context: Context) -> tuple[StreamResult, ...]:
    """Give all streams with their state, by URI."""
    return await describe_streams(context)


@operation
async def stream_status(context: Context, uri: str) -> StreamResult:
    """Give one stream's definition and state."""
    context.services.streams.get(uri)
    found = await describe_streams(context, uri)
    return found[0]


async def describe_streams(context: Context, *uris: str) -> tuple[StreamResult, ...]:
    """Give the streams (none named: all) as the engine sees them now, or as control last knew them."""
    services = context.services
    xruns = 0
    try:
        engine = await services.engine_state()
        xruns = engine.xruns
    except UnreachableError:
        pass  # what control knows is the best there is
    chosen = [services.streams.get(uri) for uri in uris] or services.streams.all()
    return await asyncio.to_thread(lambda: tuple(describe_stream(services.catalog, stream, xruns) for stream in chosen))


async def _sample_rate(context: Context, wanted: int | None) -> int:
    """Give JACK's sample rate, which `wanted` must equal while JACK runs."""
    try:
        engine = await context.services.engine_state()
    except UnreachableError:
        engine = None
    if engine is None or not engine.connected:
        if wanted is None:
            raise UnreachableError(
                f"JACK server {context.services.settings.server!r} is not running, so the sample rate is unknown; "
                "start JACK, or give the sample rate",
                server=context.services.settings.server,
            )
        return wanted
    if wanted is not None and wanted != engine.sample_rate:
        raise ConflictError(
            f"a sample rate of {wanted} Hz: JACK server {engine.server!r} runs at {engine.sample_rate} Hz; leave the "
            "rate out, or run JACK at the other rate",
            sample_rate=wanted,
            jack_sample_rate=engine.sample_rate,
        )
    return engine.sample_rate


def _checked_source(source: str) -> str:
    """Refuse what is neither a possible port name nor a regular expression."""
    try:
        re.compile(source)
    except (re.error, OverflowError, RecursionError) as error:  # the last two at absurd repeats and nesting
        if ":" not in source:
            raise InvalidValueError(
                f"source {source!r} is no port name (client:port) and no regular expression: {error}", source=source
            ) from None
    return source
