"""What operations on sessions give back; the field names are those that every door shows."""

from dataclasses import dataclass

from jackcapture.model.request_results import RequestResult


@dataclass(frozen=True, slots=True)
class SegmentClockResult:
    """All clocks at one end of a segment: the 64-bit JACK frame, JACK's microseconds, ISO 8601 time, the transport.

    What nobody told of is None: the transport where JACK had just come or gone, the bar where no client gave any.
    """

    jack_frame: int
    monotonic_us: int | None
    wall_clock: str
    transport_state: str | None
    transport_frame: int | None
    bar: int | None
    beat: int | None
    tick: int | None
    beats_per_minute: float | None


@dataclass(frozen=True, slots=True)
class ChunkRangeResult:
    """Chunks `[first, end)` of a take, by their index, that are sealed and hold some of a segment."""

    take: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """A segment; `id` is its number in the session, as in the place `segment:1.start`.

    `sample_ranges` are sample positions `[from, to)` by stream, `to` being None while the take runs; `chunk_ranges` has
    the streams of which a chunk is sealed.
    """

    id: int
    status: str
    started_at: SegmentClockResult
    ended_at: SegmentClockResult | None
    sample_ranges: dict[str, tuple[int, int | None]]
    chunk_ranges: dict[str, ChunkRangeResult]


@dataclass(frozen=True, slots=True)
class MarkResult:
    """A mark: its segment, its 64-bit JACK frame, and its sample position in each stream that recorded that frame."""

    name: str
    segment: int
    jack_frame: int
    wall_clock: str
    created_at: str
    positions: dict[str, int]


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """What happened in a session, in order of the wall clock.

    `event` is created, segment_start, mark, relocation, request (its first note), segment_end or closed. From
    `transport_frame` on it is JACK's transport there, at the ends of segments and where it was relocated while one ran:
    then `from_frame` is where it would have been by itself, and `mark` the mark that was made of it.
    """

    wall_clock: str
    event: str
    segment: int | None = None
    mark: str | None = None
    jack_frame: int | None = None
    transport_frame: int | None = None
    from_frame: int | None = None
    bar: int | None = None
    beat: int | None = None
    tick: int | None = None
    beats_per_minute: float | None = None
    request: int | None = None


@dataclass(frozen=True, slots=True)
class SessionResult:
    """A session with all that belongs to it; `status` is created, playing, stopped or closed.

    `suggestions` are how many there are of each status, if it is triggered; `suggestion_list` gives them.
    """

    id: str
    name: str
    mode: str
    status: str
    created_at: str
    closed_at: str | None
    streams: tuple[str, ...]
    segments: tuple[SegmentResult, ...]
    marks: tuple[MarkResult, ...]
    requests: tuple[RequestResult, ...]
    timeline: tuple[TimelineEntry, ...]
    suggestions: dict[str, int]


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session at a glance: how many segments and marks it has."""

    id: str
    name: str
    mode: str
    status: str
    created_at: str
    streams: tuple[str, ...]
    segment_count: int
    mark_count: int
