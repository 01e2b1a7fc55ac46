"""Reads the documents of sessions back from the store, and believes nothing, as documents_reading does."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

import pydantic

from jackcapture.control.maintenance.documents_reading import Count, DocumentPart, Signed, parsed, read_document
from jackcapture.control.maintenance.request_reading import RequestPart
from jackcapture.control.sessions.document import SESSION_TYPE
from jackcapture.errors import InvalidValueError
from jackcapture.model.places import MAX_SAMPLE_POSITION
from jackcapture.model.sessions import MAX_NAME_LENGTH, SegmentClock, SessionMode
from jackcapture.model.suggestions import SuggestionReason, SuggestionStatus
from jackcapture.model.takes import TransportState
from jackcapture.model.uris import StreamUri, parse_stream_uri

_Position = Annotated[int, pydantic.Field(ge=0, le=MAX_SAMPLE_POSITION)]
_Number = Annotated[int, pydantic.Field(ge=1, le=2**31)]
_Name = Annotated[str, pydantic.StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)]
_Uri = Annotated[str, pydantic.AfterValidator(parse_stream_uri)]


class StreamPart(DocumentPart):
    """A stream of the session."""

    uri: _Uri
    definition_hash: str


class EndPart(DocumentPart):
    """All clocks at an end of a segment."""

    jack_frame: Count
    wall_clock_ns: Signed
    monotonic_us: Count | None = None
    transport_state: TransportState | None = None
    transport_frame: Count | None = None
    bar: int | None = None
    beat: int | None = None
    tick: int | None = None
    beats_per_minute: Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)] | None = None

    @property
    def clock(self) -> SegmentClock:
        """The same as a value of the model."""
        return SegmentClock(**self.model_dump())


class RangePart(DocumentPart):
    """What a segment has of a stream."""

    stream_uri: _Uri
    take: _Number
    from_sample: _Position
    to_sample: _Position


class SegmentPart(DocumentPart):
    """A segment, which has ended."""

    number: _Number
    started: EndPart
    ended: EndPart
    ranges: tuple[RangePart, ...]


class MarkPart(DocumentPart):
    """A mark."""

    name: _Name
    segment: _Number
    jack_frame: Count
    wall_clock_ns: Signed
    created_at_ns: Signed
    positions: dict[_Uri, _Position]


class RelocationPart(DocumentPart):
    """A relocation of JACK's transport."""

    segment: _Number
    at: EndPart
    from_frame: Count | None
    mark: _Name | None


class SuggestionPart(DocumentPart):
    """What stood out in a segment."""

    id: _Name
    segment: _Number
    status: SuggestionStatus
    reason: SuggestionReason
    stream_uri: _Uri
    peak: Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)] | None
    begin_frame: Count
    end_frame: Count
    from_frame: Count
    to_frame: Count
    found_at_ns: Signed
    decided_at_ns: Signed | None
    artifacts: tuple[_Name, ...]
    problem: str


class SessionDocument(DocumentPart):
    """A session as it stood when it was closed, or marked after that."""

    store_uuid: str
    id: _Name
    name: _Name
    mode: SessionMode
    settings: dict[str, Any]
    created_at_ns: Signed
    closed_at_ns: Signed
    streams: Annotated[tuple[StreamPart, ...], pydantic.Field(min_length=1)]
    segments: tuple[SegmentPart, ...]
    marks: tuple[MarkPart, ...]
    relocations: tuple[RelocationPart, ...] = ()
    requests: tuple[RequestPart, ...] = ()
    suggestions: tuple[SuggestionPart, ...] = ()

    @property
    def uris(self) -> tuple[StreamUri, ...]:
        """Its streams, in order."""
        return tuple(StreamUri(stream.uri) for stream in self.streams)

    @property
    def age(self) -> tuple[int, int]:
        """What grows from one document of a session to the next: marks and decisions are only added."""
        decided = [it.decided_at_ns for it in self.suggestions if it.decided_at_ns is not None]
        added = [mark.created_at_ns for mark in self.marks] + decided
        return len(added), max(added, default=0)


def read_session(data: bytes) -> SessionDocument:
    """Read the document of a session; raises `InvalidValueError`."""
    read_document(data, SESSION_TYPE)
    session = parsed(SessionDocument, data)
    segments = [segment.number for segment in session.segments]
    _check_once("the stream", session.uris)
    _check_once("the segment", segments)
    _check_once("the mark", [mark.name for mark in session.marks])
    for segment in session.segments:
        uris = [found.stream_uri for found in segment.ranges]
        _check_once(f"segment {segment.number}: the stream", uris)
        for found in segment.ranges:
            if found.stream_uri not in session.uris or found.from_sample > found.to_sample:
                raise InvalidValueError(f"segment {segment.number}: {found} is no range of its streams")
    for mark in session.marks:
        if mark.segment not in segments or not mark.positions.keys() <= set(session.uris):
            raise InvalidValueError(f"the mark {mark.name!r} is in no segment, or in a stream, that it has")
    for relocation in session.relocations:
        if relocation.segment not in segments:
            raise InvalidValueError(f"the relocation at JACK frame {relocation.at.jack_frame} is in no segment")
    _check_requests(session)
    _check_suggestions(session)
    _check_once("the relocation at", [(it.segment, it.at.jack_frame) for it in session.relocations])
    return session


def _check_requests(session: SessionDocument) -> None:
    segments = {segment.number for segment in session.segments}
    for request in session.requests:
        if request.segment not in segments:
            raise InvalidValueError(f"the request {request.number} is in no segment")
        for answer in request.answers:
            if answer.uri not in session.uris or answer.from_sample > answer.to_sample:
                raise InvalidValueError(f"the request {request.number}: {answer} is no answer of its streams")
    _check_once("the request", [request.number for request in session.requests])


def _check_suggestions(session: SessionDocument) -> None:
    segments = {segment.number for segment in session.segments}
    _check_once("the suggestion", [it.id for it in session.suggestions])
    _check_once("the suggestion at", [(it.segment, it.begin_frame) for it in session.suggestions])
    for suggestion in session.suggestions:
        if suggestion.segment not in segments or suggestion.stream_uri not in session.uris:
            raise InvalidValueError(f"{suggestion.id} is in no segment, or in a stream, that it has")
        is_decided = suggestion.status in (SuggestionStatus.ACCEPTED, SuggestionStatus.DISMISSED)
        frames = (suggestion.from_frame, suggestion.begin_frame, suggestion.end_frame, suggestion.to_frame)
        is_open = suggestion.status is SuggestionStatus.OPEN
        if is_open or list(frames) != sorted(frames) or is_decided != (suggestion.decided_at_ns is not None):
            raise InvalidValueError(f"{suggestion.id} says what cannot be: {suggestion.status}, at {frames}")


def _check_once(what: str, names: Iterable[object]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidValueError(f"{what} {twice[0]} is there more than once")
