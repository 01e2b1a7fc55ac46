"""Operations that cut ranges out of streams."""

import asyncio
import os

from jackcapture.control.copying import check_new_file
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.operations.artifacts import save
from jackcapture.control.operations.ranges import find_range
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.slicing import SliceRequest, cut, default_output_format, mime_type
from jackcapture.errors import ConflictError, InvalidValueError
from jackcapture.model.places import duration_frames, parse_duration
from jackcapture.model.results import SliceResult
from jackcapture.protocol.messages import StreamState


@operation
async def stream_slice(
    context: Context,
    uri: str,
    from_place: str,
    to_place: str,
    output_format: str | None = None,
    out: str | None = None,
) -> SliceResult:
    """Cut the range from one place to another out of a stream, recorded or live, into an artifact.

    Places: start, head, -30s (before the head), sample:N. `output_format` is wav (audio, unless given)
    or raw (audio without a header; MIDI as records). With `out`, an absolute path, the result is also written to that
    new file.
    """
    definition = context.services.streams.get(uri).definition
    output_format = output_format or default_output_format(definition)
    mime_type(definition, output_format)
    if out is not None:
        check_new_file(out)
    found = await find_range(context, uri, from_place, to_place)
    request = SliceRequest(
        found.stream, found.state, found.from_sample, found.to_sample, output_format, f"{from_place} to {to_place}"
    )
    return await _cut(context, request, out)


@operation
async def grab(
    context: Context, duration: str, uris: list[str] | None = None, out: str | None = None
) -> tuple[SliceResult, ...]:
    """Cut the last `duration` (30s, 1m30s, 250ms) out of the named streams (none: all that record), one common range.

    If less was recorded, all of it is given and `clipped` is true. With `out`, an absolute path of a directory, each
    result is also written to a new file there.
    """
    services = context.services
    length_ns = parse_duration(duration)
    streams = [services.streams.get(uri) for uri in dict.fromkeys(uris or ())]
    streams = streams or [stream for stream in services.streams.all() if stream.is_recording]
    if not streams:
        raise ConflictError("nothing is recording; start a stream first, or cut with slice what was recorded")
    for stream in streams:
        if not stream.is_recording:
            raise ConflictError(f"{stream.uri} is not recording; cut with slice what was recorded", uri=stream.uri)
    if out is not None and not (os.path.isdir(out) and os.access(out, os.W_OK | os.X_OK)):
        raise InvalidValueError(f"{out} is not a directory that can be written; make it first", path=out)
    states = await services.streams.drained(stream.uri for stream in streams)
    pairs = [(stream, states[stream.uri]) for stream in streams if stream.uri in states]
    requests, clipped = _common_range(pairs, length_ns, f"last {duration}")
    results = []
    for request in requests:
        path = None if out is None else os.path.join(out, _file_name(request))
        results.append(await _cut(context, request, path, clipped=clipped))
    return tuple(results)


async def _cut(context: Context, request: SliceRequest, out: str | None, *, clipped: bool = False) -> SliceResult:
    services, definition = context.services, request.stream.definition

    def work() -> SliceResult:
        if definition.is_audio:  # a slice must not use up what the ends of the takes need; MIDI is next to nothing
            size = (request.to_sample - request.from_sample) * definition.audio.frame_bytes
            services.supply.space.check_artifact(f"a slice of {definition.uri}", size)
        result, artifact = cut(
            services.store,
            services.catalog,
            services.contents,
            request,
            context.progress,
            clipped=clipped,
            path=out,
        )
        if out is not None:
            save(context, artifact, out)
        return result

    return await asyncio.get_running_loop().run_in_executor(services.cutting, work)


def _common_range(
    pairs: list[tuple[ManagedStream, StreamState]], length_ns: int, asked: str
) -> tuple[list[SliceRequest], bool]:
    """Give one range of JACK frames for all streams: up to the newest frame that each of them has."""
    rate = pairs[0][0].definition.sample_rate
    starts = [state.start_frame for _, state in pairs]
    heads = [state.start_frame + state.head_sample - state.first_sample for _, state in pairs]
    to_frame = min(heads)
    wanted = to_frame - duration_frames(length_ns, rate)
    from_frame = max(wanted, *starts)
    if from_frame >= to_frame:
        raise ConflictError("the streams have no frame in common yet; try again in a moment")
    requests = []
    for stream, state in pairs:
        offset = state.first_sample - state.start_frame
        output_format = default_output_format(stream.definition)
        requests.append(SliceRequest(stream, state, from_frame + offset, to_frame + offset, output_format, asked))
    return requests, from_frame > wanted


def _file_name(request: SliceRequest) -> str:
    device, _, name = request.stream.uri.removeprefix("stream://").partition("/")
    return f"{device}-{name}_{request.from_sample}-{request.to_sample}.{request.output_format}"
