"""Enters the sessions that documents tell of into a new catalog, with what they hold of the streams in it. Blocks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from jackcapture.catalog.rebuilding import NewCatalog
from jackcapture.control.maintenance.session_reading import RangePart, SessionDocument, read_session
from jackcapture.control.maintenance.store_contents import Document
from jackcapture.model.sessions import Mark, Relocation, Segment, SegmentRange, Session, SessionStatus
from jackcapture.model.suggestions import Suggestion
from jackcapture.model.uris import StreamUri


@dataclass(slots=True)
class FoundSessions:
    """The newest document of each session, and of all documents of sessions which session they tell of, by name."""

    newest: dict[str, SessionDocument] = field(default_factory=dict)
    documents: dict[str, tuple[SessionDocument, int, int]] = field(default_factory=dict)  # bytes, time

    def note(self, document: Document) -> None:
        """Read a document of a session; raises `InvalidValueError` if it is none."""
        session = read_session(document.data)
        self.documents[document.name] = session, len(document.data), document.mtime_ns
        known = self.newest.get(session.id)
        if known is None or session.age > known.age:
            self.newest[session.id] = session

    def in_order(self) -> list[SessionDocument]:
        """Give the sessions in the order in which they were created."""
        return sorted(self.newest.values(), key=lambda it: (it.created_at_ns, it.id))

    def forget_without(self, streams: Iterable[StreamUri]) -> list[str]:
        """Leave out the sessions of which no stream is known, with their documents; tell of them."""
        known = set(streams)
        gone = [it for it in self.in_order() if not known.intersection(it.uris)]
        for session in gone:
            del self.newest[session.id]
        self.documents = {name: it for name, it in self.documents.items() if it[0].id in self.newest}
        return [f"{it.id}: none of its streams is known: {', '.join(it.uris)}; its documents are kept" for it in gone]


def enter_session(catalog: NewCatalog, document: SessionDocument, tell: Callable[[str], None]) -> Session:
    """Enter a session with all that it has and holds, as far as its streams and their takes are there."""
    streams = tuple(uri for uri in document.uris if catalog.has_stream(uri))
    for uri in document.uris:
        if uri not in streams:
            tell(f"{document.id} has recorded {uri}, of which nothing is known: the session is there without it")
    segments = tuple(
        Segment(
            segment.number,
            segment.started.clock,
            segment.ended.clock,
            tuple(
                made
                for found in segment.ranges
                if found.stream_uri in streams and (made := _range(catalog, document, segment.number, found, tell))
            ),
        )
        for segment in sorted(document.segments, key=lambda it: it.number)
    )
    ends = {(segment.number, it.uri): it.to_sample for segment in segments for it in segment.ranges}
    marks = []
    for mark in document.marks:
        positions = {}
        for named, position in mark.positions.items():
            uri = StreamUri(named)
            end = ends.get((mark.segment, uri))
            if end is not None and position <= end:
                positions[uri] = position
        marks.append(Mark(mark.name, mark.segment, mark.jack_frame, mark.wall_clock_ns, mark.created_at_ns, positions))
    suggestions = [
        Suggestion(session_id=document.id, **{**it.model_dump(), "stream_uri": StreamUri(it.stream_uri)})
        for it in document.suggestions
        if it.stream_uri in streams
    ]
    session = Session(
        document.id,
        document.name,
        document.mode,
        SessionStatus.CLOSED,
        document.created_at_ns,
        document.closed_at_ns,
        streams,
        segments,
        tuple(marks),
        document.settings,
        tuple(Relocation(it.segment, it.at.clock, it.from_frame, it.mark) for it in document.relocations),
        tuple(it.request for it in document.requests),
    )
    catalog.add_session(session, suggestions)
    return session


def _range(
    catalog: NewCatalog, document: SessionDocument, number: int, found: RangePart, tell: Callable[[str], None]
) -> SegmentRange | None:
    """Give what is there of a range; None if its take is not."""
    uri = StreamUri(found.stream_uri)
    take = catalog.take(uri, found.take)
    where = f"{document.id} segment {number}: {uri} from {found.from_sample} to {found.to_sample}, in take {found.take}"
    if take is None:
        tell(f"{where}: nothing is known of that take")
        return None
    start_frame, first, end = take
    begin, last = max(found.from_sample, first), min(found.to_sample, end)
    if (begin, last) != (found.from_sample, found.to_sample):
        if begin > last:
            tell(f"{where}: the take has no such positions, as far as is known")
            return None
        tell(f"{where}: of that the take has {begin} to {last}, as far as is known")
    return SegmentRange(uri, found.take, begin, last, False, start_frame, first)
