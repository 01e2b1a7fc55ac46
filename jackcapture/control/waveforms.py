"""Makes an artifact of what a range of a stream looks like: a picture, or peaks for others to draw. It all blocks."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from jackcapture.catalog import Catalog
from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.control.contents import Contents
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.overviews import columns_at, points_at, scale_of_frames, scale_of_points
from jackcapture.control.slices.excerpts import Excerpt, collect
from jackcapture.control.slices.take_clocks import moment_at
from jackcapture.errors import InvalidValueError
from jackcapture.formats.peaks import PEAK_BITS, peaks_dat, peaks_json
from jackcapture.formats.picture import Picture, draw_png, lay_out
from jackcapture.formats.ticks import ClockSpan
from jackcapture.model.artifacts import Artifact
from jackcapture.model.progress import Progress
from jackcapture.model.results import GapResult, WaveformResult
from jackcapture.model.streams import AudioFormat
from jackcapture.protocol.messages import StreamState
from jackcapture.store import Sealed, Store

MIME_TYPES = {"png": "image/png", "dat": "application/octet-stream", "json": "application/json"}

DEFAULT_POINTS = 1000
DEFAULT_BITS = 8

MAX_FILE_VALUES = 2_000_000
"""Points, or columns, times channels: 48 MB for a while. An hour of stereo at 256 frames a point has 1.35 million."""


@dataclass(frozen=True, slots=True)
class WaveformRequest:
    """What to draw, and how; what is None is left to us.

    A picture has `width` and `height` in pixels; peaks have either at most so many `points` or so many
    `frames_per_point`, of `bits` each.
    """

    output_format: str = "png"
    width: int | None = None
    height: int | None = None
    points: int | None = None
    frames_per_point: int | None = None
    bits: int | None = None

    @property
    def is_picture(self) -> bool:
        """Tell a picture from peaks."""
        return self.output_format == "png"


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The bytes of the file, what they show, and what else is known of them."""

    data: bytes
    sample_range: tuple[int, int]
    frames_per_point: float
    points: int
    size: tuple[int, int] | None = None


def check_request(audio: AudioFormat, request: WaveformRequest) -> None:
    """Raise `InvalidValueError` unless so much of a stream can be drawn in this way, whatever its range."""
    if request.output_format not in MIME_TYPES:
        raise InvalidValueError(
            f"{request.output_format!r} is not a format for a waveform: there are {', '.join(MIME_TYPES)}",
            output_format=request.output_format,
        )
    picture = {"width": request.width, "height": request.height}
    peaks = {"points": request.points, "frames_per_point": request.frames_per_point, "bits": request.bits}
    for name, value in (peaks if request.is_picture else picture).items():
        if value is not None:
            raise InvalidValueError(
                f"{name} {value}: of a {request.output_format} waveform there is "
                f"{' and '.join(picture if request.is_picture else peaks)}; leave {name} out",
                **{name: value},
            )
    if request.is_picture:
        _check_values(lay_out(audio.channels, request.width, request.height).columns, audio, "a narrower picture")
        return
    if request.points is not None and request.frames_per_point is not None:
        raise InvalidValueError(
            f"points {request.points} and frames_per_point {request.frames_per_point}: give one of them"
        )
    for name, value in peaks.items():
        if value is not None and value < 1:
            raise InvalidValueError(f"{name} {value}: give 1 or more", **{name: value})
    if request.bits is not None and request.bits not in PEAK_BITS:
        raise InvalidValueError(f"{request.bits} bits: a value of a peaks file has 8 or 16", bits=request.bits)
    if request.points is not None:
        _check_values(request.points, audio, "fewer points")


def make_waveform(
    store: Store,
    catalog: Catalog,
    contents: Contents,
    stream: ManagedStream,
    state: StreamState | None,
    asked: tuple[int, int],
    request: WaveformRequest,
    progress: Progress,
    *,
    path: str | None,
) -> tuple[WaveformResult, Artifact]:
    """Draw the sample positions `asked`, put the file into the store and enter it as an artifact."""
    draw = _draw_picture if request.is_picture else _write_peaks
    with contents.reading(stream.uri, *asked):
        excerpt = collect(catalog, stream, state, *asked)
        drawn = draw(store, catalog, excerpt, request, progress)

    def add_row(sealed: Sealed) -> tuple[WaveformResult, Artifact]:
        progress(excerpt.frames, excerpt.frames, "frames")  # the last step that may raise to cancel
        result, artifact = _describe(stream, excerpt, drawn, request, sealed, path)
        catalog.add_artifact(artifact)
        return result, artifact

    return contents.enter_document(drawn.data, add_row)


