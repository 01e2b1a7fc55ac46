"""Lengths of time as users write them."""

import re

from jackcapture.errors import InvalidValueError

SECOND_NS = 1_000_000_000
MAX_DURATION_NS = 10 * 365 * 24 * 3600 * SECOND_NS
MAX_TEXT_LENGTH = 128  # also keeps the work on a malformed text small

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
    check_length("duration", text)
    try:
        if _SECONDS.fullmatch(text):
            return _within_limits(_scaled(text, SECOND_NS))
        return _nanoseconds(text)
    except ValueError as error:
        raise InvalidValueError(
            f"{text!r} is not a duration that can be used: {error}; a bare number means seconds",
            duration=text,
        ) from None


def nanoseconds_with_unit(text: str) -> int:
    """Read a duration that could as well be meant as samples if it had no unit; `ValueError` says what is wrong."""
    if _SECONDS.fullmatch(text):
        raise ValueError(f"it has no unit; {text}s would be seconds")
    return _nanoseconds(text)


def check_length(what: str, text: str) -> None:
    """Raise `InvalidValueError` for a text that is too long to be looked at; it is not repeated in full."""
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidValueError(
            f"{text[:40] + '...'!r} is not a {what}: it has {len(text)} characters; "
            f"a {what} has at most {MAX_TEXT_LENGTH}"
        )


def duration_frames(nanoseconds: int, sample_rate: int) -> int:
    """Give the frames that a duration (ns) takes at a sample rate (Hz), to the nearest frame, halves up."""
    return (2 * nanoseconds * sample_rate + SECOND_NS) // (2 * SECOND_NS)
