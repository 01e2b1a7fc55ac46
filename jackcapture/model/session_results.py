"""What operations on sessions give back; the field names are those that every door shows."""

from dataclasses import dataclass

from jackcapture.model.results import LatencyResult


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
class SoundResult:
    """Where an answer begins: the stream, the 64-bit JACK frame, and how long after the first note that is."""

    stream_uri: str
    jack_frame: int
    frames: int
    ms: float


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """What a stream has of an answer: an artifact of the sample positions `[from, to)`.

    `first_sound` is its first sample at the threshold or above it, or its first MIDI message, since the first note.
    `capture_latency` is what JACK knows of the way to each port, in frames, and is not subtracted from anything.
    """

    stream_uri: str
    artifact_id: str
    content_hash: str
    mime_type: str
    sample_range: tuple[int, int]
    first_sound: SoundResult | None
    capture_latency: tuple[LatencyResult, ...]


@dataclass(frozen=True, slots=True)
class RequestResult:
    """A request of a session, and its answer.

    `artifact_id` is the MIDI as it was sent, which can be sent again. Frames are 64-bit JACK frames:
    `first_note_frame` and `last_event_frame` those at which these were sent, `[from_frame, end_frame)` what is kept of
    the answer. `first_sound` is that of the audio stream that sounded first. `ended_by` is decayed, maximum, stopped
    (the segment ended), cancelled, failed, interrupted (control died), or None while it runs. `hint` says what is to be
    known of an answer that is none, or that did not end.
    """

    number: int
    segment: int
    wall_clock: str
    ended_by: str | None
    artifact_id: str | None
    to: tuple[str, ...]
    events: int
    sent: int
    late_count: int
    first_note_frame: int | None
    last_event_frame: int | None
    from_frame: int | None
    end_frame: int | None
    first_sound: SoundResult | None
    answers: tuple[AnswerResult, ...]
    hint: str | None


@dataclass(frozen=True, slots=True)
class SessionResult:
    """A session with all that belongs to it; `status` is created, playing, stopped or closed."""

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
