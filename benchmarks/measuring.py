"""Times of alternating pairs, and what is told of them."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

MIN_PAIRS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure: the median, lowest and highest of `runs` values.

    `aim` is in words; `met` is None for what is shown and not judged. A row without values was skipped, for `note`.
    """

    name: str
    what: str
    unit: str
    median: float | None
    low: float | None
    high: float | None
    runs: int
    aim: str = ""
    met: bool | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Seconds of two things that were done in turn, and of each pair the first's by the second's."""

    first: tuple[float, ...]
    second: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """The first's seconds by the second's, of each pair."""
        return [ours / theirs for ours, theirs in zip(self.first, self.second, strict=True)]


def timed(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> tuple[float, R]:
    """Do something; give how many seconds it took, and what it gave."""
    began = time.perf_counter()
    result = work(*args, **kwargs)
    return time.perf_counter() - began, result


def in_turn(
    first: Callable[[], float], second: Callable[[], float], pairs: int, before: Callable[[], None] = lambda: None
) -> Pairs:
    """Measure two things alternately; every other pair begins with the second. `before` each one is not measured."""
    if pairs < MIN_PAIRS:
        raise ValueError(f"{pairs} pairs: a median needs at least {MIN_PAIRS}")
    times: tuple[list[float], list[float]] = ([], [])
    works = (first, second)
    for number in range(pairs):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            before()
            times[which].append(works[which]())
    return Pairs(tuple(times[0]), tuple(times[1]))


def figure(name: str, what: str, unit: str, values: Sequence[float], *, aim: str = "", note: str = "") -> Row:
    """Give a row that is shown and not judged."""
    return Row(name, what, unit, statistics.median(values), min(values), max(values), len(values), aim, None, note)


def milliseconds(name: str, what: str, seconds: Sequence[float], *, aim: str = "", note: str = "") -> Row:
    """Give a row of short times, shown and not judged."""
    return figure(name, what, "ms", [1000 * it for it in seconds], aim=aim, note=note)


def ratio(
    name: str,
    what: str,
    values: Sequence[float],
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    note: str = "",
) -> Row:
    """Give a row of ratios whose median is judged by one limit, or by none."""
    median, aim, met = statistics.median(values), "", None
    if at_most is not None:
        aim, met = f"≤ {at_most:g}", median <= at_most
    elif at_least is not None:
        aim, met = f"≥ {at_least:g}", median >= at_least
    return Row(name, what, "x", median, min(values), max(values), len(values), aim, met, note)


def skipped(name: str, what: str, why: str) -> Row:
    """Give the row of what cannot be measured here."""
    return Row(name, what, "", None, None, None, 0, note=f"skipped: {why}")


def run(*command: str) -> None:
    """Run a program; raises RuntimeError with what it said if it fails."""
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}: {done.stderr.strip()}")


def say(text: str) -> None:
    """Tell what is going on, apart from the results."""
    print(text, file=sys.stderr, flush=True)
