"""Places in time as users write them, and durations: parsed here and nowhere else.

Every door takes a place as text. This version understands the forms of `_FORMS`; a new form is a new type in
`Place`, a row in `_FORMS` and a case in `resolve_place`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from jackcapture.errors import ConflictError, InvalidValueError

SECOND_NS = 1_000_000_000
MAX_DURATION_NS = 10 * 365 * 24 * 3600 * SECOND_NS
MAX_SAMPLE_POSITION = 2**63 - 1
MAX_START_AHEAD_SECONDS = 3600
MAX_PLACE_LENGTH = 128  # also keeps the work on a malformed text small


@dataclass(frozen=True, slots=True)
class StartPlace:
    """The first sample kept."""


@dataclass(frozen=True, slots=True)
class HeadPlace:
    """The sample position after the newest frame."""


@dataclass(frozen=True, slots=True)
class BeforeHeadPlace:
    """A time before the head, in nanoseconds."""

    nanoseconds: int


@dataclass(frozen=True, slots=True)
class SamplePlace:
    """A sample position of the stream."""

    position: int


Place = StartPlace | HeadPlace | BeforeHeadPlace | SamplePlace


# --- Durations

_UNITS_NS = {"h": 3600 * SECOND_NS, "m": 60 * SECOND_NS, "s": SECOND_NS, "ms": SECOND_NS // 1000}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_PARTS = re.compile("".join(rf"(?:(?P<{unit}>{_NUMBER}){unit})?" for unit in _UNITS_NS))
_SECONDS = re.compile(_NUMBER)
_DURATION_FORMS = "such as 30s, 1m30s, 250ms, 1h or 1.5s (h, m, s, ms in this order, decimals only in the last)"


def _scaled(number: str, unit_ns: int) -> int:
    """Give a decimal number of a unit in nanoseconds, exactly; `ValueError` where that is no whole number."""
    whole, _, decimals = number.partition(".")
    denominator: int = 10 ** len(decimals)
    nanoseconds, rest = divmod(int(whole + decimals) * unit_ns, denominator)
    if rest:
        raise ValueError("it is finer than a nanosecond")
    return nanoseconds


def _nanoseconds(text: str) -> int:
    """Read a duration with units; `ValueError` says what is wrong with it."""
    found = _PARTS.fullmatch(text)
    parts = [(unit, number) for unit, number in found.groupdict().items() if number] if found else []
    if not parts or any("." in number for _, number in parts[:-1]):
        raise ValueError(f"it must be a duration {_DURATION_FORMS}")
    return _within_limits(sum(_scaled(number, _UNITS_NS[unit]) for unit, number in parts))


def _within_limits(nanoseconds: int) -> int:
    if nanoseconds == 0:
        raise ValueError("it must be longer than nothing")
    if nanoseconds > MAX_DURATION_NS:
        raise ValueError(f"it must be at most 10 years ({MAX_DURATION_NS // _UNITS_NS['h']}h)")
    return nanoseconds


def parse_duration(text: str) -> int:
    """Read a duration, such as `30s`, `1m30s`, `250ms`, `1.5s`, or a bare number of seconds, `30` or `2.5`.

    Returns nanoseconds, exact, more than 0. Raises `InvalidValueError` if it is no duration, finer than a
    nanosecond or longer than 10 years.
    """
    _check_length("duration", text)
    try:
        if _SECONDS.fullmatch(text):
            return _within_limits(_scaled(text, SECOND_NS))
        return _nanoseconds(text)
    except ValueError as error:
        raise InvalidValueError(
            f"{text!r} is not a duration that can be used: {error}; a bare number means seconds",
            duration=text,
        ) from None


# --- Places


@dataclass(frozen=True, slots=True)
class _Form:
    """One way to write a place. `make` reads the pattern's group; its `ValueError` says what is wrong."""

    written: str
    pattern: re.Pattern[str]
    make: Callable[[str], Place]


def _sample_place(digits: str) -> SamplePlace:
    if re.fullmatch(r"[0-9]+", digits) is None:
        raise ValueError("N must be a whole number from 0, in digits only")
    position = int(digits)
    if position > MAX_SAMPLE_POSITION:
        raise ValueError(f"N must be at most {MAX_SAMPLE_POSITION}")
    return SamplePlace(position)


def _before_head_place(duration: str) -> BeforeHeadPlace:
    if _SECONDS.fullmatch(duration):
        # Without a unit it could as well be meant as samples.
        raise ValueError(f"it has no unit; -{duration}s would be seconds")
    return BeforeHeadPlace(_nanoseconds(duration))


_FORMS = (
    _Form("start", re.compile("start()"), lambda _: StartPlace()),
    _Form("head", re.compile("head()"), lambda _: HeadPlace()),
    _Form(
        "-DURATION (before the head: -30s, -1m30s, -250ms)",
        re.compile("-(.*)", re.DOTALL),
        _before_head_place,
    ),
    _Form("sample:N (a sample position)", re.compile("sample:(.*)", re.DOTALL), _sample_place),
)

