"""Watches one segment of a triggered session: reads what is new, detects, and keeps what it found in the catalog."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import replace

from jackcapture.catalog import Catalog
from jackcapture.catalog.suggestions import Watched
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.sessions.settings import session_settings
from jackcapture.control.sessions.trigger_detection import Found, Rules, Source, Span, TriggerDetector, WatchState
from jackcapture.control.sessions.watched_streams import LiveView, WatchedStream
from jackcapture.model.sessions import Segment, Session
from jackcapture.model.suggestions import Suggestion, SuggestionStatus
from jackcapture.model.uris import StreamUri
from jackcapture.store import Store

_SAVE_SECONDS = 5.0
"""How often it is noted how far a segment has been watched, where nothing is found; a next control goes on there."""


class SegmentWatch:
    """The watch over one segment, as far as the catalog knows it; one thread at a time. All methods block.

    After an error it is to be dropped: the next one for the segment goes on from the catalog.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        streams: Mapping[StreamUri, ManagedStream],
        session: Session,
        watched: Watched,
        *,
        lenient: bool,
    ) -> None:
        self._catalog = catalog
        self._session_id = session.id
        self._number = watched.segment
        segment = _segment(session, watched.segment)
        known = [(streams[it.uri], it) for it in segment.ranges if it.uri in streams]
        rate = next((stream.definition.sample_rate for stream, _ in known), 1)
        rules = Rules.of(session_settings(session.settings).trigger, rate)
        self._streams = {
            it.uri: WatchedStream(store, catalog, stream, it, rules, watched.frame, lenient=lenient)
            for stream, it in known
            if stream.definition.is_audio or rules.midi
        }
        self._open, after = catalog.suggestions.of_segment(session.id, watched.segment)
        start = segment.started.jack_frame
        goes_on = None if self._open is None else _found(self._open)
        self._detector = TriggerDetector(rules, WatchState(watched.frame, max(start, after or start), goes_on))
        self._ends: dict[StreamUri, int | None] = {}
        self._saved_at = time.monotonic()
        self.is_done = False

    def note_end(self, session: Session) -> None:
        """Take note that the segment has ended."""
        self._ends = {it.uri: it.to_sample for it in _segment(session, self._number).ranges}

    def has_passed(self, frame: int) -> bool:
        """Whether more than what is before a JACK frame has been looked at."""
        return any(stream.frame > frame for stream in self._streams.values())

    @property
    def knows_end(self) -> bool:
        """Whether the segment is known to have ended."""
        return bool(self._ends)

    def look(self, views: Mapping[StreamUri, LiveView]) -> list[Suggestion]:
        """Look at what is new, and give the suggestions that have opened or closed, which are in the catalog then."""
        spans: list[Span] = []
        for uri, stream in self._streams.items():
            spans += stream.read(views.get(uri), self._ends.get(uri))
        live = [stream.frame for stream in self._streams.values() if not stream.is_at_end]
        if live:
            found = self._detector.take(spans, min(live), self)
        elif self._streams:
            ends = [stream.end_frame or 0 for stream in self._streams.values()]
            found = self._detector.finish(spans, max(ends), self)
            self.is_done = True
        else:
            found = []
            self.is_done = self.knows_end
        changed = [self._suggestion(it) for it in found]
        if changed or self.is_done or time.monotonic() - self._saved_at >= _SAVE_SECONDS:
            self._save(changed)
        return changed

    # --- ends of spans ---

    def first(self, span: Span) -> int:
        """Give the first frame of a span that stands out."""
        return self._streams[span.source.uri].first(span)

    def last(self, span: Span) -> int:
        """Give the last frame of a span that stands out."""
        return self._streams[span.source.uri].last(span)

    # --- the catalog ---

    def _save(self, changed: list[Suggestion]) -> None:
        state = self._detector.state(self)
        going_on = [] if state.open is None else [self._suggestion(state.open)]
        self._catalog.suggestions.note_watched(
            self._session_id, self._number, state.frame, [*changed, *going_on], is_done=self.is_done
        )
        self._saved_at = time.monotonic()

    def _suggestion(self, found: Found) -> Suggestion:
        """Give the suggestion of what was found: the one that is open, as it is now, or a new one."""
        known = self._open
        end = found.to_frame
        status = SuggestionStatus.OPEN if end is None else SuggestionStatus.PENDING
        if known is not None and known.begin_frame == found.begin:
            made = replace(known, status=status, peak=found.peak, end_frame=found.end, to_frame=end)
        else:
            made = Suggestion(
                f"suggestion-{secrets.token_hex(6)}",
                self._session_id,
                self._number,
                status,
                found.source.reason,
                found.source.uri,
                found.peak,
                found.begin,
                found.end,
                found.from_frame,
                end,
                time.time_ns(),
            )
        self._open = made if end is None else None
        return made


def watch_of(
    watched: Watched,
    known: SegmentWatch | None,
    store: Store,
    catalog: Catalog,
    streams: Mapping[StreamUri, ManagedStream],
    *,
    lenient: bool,
) -> SegmentWatch:
    """Give the watch to go on with: that which is known, or one that begins where the catalog says. Blocks.

    One that has gone on beyond the end of its segment, which was told late, is begun anew.
    """
    if known is not None and (watched.is_running or known.knows_end):
        return known
    session = catalog.sessions.get(watched.session_id)
    ended = None if watched.is_running else _segment(session, watched.segment).ended
    if ended is not None:
        end = ended.jack_frame
        if watched.frame > end or (known is not None and known.has_passed(end)):
            frame = catalog.suggestions.rewind(watched.session_id, watched.segment, end)
            watched, known = replace(watched, frame=frame), None
    if known is None:
        known = SegmentWatch(store, catalog, streams, session, watched, lenient=lenient)
    if ended is not None:
        known.note_end(session)
    return known


def _segment(session: Session, number: int) -> Segment:
    return next(segment for segment in session.segments if segment.number == number)


def _found(at: Suggestion) -> Found:
    return Found(at.begin_frame, at.end_frame, at.from_frame, None, Source(at.stream_uri, at.reason), at.peak)
