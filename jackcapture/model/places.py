"""Places in time as users write them: parsed here and nowhere else.

Every door takes a place as text: an anchor, and perhaps an offset from it, such as `mark:solo-2s`. A new form is a new
type in `Anchor`, a row in `_FORMS` and a case where control looks anchors up.
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from jackcapture.errors import InvalidValueError
from jackcapture.model.durations import (
    MAX_DURATION_NS,
    SECOND_NS,
    check_length,
    duration_frames,
    nanoseconds_with_unit,
)
from jackcapture.model.takes import TRANSPORT_FRAMES

MAX_SAMPLE_POSITION = 2**63 - 1
_MAX_NUMBER = 2**31 - 1  # of takes, segments, bars, beats and ticks
MAX_TRANSPORT_FRAME = TRANSPORT_FRAMES - 1
_MAX_OFFSETS = 4


class End(enum.StrEnum):
    """Which end of something that lasts."""

    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class StartPlace:
    """The first sample kept."""


@dataclass(frozen=True, slots=True)
class HeadPlace:
    """The sample position after the newest frame."""


@dataclass(frozen=True, slots=True)
class SamplePlace:
    """A sample position of the stream."""

    position: int


@dataclass(frozen=True, slots=True)
class WallClockPlace:
    """A moment in nanoseconds of Unix time."""

    ns: int


@dataclass(frozen=True, slots=True)
class TakePlace:
    """An end of a take, by its number in the stream."""

    number: int
    end: End


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """An end of a session, by its id."""

    session_id: str
    end: End


@dataclass(frozen=True, slots=True)
class SegmentPlace:
    """An end of a segment, by its number in the session."""

    number: int
    end: End


@dataclass(frozen=True, slots=True)
class MarkPlace:
    """A named checkpoint."""

    name: str


@dataclass(frozen=True, slots=True)
class TransportPlace:
    """A frame of JACK's transport."""

    frame: int


@dataclass(frozen=True, slots=True)
class BarPlace:
    """A bar, beat and tick of JACK's transport; bars and beats count from 1, ticks from 0."""

    bar: int
    beat: int = 1
    tick: int = 0


Anchor = (
    StartPlace
    | HeadPlace
    | SamplePlace
    | WallClockPlace
    | TakePlace
    | SessionPlace
    | SegmentPlace
    | MarkPlace
    | TransportPlace
    | BarPlace
)


@dataclass(frozen=True, slots=True)
class Place:
    """An anchor, and how long after it (before it: negative), in nanoseconds."""

    anchor: Anchor
    offset_ns: int = 0


# --- Parsing


@dataclass(frozen=True, slots=True)
class _Form:
    """One way to write an anchor. `make` reads the pattern's first group; its `ValueError` says what is wrong."""

    written: str
    pattern: re.Pattern[str]
    make: Callable[[str], Anchor]


_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
_OFFSET = re.compile(r"(?P<rest>.*?)(?P<sign>[+-])(?P<duration>[0-9][0-9.]*(?:h|ms|m|s)[0-9.hms]*)", re.DOTALL)
_WALL_CLOCK = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"
    r"(?:\.(?P<decimals>[0-9]{1,9}))?(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?"
)


def _number(digits: str, name: str, low: int, high: int) -> int:
    if re.fullmatch(r"[0-9]+", digits) is None:
        raise ValueError(f"{name} must be a whole number from {low}, in digits only")
    if len(digits) > len(str(high)) + 20 or not low <= int(digits) <= high:
        raise ValueError(f"{name} must be {low} to {high}")
    return int(digits)


def _end(text: str, what: str) -> tuple[str, End]:
    which, dot, end = text.rpartition(".")
    if not dot or end not in tuple(End):
        raise ValueError(f"it must be {what}.start or {what}.end")
    return which, End(end)


def _take_place(text: str) -> TakePlace:
    number, end = _end(text, "take:N")
    return TakePlace(_number(number, "N", 1, _MAX_NUMBER), end)


def _segment_place(text: str) -> SegmentPlace:
    number, end = _end(text, "segment:N")
    return SegmentPlace(_number(number, "N", 1, _MAX_NUMBER), end)


def _session_place(text: str) -> SessionPlace:
    session_id, end = _end(text, "session:ID")
    return SessionPlace(_name(session_id, "a session's id"), end)


def _name(text: str, what: str) -> str:
    if re.fullmatch(_NAME, text) is None:
        raise ValueError(
            f"{text!r} is not {what}, which is up to 64 characters of a-z, 0-9, '.', '_' and '-', beginning with a "
            "letter or digit"
        )
    return text


def _bar_place(text: str) -> BarPlace:
    bar, *rest = text.split(".")
    if len(rest) > 2:
        raise ValueError("it must be bar:BAR, bar:BAR.BEAT or bar:BAR.BEAT.TICK")
    beat = _number(rest[0], "BEAT", 1, _MAX_NUMBER) if rest else 1
    tick = _number(rest[1], "TICK", 0, _MAX_NUMBER) if rest[1:] else 0
    return BarPlace(_number(bar, "BAR", 1, _MAX_NUMBER), beat, tick)


