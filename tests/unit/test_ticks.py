"""The marks of time axes: round, in order, with room for their labels."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.formats.ticks import ClockSpan, clock_ticks, place_labels, range_ticks

NS = 10**9
NOON_NS = 1_764_072_000 * NS  # 2025-11-25T12:00:00Z
RATE = 48_000


def width_of(text: str) -> float:
    return 7 * len(text)


@pytest.mark.parametrize(
    ("length_ns", "first", "last"),
    [
        (60 * NS, ["0:00", "0:05"], "1:00"),
        (12 * NS, ["0:00", "0:01"], "0:12"),
        (50_000_000, ["0:00.000", "0:00.005"], "0:00.050"),
        (1_000_000, ["0:00.0000", "0:00.0001"], "0:00.0010"),
        (4 * 3600 * NS, ["0:00:00", "0:30:00"], "4:00:00"),
        (86_400 * NS, ["0:00:00", "2:00:00"], "24:00:00"),
        (400 * 86_400 * NS, ["0:00:00", "1200:00:00"], "9600:00:00"),
    ],
)
def test_marks_from_the_start_of_a_range(length_ns: int, first: list[str], last: str) -> None:
    labels = [tick.label for tick in range_ticks(length_ns, 1000, width_of)]
    assert labels[:2] == first
    assert labels[-1] == last


@settings(max_examples=40)
@given(length_ns=st.integers(20_000, 10**17), pixels=st.integers(100, 10_000))
def test_labels_have_room(length_ns: int, pixels: int) -> None:
    ticks = range_ticks(length_ns, pixels, width_of)
    assert ticks[0].at == 0
    assert len({tick.label for tick in ticks}) == len(ticks)
    places = [tick.at * pixels / length_ns for tick in ticks]
    assert max(places) <= pixels
    for place, after, tick in zip(places, places[1:], ticks, strict=False):
        assert after - place > width_of(tick.label) + 4


def test_a_time_of_day_stands_at_its_sample_and_a_new_day_has_its_date() -> None:
    begin_ns = NOON_NS + 12 * 3600 * NS - 3 * NS // 2
    span = ClockSpan(1000, 1000 + 4 * RATE, begin_ns, begin_ns + 4 * NS)
    found = [(round(position), tick.label) for position, tick in clock_ticks((span,), 4 * NS / 400, width_of)]
    assert found == [
        (1000 + RATE // 2, "2025-11-25T23:59:59Z"),
        (1000 + 3 * RATE // 2, "2025-11-26T00:00:00Z"),
        (1000 + 5 * RATE // 2, "00:00:01Z"),
        (1000 + 7 * RATE // 2, "00:00:02Z"),
    ]


def test_between_two_takes_the_wall_clock_jumps() -> None:
    spans = (
        ClockSpan(0, 2 * RATE, NOON_NS, NOON_NS + 2 * NS),
        ClockSpan(2 * RATE, 3 * RATE, NOON_NS, NOON_NS - NS),  # set back: says nothing
        ClockSpan(3 * RATE, 4 * RATE, NOON_NS + 60 * NS, NOON_NS + 61 * NS),
    )
    found = [(position, tick.label) for position, tick in clock_ticks(spans, 4 * NS / 400, width_of)]
    assert found == [(0, "2025-11-25T12:00:00Z"), (RATE, "12:00:01Z"), (3 * RATE, "12:01:00Z")]


@settings(max_examples=50)
@given(
    days=st.floats(0.001, 40), pixels=st.integers(300, 3000), begin_s=st.integers(0, 86_400), left=st.integers(10, 60)
)
def test_no_labels_meet_and_dates_stay(days: float, pixels: int, begin_s: int, left: int) -> None:
    length_ns = int(days * 86_400 * NS)
    begin_ns = NOON_NS + begin_s * NS
    ticks = [
        tick
        for _, tick in clock_ticks((ClockSpan(0, 1, begin_ns, begin_ns + length_ns),), length_ns / pixels, width_of)
    ]
    marks = [(left + (tick.at - begin_ns) / length_ns * pixels, tick.label) for tick in ticks]
    placed = place_labels(marks, 4, left + pixels + 10, width_of)
    assert {label for _, label in placed} <= {label for _, label in marks}
    for (start, label), (after, _) in itertools.pairwise(placed):
        assert after >= start + width_of(label) + 8
    for start, label in placed:
        assert 4 <= start <= left + pixels + 10 - width_of(label)
    dated = [at for at, label in marks if "T" in label]
    if all(after - before > 300 for before, after in itertools.pairwise(dated)):
        assert sum("T" in label for _, label in placed) == len(dated)
