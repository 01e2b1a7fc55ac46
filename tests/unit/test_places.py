"""Places in time: what is understood, what is refused, and the arithmetic."""

import contextlib
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.errors import InvalidValueError
from jackcapture.model.places import (
    MAX_DURATION_NS,
    MAX_SAMPLE_POSITION,
    BeforeHeadPlace,
    HeadPlace,
    Place,
    SamplePlace,
    StartPlace,
    duration_frames,
    parse_duration,
    parse_place,
    resolve_place,
)

MS = 1_000_000
S = 1000 * MS
FORMS = ("start", "head", "-DURATION", "sample:N")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("start", StartPlace()),
        ("head", HeadPlace()),
        ("-30s", BeforeHeadPlace(30 * S)),
        ("-1m30s", BeforeHeadPlace(90 * S)),
        ("-250ms", BeforeHeadPlace(250 * MS)),
        ("-1h", BeforeHeadPlace(3600 * S)),
        ("-1.5s", BeforeHeadPlace(1500 * MS)),
        ("-1h2m3s4ms", BeforeHeadPlace(3723 * S + 4 * MS)),
        ("-1h250ms", BeforeHeadPlace(3600 * S + 250 * MS)),
        ("-90m", BeforeHeadPlace(5400 * S)),
        ("-1m90s", BeforeHeadPlace(150 * S)),
        ("-0m5s", BeforeHeadPlace(5 * S)),
        ("-1m0.5s", BeforeHeadPlace(60 * S + 500 * MS)),
        ("-0.000001ms", BeforeHeadPlace(1)),
        ("-87600h", BeforeHeadPlace(MAX_DURATION_NS)),
        ("sample:0", SamplePlace(0)),
        ("sample:48000", SamplePlace(48000)),
        ("sample:9223372036854775807", SamplePlace(2**63 - 1)),
    ],
)
def test_what_a_place_means(text: str, place: Place) -> None:
    assert parse_place(text) == place


MALFORMED_PLACES = [
    "",
    " ",
    "Start",
    "HEAD",
    "start ",
    " head",
    "head\n",
    "\nhead",
    "-30s\n",
    "sample:5\n",
    "starts",
    "head-30s",
    "end",
    "now",
    "30s",
    "+30s",
    "--30s",
    "- 30s",
    "-",
    "-s",
    "-30",
    "-2.5",
    "-30sec",
    "-30S",
    "-30 s",
    "-30s1m",
    "-1s1s",
    "-1d",
    "-1us",
    "-1.s",
    "-.5s",
    "-1..5s",
    "-1,5s",
    "-1e3s",
    "-1.5m30s",
    "-0s",
    "-0h0m0s0ms",
    "-0.0000001ms",
    "-1.0000000001s",
    "-87600h1ms",
    "-99999999999999999999h",
    "-infs",
    "-nans",
    "-１s",  # noqa: RUF001 - a digit to str.isdigit, not to us
    "sample",
    "sample:",
    "sample:-1",
    "sample:+1",
    "sample: 1",
    "sample:1.0",
    "sample:1e3",
    "sample:1_000",
    "sample:0x10",
    "sample:٣",
    "sample:²",
    "sample:9223372036854775808",
    "Sample:1",
    "head\x00",
    "frame:5",
]


@pytest.mark.parametrize("text", MALFORMED_PLACES)
def test_a_malformed_place_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_place(text)
    assert repr(text) in caught.value.message
    assert caught.value.details == {"place": text}


