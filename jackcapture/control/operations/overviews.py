"""Operations that show what was recorded without cutting it."""

from jackcapture.control.copying import check_new_file
from jackcapture.control.operations.artifacts import save_new
from jackcapture.control.operations.ranges import find_range
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.overviews import check_points, overview_of
from jackcapture.control.slices.excerpts import collect
from jackcapture.control.waveforms import WaveformRequest, check_request, make_waveform
from jackcapture.model.results import OverviewResult, WaveformResult


@operation(cancellable=True)
async def stream_overview(
    context: Context, uri: str, from_place: str, to_place: str, points: int = 1000
) -> OverviewResult:
    """Give what the range from one place to another looks like, recorded or live: min, max and RMS of each channel.

    Places: start, head, -30s (before the head), sample:N. There are at most `points` points, and fewer in a short
    range or where a stream has very many channels. Points of fewer than 256 frames are made from the samples, of
    exactly this range; else an end inside a block of 256 frames moves outwards to its end.
    """
    services = context.services
    check_points(services.streams.get(uri).definition, points)
    found = await find_range(context, uri, from_place, to_place)

    def work() -> OverviewResult:
        with services.contents.reading(found.stream.uri, found.from_sample, found.to_sample):
            excerpt = collect(services.catalog, found.stream, found.state, found.from_sample, found.to_sample)
            return overview_of(services.store, services.catalog, excerpt, points, context.progress)

    return await context.cut(work)


@operation(cancellable=True)
async def stream_waveform(
    context: Context,
    uri: str,
    from_place: str,
    to_place: str,
    output_format: str = "png",
    width: int | None = None,
    height: int | None = None,
    points: int | None = None,
    frames_per_point: int | None = None,
    bits: int | None = None,
    out: str | None = None,
) -> WaveformResult:
    """Draw the range from one place to another, recorded or live, and keep it as an artifact.

    `output_format` is png, a picture of `width` times `height` pixels (unless given, 1200 and what the channels need),
    or dat or json, the peaks in audiowaveform's formats, for others to draw: at most `points` (1000 unless given), or
    as many as `frames_per_point` makes, of 8 `bits` (unless given) or 16. With `out`, an absolute path, it is also
    written to that new file.
    """
    services = context.services
    request = WaveformRequest(output_format, width, height, points, frames_per_point, bits)
    check_request(services.streams.get(uri).definition.audio, request)
    if out is not None:
        check_new_file(out)
    found = await find_range(context, uri, from_place, to_place)

    def work() -> WaveformResult:
        asked = (found.from_sample, found.to_sample)
        result, artifact = make_waveform(
            services.store,
            services.catalog,
            services.contents,
            found.stream,
            found.state,
            asked,
            request,
            context.progress,
            path=out,
        )
        if out is not None:
            save_new(context, artifact, out)
        return result

    return await context.cut(work)