def _describe(
    stream: ManagedStream,
    excerpt: Excerpt,
    drawn: _Drawn,
    request: WaveformRequest,
    sealed: Sealed,
    path: str | None,
) -> tuple[WaveformResult, Artifact]:
    width, height = drawn.size or (None, None)
    result = WaveformResult(
        artifact_id=new_artifact_id("overview"),
        content_hash=sealed.content.hash,
        mime_type=MIME_TYPES[request.output_format],
        bytes=sealed.bytes,
        stream_uri=stream.uri,
        sample_range=drawn.sample_range,
        sample_rate=excerpt.definition.sample_rate,
        channels=excerpt.definition.ports,
        frames_per_point=drawn.frames_per_point,
        points=drawn.points,
        width=width,
        height=height,
        takes=excerpt.takes,
        gaps=tuple(GapResult(gap.position, gap.frames, gap.cause.value) for gap in excerpt.gaps),
        path=path,
    )
    artifact = Artifact(
        id=result.artifact_id,
        kind="overview",
        content_hash=result.content_hash,
        mime_type=result.mime_type,
        bytes=result.bytes,
        created_at_ns=time.time_ns(),
        stream_uri=result.stream_uri,
        parents=(stream.record.definition_artifact,),
        metadata={
            "format": request.output_format,
            "sample_range": list(result.sample_range),
            "sample_rate": result.sample_rate,
            "channels": result.channels,
            "frames_per_point": result.frames_per_point,
            "points": result.points,
            "width": width,
            "height": height,
            "takes": list(result.takes),
            "gaps": [{"position": gap.position, "frames": gap.frames, "cause": gap.cause} for gap in result.gaps],
        },
    )
    return result, artifact


def _draw_picture(
    store: Store, catalog: Catalog, excerpt: Excerpt, request: WaveformRequest, progress: Progress
) -> _Drawn:
    layout = lay_out(excerpt.definition.ports, request.width, request.height)
    starts: dict[int, int] = {}
    for piece in excerpt.pieces:
        starts.setdefault(piece.take_number, piece.from_sample)
    picture = Picture(
        title=excerpt.definition.uri,
        from_sample=excerpt.from_sample,
        to_sample=excerpt.to_sample,
        sample_rate=excerpt.definition.sample_rate,
        columns=columns_at(store, catalog, excerpt, layout.columns, progress),
        takes=tuple(starts.items()),
        gaps=excerpt.gaps,
        clock=tuple(_clock(catalog, excerpt)),
    )
    return _Drawn(
        draw_png(picture, layout),
        (excerpt.from_sample, excerpt.to_sample),
        round(excerpt.frames / layout.columns, 3),
        layout.columns,
        (layout.width, layout.height),
    )


def _write_peaks(
    store: Store, catalog: Catalog, excerpt: Excerpt, request: WaveformRequest, progress: Progress
) -> _Drawn:
    audio = excerpt.definition.audio
    if request.frames_per_point is not None:
        scale = scale_of_frames(excerpt, request.frames_per_point)
        _check_values(scale.points, audio, "more frames per point")
    else:
        scale = scale_of_points(excerpt, request.points or min(DEFAULT_POINTS, MAX_FILE_VALUES // audio.channels))
    points = points_at(store, catalog, excerpt, scale, progress)
    write = peaks_dat if request.output_format == "dat" else peaks_json
    data = write(
        points,
        sample_rate=audio.sample_rate,
        frames_per_point=scale.frames_per_point,
        bits=request.bits or DEFAULT_BITS,
    )
    return _Drawn(data, (scale.begin, scale.end), scale.frames_per_point, len(points))


def _check_values(points: int, audio: AudioFormat, instead: str) -> None:
    if points * audio.channels > MAX_FILE_VALUES:
        raise InvalidValueError(
            f"{points} points of {audio.channels} channels: points times channels may be {MAX_FILE_VALUES}; ask for "
            f"{instead} or a shorter range",
            points=points,
        )


def _clock(catalog: Catalog, excerpt: Excerpt) -> Iterator[ClockSpan]:
    """Give the wall clock over each take of an excerpt, as far as it is known: between two takes it jumps."""
    ends: dict[int, tuple[int, int]] = {}
    for piece in excerpt.pieces:
        first, _ = ends.get(piece.take_number, (piece.from_sample, 0))
        ends[piece.take_number] = (first, piece.to_sample)
    for take_number, (first, last) in ends.items():
        moments = moment_at(catalog, excerpt, take_number, first), moment_at(catalog, excerpt, take_number, last)
        if moments[0] is not None and moments[1] is not None:
            yield ClockSpan(first, last, moments[0].ns, moments[1].ns)
