"""Where the marks of a time axis stand and what they say: at round times, as close as their labels allow.

All times are whole nanoseconds; lengths across the picture are in pixels.
"""

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_NS = 1_000_000_000
_MINUTE, _HOUR, _DAY = 60 * _NS, 3600 * _NS, 86_400 * _NS
_STEPS: tuple[int, ...] = (
    *(base * 10**power for power in range(3, 9) for base in (1, 2, 5)),  # from a microsecond on
    *(seconds * _NS for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
    *(base * 10**power * _DAY for power in range(6) for base in (1, 2, 5)),
)
_GAP = 18  # pixels between two labels of an axis
_APART = 8  # where one is longer, or moved from the edge

TextWidth = Callable[[str], float]
"""Gives the pixels that a text takes."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark `at` ns (from the start of the range, or since the Unix epoch), and its label."""

    at: int
    label: str


@dataclass(frozen=True, slots=True)
class ClockSpan:
    """The sample positions `[from_sample, to_sample)` and the wall clock at both, in ns since the Unix epoch."""

    from_sample: int
    to_sample: int
    first_ns: int
    last_ns: int


def range_ticks(length_ns: int, pixels: int, width_of: TextWidth) -> list[Tick]:
    """Give the marks of an axis that shows `[0, length_ns]` on so many pixels: 0:00, 0:05; from an hour on 0:05:00."""
    with_hours = length_ns >= _HOUR
    step = _step(length_ns / pixels, lambda step: width_of(_range_label(length_ns, step, with_hours)))
    return [Tick(at, _range_label(at, step, with_hours)) for at in range(0, length_ns + 1, step)]


def clock_ticks(spans: tuple[ClockSpan, ...], ns_per_pixel: float, width_of: TextWidth) -> Iterator[tuple[float, Tick]]:
    """Give marks at round times of day (UTC), each with the sample position that it stands at, in order.

    The first of each day has the date, in ISO 8601: 2026-11-25T10:00:00Z; the others the time: 10:00:05Z.
    """
    step = _step(ns_per_pixel, lambda step: width_of(_clock_label(0, step, with_date=step >= _DAY)))
    day = None
    for span in spans:
        length_ns = span.last_ns - span.first_ns
        if length_ns <= 0:  # the wall clock was set back
            continue
        for at in range(-(-span.first_ns // step) * step, span.last_ns, step):
            position = span.from_sample + (span.to_sample - span.from_sample) * ((at - span.first_ns) / length_ns)
            yield position, Tick(at, _clock_label(at, step, with_date=at // _DAY != day))
            day = at // _DAY


def place_labels(
    marks: Sequence[tuple[float, str]], left: float, right: float, width_of: TextWidth
) -> list[tuple[float, str]]:
    """Give where labels begin, in pixels; `marks` are the places that they are of, in order.

    Each is centred on its mark, but inside of `left` and `right`. Of those that would meet, the longer one stays, which
    has the date, and then the one before.
    """
    placed: list[tuple[float, str]] = []
    for at, label in sorted(marks, key=lambda mark: -len(mark[1])):
        width = width_of(label)
        start = min(max(at - width / 2, left), right - width)
        if all(start >= other + width_of(text) + _APART or other >= start + width + _APART for other, text in placed):
            placed.append((start, label))
    return sorted(placed)


def _step(ns_per_pixel: float, label_width: Callable[[int], float]) -> int:
    """Give the shortest step that leaves room for the labels, the widest of which `label_width` gives for a step."""
    return next((step for step in _STEPS if step >= (label_width(step) + _GAP) * ns_per_pixel), _STEPS[-1])


def _range_label(at: int, step: int, with_hours: bool) -> str:
    seconds, rest = divmod(at, _NS)
    minutes, seconds = divmod(seconds, 60)
    if with_hours:
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}{_fraction(rest, step)}"
    return f"{minutes}:{seconds:02}{_fraction(rest, step)}"


def _clock_label(at: int, step: int, *, with_date: bool) -> str:
    seconds, rest = divmod(at, _NS)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{_fraction(rest, step)}Z"[0 if with_date else 11 :]


def _fraction(rest: int, step: int) -> str:
    """Give the decimals of a second that a step needs."""
    digits = 0
    while step % _NS:
        step *= 10
        digits += 1
    return "." + f"{rest:09}"[:digits] if digits else ""