@pytest.mark.parametrize("text", ["", "nonsense", "30s", "-30", "-1d", "-0s", "sample:x"])
def test_the_refusal_says_what_would_be_right(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_place(text)
    message = caught.value.message
    if text.startswith("-"):
        assert "such as 30s" in message or "-30s" in message or "longer than nothing" in message
    elif text.startswith("sample:"):
        assert "N must be a whole number" in message
    else:
        assert all(form in message for form in FORMS)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T10:00:00.250Z",
        "2026-11-22",
        "take:2.start",
        "take:2.end",
        "session:abc.start",
        "segment:1.start",
        "segment:1.end",
        "mark:chorus",
        "transport:48000",
        "bar:17",
        "bar:17.1.0",
    ],
)
def test_a_form_that_is_not_built_yet_is_refused_as_such(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_place(text)
    assert repr(text) in caught.value.message
    assert "this version cannot look up yet" in caught.value.message
    assert all(form in caught.value.message for form in FORMS)


@pytest.mark.parametrize("text", ["-" + "9" * 100_000 + "s", "sample:" + "9" * 100_000, "x" * 100_000])
def test_a_long_text_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_place(text)
    assert len(caught.value.message) < 200
    assert f"{len(text)} characters" in caught.value.message


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("30", 30 * S),
        ("2.5", 2500 * MS),
        ("0.1", 100 * MS),
        ("0.000000001", 1),
        ("30s", 30 * S),
        ("1m30s", 90 * S),
        ("250ms", 250 * MS),
        ("1h", 3600 * S),
        ("1.5h", 5400 * S),
        ("1.10s", 1100 * MS),
        ("315360000", MAX_DURATION_NS),
    ],
)
def test_what_a_duration_means(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "0",
            "0.0",
            "0s",
            "-30",
            "-30s",
            "+30",
            "30 ",
            " 30",
            "30\n",
            "1:30",
            "30sec",
            ".5",
            "5.",
            "1e3",
        ),
        *(
            "1_0",
            "inf",
            "nan",
            "1s1m",
            "1d",
            "0.0000000001",
            "315360000.1",
            "87600h1ms",
            "1.5m2s",
            "٣",
            "s",
            "head",
        ),
    ],
)
def test_a_malformed_duration_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_duration(text)
    assert repr(text) in caught.value.message
    assert caught.value.details == {"duration": text}


def test_a_long_duration_text_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="at most 128"):
        parse_duration("9" * 5000)


def written(nanoseconds: int) -> str:
    """Write a duration as seconds, in full."""
    return f"{Decimal(nanoseconds).scaleb(-9):f}s"


durations = st.integers(1, MAX_DURATION_NS)
positions = st.integers(0, MAX_SAMPLE_POSITION)


@given(durations)
def test_every_nanosecond_can_be_written(nanoseconds: int) -> None:
    text = written(nanoseconds)
    assert parse_duration(text) == nanoseconds
    assert parse_duration(text.removesuffix("s")) == nanoseconds
    assert parse_place(f"-{text}") == BeforeHeadPlace(nanoseconds)


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999), st.integers(1, 999_999))
def test_parts_add_up(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"
    assert parse_duration(text) == ((hours * 60 + minutes) * 60 + seconds) * S + milliseconds * MS


@given(positions)
def test_every_sample_position_can_be_written(position: int) -> None:
    place = parse_place(f"sample:{position}")
    assert place == SamplePlace(position)
    assert resolve_place(place, first_sample=7, head_sample=9, sample_rate=48000) == position


@given(st.text(alphabet="starhed-0123456789.hms:ample \n", max_size=30) | st.text(max_size=200))
def test_any_text_is_a_place_or_an_invalid_value(text: str) -> None:
    for parse in (parse_place, parse_duration):
        with contextlib.suppress(InvalidValueError):
            parse(text)


@given(durations, positions, st.integers(1, 768_000))
def test_before_the_head_is_the_nearest_frame(nanoseconds: int, head: int, rate: int) -> None:
    position = resolve_place(BeforeHeadPlace(nanoseconds), first_sample=0, head_sample=head, sample_rate=rate)
    exact = head - Fraction(nanoseconds * rate, S)
    assert abs(position - exact) <= Fraction(1, 2)
    assert position == head - duration_frames(nanoseconds, rate)


@given(durations, durations, st.integers(1, 768_000))
def test_longer_is_never_fewer_frames(one: int, other: int, rate: int) -> None:
    assert (one <= other) <= (duration_frames(one, rate) <= duration_frames(other, rate))


@given(positions, positions)
def test_the_ends_are_what_they_are_said_to_be(first: int, head: int) -> None:
    assert resolve_place(StartPlace(), first_sample=first, head_sample=head, sample_rate=44100) == first
    assert resolve_place(HeadPlace(), first_sample=first, head_sample=head, sample_rate=44100) == head


def test_a_half_frame_goes_to_the_earlier_one() -> None:
    half = BeforeHeadPlace(S // 2)
    assert resolve_place(half, first_sample=0, head_sample=10, sample_rate=1) == 9


def test_nothing_is_clamped() -> None:
    assert resolve_place(BeforeHeadPlace(10 * S), first_sample=0, head_sample=5, sample_rate=48000) == 5 - 480000
