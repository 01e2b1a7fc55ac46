"""Sessions: several streams recorded together under one timeline, in segments, with marks."""

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jackcapture.errors import InvalidValueError
from jackcapture.model.places import has_offset
from jackcapture.model.requests import Request
from jackcapture.model.takes import TransportState
from jackcapture.model.uris import StreamUri, parse_name, parse_stream_uri

MAX_NAME_LENGTH = 100


class SessionMode(enum.StrEnum):
    """What drives a session."""

    PASSIVE = "passive"  # it records what comes
    REQUEST_RESPONSE = "request-response"  # it sends MIDI, and records the answer
    TRIGGERED = "triggered"  # it records on, and suggests what stands out


class SessionStatus(enum.StrEnum):
    """Where a session is in its life."""

    CREATED = "created"  # it has not been played yet
    PLAYING = "playing"  # a segment runs
    STOPPED = "stopped"
    CLOSED = "closed"  # nothing more can be recorded in it


@dataclass(frozen=True, slots=True)
class SegmentClock:
    """All clocks at one end of a segment, reckoned for exactly its frame from the snapshots around it.

    `jack_frame` is the 64-bit JACK frame, `monotonic_us` JACK's own microseconds, `wall_clock_ns` Unix time. What was
    not observed, because JACK had just come or gone, is None, and so is the bar where no client gave any.
    """

    jack_frame: int
    wall_clock_ns: int
    monotonic_us: int | None = None
    transport_state: TransportState | None = None
    transport_frame: int | None = None
    bar: int | None = None
    beat: int | None = None
    tick: int | None = None
    beats_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class SegmentRange:
    """What a segment has of a stream: sample positions `[from_sample, to_sample)` of one take; None while it runs.

    `start_frame` and `first_sample` are those of the take. `is_own`: the take was begun for a segment, so that it ends
    with the last one that records it.
    """

    uri: StreamUri
    take_number: int
    from_sample: int
    to_sample: int | None
    is_own: bool
    start_frame: int
    first_sample: int

    def position_of(self, frame: int) -> int:
        """Give the sample position of a 64-bit JACK frame."""
        return frame - self.start_frame + self.first_sample

    def frame_of(self, position: int) -> int:
        """Give the 64-bit JACK frame of a sample position."""
        return position - self.first_sample + self.start_frame


@dataclass(frozen=True, slots=True)
class Segment:
    """One contiguous recording period of a session; `ended` is None while it runs. `number` counts from 1."""

    number: int
    started: SegmentClock
    ended: SegmentClock | None
    ranges: tuple[SegmentRange, ...]

    @property
    def is_running(self) -> bool:
        """Whether it has not been stopped."""
        return self.ended is None

    def range_of(self, uri: StreamUri) -> SegmentRange | None:
        """Give what it has of a stream, if anything."""
        return next((found for found in self.ranges if found.uri == uri), None)


@dataclass(frozen=True, slots=True)
class Mark:
    """A named place in a segment, at a 64-bit JACK frame; `positions` are sample positions by stream.

    It has those streams that recorded that frame.
    """

    name: str
    segment: int
    jack_frame: int
    wall_clock_ns: int
    created_at_ns: int
    positions: Mapping[StreamUri, int]


@dataclass(frozen=True, slots=True)
class Relocation:
    """JACK's transport was relocated while a segment ran: all clocks there, with the transport's new place.

    `from_frame` is where the transport would have been by itself, if that is known; `mark` the mark made of it.
    """

    segment: int
    at: SegmentClock
    from_frame: int | None
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A session with all that belongs to it; `settings` is JSON."""

    id: str
    name: str
    mode: SessionMode
    status: SessionStatus
    created_at_ns: int
    closed_at_ns: int | None
    streams: tuple[StreamUri, ...]
    segments: tuple[Segment, ...] = ()
    marks: tuple[Mark, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    relocations: tuple[Relocation, ...] = ()
    requests: tuple[Request, ...] = ()

    @property
    def running(self) -> Segment | None:
        """The segment that runs."""
        return next((segment for segment in self.segments if segment.is_running), None)

    @property
    def running_request(self) -> Request | None:
        """The request that has not ended."""
        return next((request for request in self.requests if request.ended_by is None), None)


@dataclass(frozen=True, slots=True)
class SessionGlance:
    """A session with how much belongs to it, in place of that itself."""

    id: str
    name: str
    mode: SessionMode
    status: SessionStatus
    created_at_ns: int
    streams: tuple[StreamUri, ...]
    segment_count: int
    mark_count: int


def parse_session_mode(text: str) -> SessionMode:
    """Read a session's mode; raises `InvalidValueError`."""
    try:
        return SessionMode(text)
    except ValueError:
        raise InvalidValueError(
            f"{text!r} is not a mode in which a session can record: it must be {' or '.join(SessionMode)}",
            mode=text,
        ) from None


def parse_session_name(text: str) -> str:
    """Check the name that a user gives a session; raises `InvalidValueError`."""
    if not 1 <= len(text) <= MAX_NAME_LENGTH or not text.isprintable() or text != text.strip():
        raise InvalidValueError(
            f"{text[:MAX_NAME_LENGTH]!r} is not a session's name: it must be 1 to {MAX_NAME_LENGTH} printable "
            "characters, without a space at either end",
            name=text[:MAX_NAME_LENGTH],
        )
    return text


def parse_session_streams(uris: Sequence[str]) -> tuple[StreamUri, ...]:
    """Check the streams that are named for a session; raises `InvalidValueError`."""
    if not uris:
        raise InvalidValueError("a session needs a stream: name at least one stream://<device>/<name>")
    twice = [uri for uri, count in Counter(uris).items() if count > 1]
    if twice:
        raise InvalidValueError(f"{twice[0]} is named more than once: name each stream once", uri=twice[0])
    return tuple(map(parse_stream_uri, uris))


def parse_mark_name(text: str) -> str:
    """Check the name of a mark; raises `InvalidValueError`."""
    name = parse_name(text, "a mark's name")
    if has_offset(name):
        raise InvalidValueError(
            f"{name!r} is not a mark's name: its end would be read as an offset, as in mark:solo-2s; choose another",
            name=name,
        )
    return name