# Agreed and not built yet: a user who writes one of these should hear that it was not a typing mistake.
_LATER_FORMS = (
    ("a wall clock time", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*", re.DOTALL)),
    ("an end of a take", re.compile("take:.*", re.DOTALL)),
    ("an end of a session", re.compile("session:.*", re.DOTALL)),
    ("an end of a segment", re.compile("segment:.*", re.DOTALL)),
    ("a mark", re.compile("mark:.*", re.DOTALL)),
    ("a place of the JACK transport", re.compile("(transport|bar):.*", re.DOTALL)),
)

_UNDERSTOOD = ", ".join(form.written for form in _FORMS[:-1]) + f" and {_FORMS[-1].written}"


def _check_length(what: str, text: str) -> None:
    if len(text) > MAX_PLACE_LENGTH:
        raise InvalidValueError(
            f"{text[:40] + '...'!r} is not a {what}: it has {len(text)} characters; "
            f"a {what} has at most {MAX_PLACE_LENGTH}"
        )


def parse_place(text: str) -> Place:
    """Read a place in time: `start`, `head`, `-DURATION` or `sample:N`.

    Raises `InvalidValueError`, which says what would be understood.
    """
    _check_length("place", text)
    for form in _FORMS:
        found = form.pattern.fullmatch(text)
        if found is None:
            continue
        try:
            return form.make(found[1])
        except ValueError as error:
            raise InvalidValueError(f"{text!r} is not a place that can be used: {error}", place=text) from None
    for name, pattern in _LATER_FORMS:
        if pattern.fullmatch(text):
            raise InvalidValueError(
                f"{text!r} names {name}, which this version cannot look up yet: it understands only {_UNDERSTOOD}",
                place=text,
            )
    raise InvalidValueError(f"{text!r} is not a place: this version understands {_UNDERSTOOD}", place=text)


# --- Starts


@dataclass(frozen=True, slots=True)
class BeforeNow:
    """A time before now, in nanoseconds; 0 is now."""

    nanoseconds: int


@dataclass(frozen=True, slots=True)
class AtFrame:
    """A 64-bit JACK frame."""

    frame: int


StartMoment = BeforeNow | AtFrame


def parse_start(text: str) -> StartMoment:
    """Read when a take is to begin: `now`, `-DURATION` or a 64-bit JACK frame; raises `InvalidValueError`."""
    _check_length("start", text)
    if text == "now":
        return BeforeNow(0)
    try:
        if re.fullmatch(r"[0-9]+", text):
            frame = int(text)
            if frame > MAX_SAMPLE_POSITION:
                raise ValueError(f"a frame is at most {MAX_SAMPLE_POSITION}")
            return AtFrame(frame)
        if text.startswith("-"):
            return BeforeNow(_before_head_place(text[1:]).nanoseconds)
        raise ValueError("it must be now, -DURATION (such as -5s) or a JACK frame in digits")
    except ValueError as error:
        raise InvalidValueError(f"{text!r} is not a moment at which a take can begin: {error}", at=text) from None


def resolve_start(start: StartMoment, *, frame: int, sample_rate: int) -> int:
    """Give the 64-bit JACK frame of a start; `frame` is JACK's now, `sample_rate` in Hz.

    Raises `ConflictError` for a time before JACK began to count, `InvalidValueError` for a frame far ahead.
    """
    wanted = start.frame if isinstance(start, AtFrame) else frame - duration_frames(start.nanoseconds, sample_rate)
    if wanted < 0:
        raise ConflictError(
            f"a take cannot begin {(frame - wanted) / sample_rate:.2f} s before now: its ring goes back to frame 0 at "
            f"the most, {frame / sample_rate:.2f} s before now",
            frame=frame,
        )
    if wanted > frame + MAX_START_AHEAD_SECONDS * sample_rate:
        raise InvalidValueError(
            f"a take cannot begin at frame {wanted}: JACK is at frame {frame}; a start may lie before that, as far as "
            f"the ring holds, and at most {MAX_START_AHEAD_SECONDS} s after it",
            start_frame=wanted,
            frame=frame,
        )
    return wanted


def duration_frames(nanoseconds: int, sample_rate: int) -> int:
    """Give the frames that a duration (ns) takes at a sample rate (Hz), to the nearest frame, halves up."""
    return (2 * nanoseconds * sample_rate + SECOND_NS) // (2 * SECOND_NS)


def resolve_place(place: Place, *, first_sample: int, head_sample: int, sample_rate: int) -> int:
    """Give the sample position of a place, to the nearest frame; halves go to the earlier one.

    `first_sample` is the first sample position kept, `head_sample` the one after the newest frame,
    `sample_rate` is in Hz. Nothing is clamped: the result may lie outside, even below 0; that is the caller's
    matter.
    """
    match place:
        case StartPlace():
            return first_sample
        case HeadPlace():
            return head_sample
        case BeforeHeadPlace(nanoseconds):
            return head_sample - duration_frames(nanoseconds, sample_rate)
        case SamplePlace(position):
            return position
        case _:
            assert_never(place)
