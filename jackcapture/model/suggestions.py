"""Suggestions: what stood out while a triggered session recorded on, for somebody to accept or to dismiss."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from jackcapture.errors import InvalidValueError
from jackcapture.model.sessions import SegmentRange
from jackcapture.model.uris import StreamUri


class SuggestionStatus(enum.StrEnum):
    """Where a suggestion is in its life."""

    OPEN = "open"  # it goes on: its end is not known
    PENDING = "pending"  # it has ended, and nobody has decided
    ACCEPTED = "accepted"  # it was cut
    DISMISSED = "dismissed"


class SuggestionReason(enum.StrEnum):
    """What stood out first."""

    LEVEL = "level"
    MIDI = "midi"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A range of a segment that stood out, in 64-bit JACK frames.

    `[from_frame, to_frame)` is what is suggested, with pre-roll and hold; `to_frame` is None while it is open.
    `[begin_frame, end_frame)` is what stood out, to the sample, so far. `peak` is the largest sample of all audio
    streams in it, full scale 1; None if only MIDI stood out. `problem` says why it could not be accepted by itself.
    """

    id: str
    session_id: str
    segment: int
    status: SuggestionStatus
    reason: SuggestionReason
    stream_uri: StreamUri
    peak: float | None
    begin_frame: int
    end_frame: int
    from_frame: int
    to_frame: int | None
    found_at_ns: int
    decided_at_ns: int | None = None
    artifacts: tuple[str, ...] = ()
    problem: str = ""

    @property
    def is_decided(self) -> bool:
        """Whether somebody has accepted or dismissed it."""
        return self.decided_at_ns is not None

    def range_in(self, found: SegmentRange, end: int | None = None) -> tuple[int, int | None] | None:
        """Give the sample positions `[from, to)` that it has of a stream's range; None if it has nothing of it.

        `end` is the position after the last of a range that has no end yet; `to` is None while the suggestion is open.
        """
        begin = max(found.position_of(self.from_frame), found.from_sample)
        limit = found.to_sample if found.to_sample is not None else end
        if self.to_frame is None:
            return None if limit is not None and begin >= limit else (begin, None)
        to = found.position_of(self.to_frame)
        to = to if limit is None else min(to, limit)
        return None if begin >= to else (begin, to)


SuggestionCounts = Mapping[SuggestionStatus, int]


def parse_suggestion_status(text: str) -> SuggestionStatus:
    """Read the status of suggestions that are asked for; raises `InvalidValueError`."""
    try:
        return SuggestionStatus(text)
    except ValueError:
        raise InvalidValueError(
            f"{text[:80]!r} is no status of a suggestion: it must be one of {', '.join(SuggestionStatus)}",
            status=text[:80],
        ) from None
