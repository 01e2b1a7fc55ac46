"""Turns suggestions into results. Everything here blocks."""

from collections.abc import Iterable

from jackcapture.catalog import Catalog
from jackcapture.model.durations import SECOND_NS
from jackcapture.model.levels import decibels_of
from jackcapture.model.sessions import Segment, Session
from jackcapture.model.suggestion_results import SuggestionResult
from jackcapture.model.suggestions import Suggestion
from jackcapture.model.times import iso

_SILENT_DB = -1000.0


def describe_suggestions(catalog: Catalog, suggestions: Iterable[Suggestion]) -> tuple[SuggestionResult, ...]:
    """Give suggestions as results, in their order."""
    sessions: dict[str, tuple[Session, int]] = {}
    results = []
    for suggestion in suggestions:
        if suggestion.session_id not in sessions:
            session = catalog.sessions.get(suggestion.session_id)
            sessions[session.id] = session, catalog.stream(session.streams[0]).definition.sample_rate
        session, rate = sessions[suggestion.session_id]
        segment = next(it for it in session.segments if it.number == suggestion.segment)
        results.append(_described(suggestion, segment, rate))
    return tuple(results)


def _described(suggestion: Suggestion, segment: Segment, rate: int) -> SuggestionResult:
    ranges = {it.uri: suggestion.range_in(it) for it in segment.ranges}
    elapsed_ns = (suggestion.begin_frame - segment.started.jack_frame) * SECOND_NS // rate
    to_frame = suggestion.to_frame
    return SuggestionResult(
        suggestion.id,
        suggestion.session_id,
        suggestion.segment,
        suggestion.status.value,
        suggestion.reason.value,
        suggestion.stream_uri,
        _peak_db(suggestion.peak),
        suggestion.begin_frame,
        suggestion.end_frame,
        (suggestion.from_frame, to_frame),
        None if to_frame is None else round((to_frame - suggestion.from_frame) / rate, 6),
        {uri: found for uri, found in ranges.items() if found is not None},
        iso(segment.started.wall_clock_ns + elapsed_ns),
        iso(suggestion.found_at_ns),
        None if suggestion.decided_at_ns is None else iso(suggestion.decided_at_ns),
        suggestion.artifacts,
        suggestion.problem,
    )


def _peak_db(peak: float | None) -> float | None:
    if peak is None:
        return None
    level = decibels_of(peak)
    return _SILENT_DB if level is None else round(level, 2)
