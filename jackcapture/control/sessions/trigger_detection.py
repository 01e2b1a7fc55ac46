"""What stands out of streams that are recorded together: arithmetic on JACK frames, without any reading.

Streams are looked at in blocks, so what stands out comes as spans whose ends are known to a block; where a decision
needs them to the sample, they are asked for. What is found does not depend on how the spans are parted among calls.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jackcapture.control.sessions.settings import TriggerSettings
from jackcapture.model.levels import amplitude_of
from jackcapture.model.overviews import OVERVIEW_FRAMES
from jackcapture.model.suggestions import SuggestionReason
from jackcapture.model.uris import StreamUri

_LONG_TAIL = 512


@dataclass(frozen=True, slots=True)
class Source:
    """A stream, and what of it may stand out."""

    uri: StreamUri
    reason: SuggestionReason


@dataclass(frozen=True, slots=True)
class Span:
    """Frames of a stream that stand out, without a quiet in it that would part two suggestions.

    The first one lies in `[begin, first_end)`, the last one in `[last_begin, end)`. `peak` is None for MIDI.
    """

    begin: int
    first_end: int
    last_begin: int
    end: int
    source: Source
    peak: float | None = None


class Edges(Protocol):
    """Tells the ends of spans to the sample."""

    def first(self, span: Span) -> int:
        """Give the first frame that stands out."""

    def last(self, span: Span) -> int:
        """Give the last frame that stands out."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How spans become suggestions, in frames; `threshold` is a sample, full scale 1."""

    threshold: float
    hold: int
    pre_roll: int
    least: int
    midi: bool = True

    @classmethod
    def of(cls, settings: TriggerSettings, sample_rate: int) -> "Rules":
        """Give the rules that settings mean at a sample rate."""
        seconds = (settings.hold_seconds, settings.pre_roll_seconds, settings.min_seconds)
        hold, pre_roll, least = (round(sample_rate * it) for it in seconds)
        return cls(amplitude_of(settings.threshold_db), max(1, hold), pre_roll, least, settings.midi)

    @property
    def join(self) -> int:
        """Spans of a stream that are parted by fewer frames than this, as far as blocks tell, are one anyhow."""
        return self.hold - 2 * (OVERVIEW_FRAMES - 1)


@dataclass(frozen=True, slots=True)
class Found:
    """What stood out: `[begin, end)`; suggested is `[from_frame, to_frame)`, `to_frame` being None while it goes on."""

    begin: int
    end: int
    from_frame: int
    to_frame: int | None
    source: Source
    peak: float | None


@dataclass(frozen=True, slots=True)
class WatchState:
    """How far the watch has come: all from `frame` on is still to be looked at. `after`: suggestions begin there."""

    frame: int
    after: int
    open: Found | None = None


class _Open:
    """What stands out at present: from the frame `begin` on, first in `source`; `reread` is where its block begins.

    It ends at `end` at the latest, and at `least_end` at the earliest, as far as blocks tell.
    """

    def __init__(self, begin: int, source: Source, reread: int, span: Span) -> None:
        self.begin = begin
        self.source = source
        self.reread = reread
        self.peak: float | None = None
        self.is_shown = False
        self.end = self.least_end = begin + 1
        self._tail: list[Span] = []  # those that may be last
        self.add(span)

    def add(self, span: Span) -> None:
        """Go on with a span."""
        if span.peak is not None and (self.peak is None or span.peak > self.peak):
            self.peak = span.peak
        self.end = max(self.end, span.end)
        self.least_end = max(self.least_end, span.last_begin + 1)
        if span.end >= self.least_end:
            self._tail.append(span)
        if len(self._tail) > _LONG_TAIL:
            self._tail = [it for it in self._tail if it.end >= self.least_end]

    def exact_end(self, edges: Edges) -> int:
        """Give the frame after the last one that stands out."""
        exact: list[Span] = []
        best = 0
        for span in sorted(self._tail, key=lambda it: -it.end):
            if span.end > best:
                last = span.last_begin if span.end == span.last_begin + 1 else edges.last(span)
                exact.append(replace(span, last_begin=last, end=last + 1))
                best = max(best, last + 1)
        self._tail = exact
        self.end = self.least_end = best
        return best


