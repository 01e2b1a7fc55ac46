"""Operations that cut ranges out of streams."""

import asyncio
import contextlib
import os

from jackcapture.control.copying import check_new_file
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.operations.artifacts import save_new
from jackcapture.control.operations.ranges import find_range
from jackcapture.control.operations.registry import Context, Services, operation
from jackcapture.control.slices.requests import (
    SliceOptions,
    SliceRequest,
    default_output_format,
    parse_between_takes,
    parse_chase,
)
from jackcapture.errors import ConflictError, InvalidValueError, JackCaptureError, OperationCancelledError
from jackcapture.model.durations import duration_frames, parse_duration
from jackcapture.model.results import SliceResult
from jackcapture.model.streams import parse_sample_format
from jackcapture.protocol.messages import StreamState


@operation(cancellable=True)
async def stream_slice(
    context: Context,
    uri: str,
    from_place: str,
    to_place: str,
    output_format: str | None = None,
    sample_format: str | None = None,
    between_takes: str = "join",
    virtual: bool = False,
    chase: list[str] | None = None,
    midi_file_type: int = 1,
    out: str | None = None,
) -> SliceResult:
    """Cut the range from one place to another out of a stream, recorded or live, into an artifact.

    Places: start, head, -30s (before the head), sample:N, 2026-11-22T10:00:00.250Z, take:N.start, take:N.end,
    session:ID.start, segment:N.end (of the newest session that has both), mark:NAME, transport:FRAME,
    bar:BAR.BEAT.TICK, each with an offset if that is wanted (head-30s, take:2.start+500ms).
    `output_format` is wav (audio, unless given), flac, mid (MIDI, unless given) or raw (audio without a header; MIDI as
    records), `sample_format` f32, i24 or i16 (the stream's, unless given). `between_takes`: join (the next take follows
    at once), silence (as long as nothing was recorded) or error. `virtual` keeps only where the samples lie; the file
    is made when it is asked for. `chase` names what is brought into the beginning of a MIDI file (notes, controllers,
    programs, pitch_bend, pressure; all unless given). With `out`, an absolute path, the file is also written there.
    """
    definition = context.services.streams.get(uri).definition
    options = SliceOptions(
        default_output_format(definition) if output_format is None else output_format,
        None if sample_format is None else parse_sample_format(sample_format),
        parse_between_takes(between_takes),
        virtual,
        parse_chase(chase),
        midi_file_type,
    )
    options.check_for(definition)
    if out is not None:
        check_new_file(out)
    found = await find_range(context, uri, from_place, to_place)
    request = SliceRequest(
        found.stream, found.state, found.from_sample, found.to_sample, options, f"{from_place} to {to_place}"
    )
    return await _cut(context, request, out)


@operation(cancellable=True)
async def grab(
    context: Context, duration: str, uris: list[str] | None = None, out: str | None = None
) -> tuple[SliceResult, ...]:
    """Cut the last `duration` (30s, 1m30s, 250ms) out of the named streams (none: all that record), one common range.

    If less was recorded, all of it is given and `clipped` is true. With `out`, an absolute path of a directory, each
    result is also written to a new file there; a directory that is not there is made, in one that is.
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
    states = await services.streams.drained(stream.uri for stream in streams)
    pairs = [(stream, states[stream.uri]) for stream in streams if stream.uri in states]
    requests, clipped = _common_range(pairs, length_ns, f"last {duration}")
    is_made = out is not None and _make_directory(out)
    results: list[SliceResult] = []
    try:
        for request in requests:
            path = None if out is None else os.path.join(out, _file_name(request))
            results.append(await _cut(context, request, path, clipped=clipped))
    except JackCaptureError as error:
        if isinstance(error, OperationCancelledError):
            await asyncio.to_thread(take_back, services, results)
        if is_made and out is not None:
            with contextlib.suppress(OSError):  # it holds what was cut before the error
                os.rmdir(out)
        raise
    return tuple(results)


def _make_directory(path: str) -> bool:
    """See that a directory is there and can be written; tells whether it was made now."""
    is_made = False
    if os.path.isabs(path) and os.path.isdir(os.path.dirname(path)):
        with contextlib.suppress(OSError):  # the check below says what is wrong
            os.mkdir(path)
            is_made = True
    if not (os.path.isabs(path) and os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)):
        raise InvalidValueError(
            f"{path!r} must be the absolute path of a directory that can be written, or be made in one that is there",
            path=path,
        )
    return is_made


def take_back(services: Services, results: list[SliceResult]) -> None:
    """Remove the slices that a call has made, and their files. Blocks."""
    for result in results:
        if result.path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(result.path)
        services.contents.remove_artifact(result.artifact_id)


async def _cut(context: Context, request: SliceRequest, out: str | None, *, clipped: bool = False) -> SliceResult:
    services = context.services

    def work() -> SliceResult:
        services.supply.space.check_artifact(f"a slice of {request.stream.uri}", request.needed_bytes)
        result, artifact = services.slicer.cut(request, context.progress, clipped=clipped, path=out)
        if out is not None:
            save_new(context, artifact, out)
        return result

    return await context.cut(work)


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
        options = SliceOptions.default_for(stream.definition)
        requests.append(SliceRequest(stream, state, from_frame + offset, to_frame + offset, options, asked))
    return requests, from_frame > wanted


def _file_name(request: SliceRequest) -> str:
    device, _, name = request.stream.uri.removeprefix("stream://").partition("/")
    return f"{device}-{name}_{request.from_sample}-{request.to_sample}.{request.options.output_format}"