def _wall_clock_place(text: str) -> WallClockPlace:
    found = _WALL_CLOCK.fullmatch(text)
    if found is None:
        raise ValueError("a wall clock time is written as 2026-11-22T10:00:00Z or 2026-11-22T10:00:00.250+01:00")
    if found["zone"] is None:
        raise ValueError(f"it has no time zone; {text}Z would be UTC, {text}+01:00 an hour ahead of it")
    whole = datetime.fromisoformat(f"{found['date']}T{found['time']}{found['zone']}")  # ValueError: no such date
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    seconds = (whole - epoch) // (datetime.resolution * 1_000_000)
    ns = seconds * SECOND_NS + int((found["decimals"] or "").ljust(9, "0"))
    if not 0 <= ns <= MAX_SAMPLE_POSITION:
        raise ValueError("the year must be 1970 to 2261")
    return WallClockPlace(ns)


_FORMS = (
    _Form("start", re.compile("start()"), lambda _: StartPlace()),
    _Form("head", re.compile("head()"), lambda _: HeadPlace()),
    _Form(
        "sample:N (a sample position)",
        re.compile("sample:(.*)", re.DOTALL),
        lambda digits: SamplePlace(_number(digits, "N", 0, MAX_SAMPLE_POSITION)),
    ),
    _Form(
        "2026-11-22T10:00:00.250Z (a wall clock time)",
        re.compile("([0-9]{4}-.*)", re.DOTALL),
        _wall_clock_place,
    ),
    _Form("take:N.start, take:N.end", re.compile("take:(.*)", re.DOTALL), _take_place),
    _Form("session:ID.start, session:ID.end", re.compile("session:(.*)", re.DOTALL), _session_place),
    _Form("segment:N.start, segment:N.end", re.compile("segment:(.*)", re.DOTALL), _segment_place),
    _Form("mark:NAME", re.compile("mark:(.*)", re.DOTALL), lambda name: MarkPlace(_name(name, "a mark's name"))),
    _Form(
        "transport:FRAME",
        re.compile("transport:(.*)", re.DOTALL),
        lambda digits: TransportPlace(_number(digits, "FRAME", 0, MAX_TRANSPORT_FRAME)),
    ),
    _Form("bar:BAR[.BEAT[.TICK]]", re.compile("bar:(.*)", re.DOTALL), _bar_place),
)

_UNDERSTOOD = (
    ", ".join(form.written for form in _FORMS)
    + ", each with an offset if that is wanted, such as mark:solo-2s; and -DURATION alone (before the head: -30s, "
    "-1m30s, -250ms)"
)


def parse_place(text: str) -> Place:
    """Read a place in time. Raises `InvalidValueError`, which says what would be understood."""
    check_length("place", text)
    try:
        place = _parse(text)
    except ValueError as error:
        raise InvalidValueError(f"{text!r} is not a place that can be used: {error}", place=text) from None
    if place is None:
        raise InvalidValueError(f"{text!r} is not a place: it must be one of {_UNDERSTOOD}", place=text)
    return place


def has_offset(text: str) -> bool:
    """Tell whether the end of a text would be read as an offset, so that it cannot be the end of a name."""
    return _OFFSET.fullmatch(text) is not None


def _parse(text: str) -> Place | None:
    offset = 0
    rest = text
    for _ in range(_MAX_OFFSETS):
        found = _OFFSET.fullmatch(rest)
        if found is None:
            break
        nanoseconds = nanoseconds_with_unit(found["duration"])
        offset += nanoseconds if found["sign"] == "+" else -nanoseconds
        rest = found["rest"]
        if not rest:
            # What stands alone is before the head.
            return Place(HeadPlace(), offset) if found["sign"] == "-" else None
    if abs(offset) > MAX_DURATION_NS:
        raise ValueError("its offset must be at most 10 years")
    for form in _FORMS:
        anchor = form.pattern.fullmatch(rest)
        if anchor is not None:
            return Place(form.make(anchor[1]), offset)
    if rest.startswith("-"):
        nanoseconds_with_unit(rest[1:])  # says what is wrong with it
    return None


# --- Resolving


def resolve_place(place: Place, position_of: Callable[[Anchor], int], sample_rate: int) -> int:
    """Give the sample position of a place, to the nearest frame; halves go away from the anchor.

    `position_of` gives the sample position of an anchor, `sample_rate` is in Hz. Nothing is clamped: the result may lie
    outside of what is kept, even below 0; that is the caller's matter.
    """
    frames = duration_frames(abs(place.offset_ns), sample_rate)
    return position_of(place.anchor) + (frames if place.offset_ns > 0 else -frames)