class TriggerDetector:
    """Finds suggestions in one segment. It opens with the first span and closes when all are quiet for the hold."""

    def __init__(self, rules: Rules, state: WatchState) -> None:
        self._rules = rules
        self._after = state.after
        self._until = state.frame
        self._waiting: list[Span] = []  # in the order of their beginnings
        self._open: _Open | None = None
        if state.open is not None:
            at = state.open
            span = Span(at.begin, at.begin + 1, at.end - 1, at.end, at.source, at.peak)
            self._open = _Open(at.begin, at.source, at.begin, span)
            self._open.is_shown = True

    def take(self, spans: Iterable[Span], until: int, edges: Edges) -> list[Found]:
        """Take in spans; all that begin before the frame `until` have come now. Give what has opened or closed."""
        self._enter(spans)
        self._until = max(self._until, until)
        found = self._advance(self._until, edges)
        quiet_until = min([self._until, *(span.begin for span in self._waiting[:1])])
        if self._open is not None and quiet_until - self._open.end >= self._rules.hold:
            found += self._close(edges, None)
        return found + self._shown(edges)

    def finish(self, spans: Iterable[Span], end: int, edges: Edges) -> list[Found]:
        """Take in the last spans, at the end of the segment, and close what is open; give what has closed."""
        self._enter(spans)
        found = self._advance(None, edges)
        if self._open is not None:
            found += self._close(edges, end)
        self._until = max(self._until, end)
        return found

    def state(self, edges: Edges) -> WatchState:
        """Give what another detector needs to go on."""
        frame = min([self._until, *(span.begin for span in self._waiting)])
        if self._open is None:
            return WatchState(frame, self._after)
        if not self._open.is_shown:
            return WatchState(min(frame, self._open.reread), self._after)
        return WatchState(frame, self._after, self._found(self._open, self._open.exact_end(edges), None))

    def _enter(self, spans: Iterable[Span]) -> None:
        self._waiting = sorted([*self._waiting, *spans], key=lambda span: (span.begin, span.source.uri))

    def _advance(self, until: int | None, edges: Edges) -> list[Found]:
        """Go through the spans before which none can come any more."""
        found: list[Found] = []
        while self._waiting and (until is None or self._waiting[0].first_end <= until):
            if self._open is not None and self._goes_on(self._waiting[0]):
                self._open.add(self._waiting.pop(0))
                continue
            first, begin = _onset(self._waiting, edges)
            if self._open is not None:
                if begin - self._open.exact_end(edges) < self._rules.hold:
                    self._open.add(self._waiting.pop(0))
                    continue
                found += self._close(edges, None)
            span = self._waiting.pop(0)
            self._open = _Open(begin, first.source, span.begin, span)
        return found

    def _goes_on(self, span: Span) -> bool:
        """Tell whether a span surely belongs to what is open, as far as blocks tell."""
        assert self._open is not None
        return span.first_end - self._open.least_end < self._rules.hold

    def _shown(self, edges: Edges) -> list[Found]:
        """Give what is open once it is long enough."""
        at = self._open
        if at is None or at.is_shown or at.least_end - at.begin < self._rules.least:
            return []
        at.is_shown = True
        return [self._found(at, at.exact_end(edges), None)]

    def _close(self, edges: Edges, limit: int | None) -> list[Found]:
        at = self._open
        assert at is not None
        self._open = None
        end = at.exact_end(edges)
        if not at.is_shown and end - at.begin < self._rules.least:
            return []
        to_frame = end + self._rules.hold
        found = self._found(at, end, to_frame if limit is None else max(end, min(to_frame, limit)))
        assert found.to_frame is not None
        self._after = found.to_frame
        return [found]

    def _found(self, at: _Open, end: int, to_frame: int | None) -> Found:
        return Found(at.begin, end, max(self._after, at.begin - self._rules.pre_roll), to_frame, at.source, at.peak)


def _onset(waiting: Sequence[Span], edges: Edges) -> tuple[Span, int]:
    """Give the span that is first to the sample, among those whose first block begins before that, and where."""
    first, begin = waiting[0], _first(waiting[0], edges)
    for span in waiting[1:]:
        if span.begin >= begin:
            break
        other = _first(span, edges)
        if other < begin:
            first, begin = span, other
    return first, begin


def _first(span: Span, edges: Edges) -> int:
    return span.begin if span.first_end == span.begin + 1 else edges.first(span)
