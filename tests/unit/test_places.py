"""Places in time: what is understood, what is refused, and the arithmetic."""

import contextlib
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.errors import InvalidValueError
from jackcapture.model.durations import MAX_DURATION_NS, duration_frames, parse_duration
from jackcapture.model.places import (
    MAX_SAMPLE_POSITION,
    Anchor,
    BarPlace,
    End,
    HeadPlace,
    MarkPlace,
    Place,
    SamplePlace,
    SegmentPlace,
    SessionPlace,
    StartPlace,
    TakePlace,
    TransportPlace,
    WallClockPlace,
    has_offset,
    parse_place,
    resolve_place,
)

MS = 1_000_000
S = 1000 * MS
HOUR = 3600 * S
MORNING = 1_795_514_400 * S  # 2026-11-24T10:00:00Z
FORMS = (
    *("start", "head", "-DURATION", "sample:N", "2026-11-22T10:00:00.250Z", "take:N.start", "session:ID.start"),
    *("segment:N.start", "mark:NAME", "transport:FRAME", "bar:BAR[.BEAT[.TICK]]"),
)


def before_head(nanoseconds: int) -> Place:
    return Place(HeadPlace(), -nanoseconds)


def resolved(place: Place, first_sample: int = 0, head_sample: int = 0, sample_rate: int = 48000) -> int:
    """Resolve a place in a stream where every anchor lies at a number of its own."""

    def position_of(anchor: Anchor) -> int:
        match anchor:
            case StartPlace():
                return first_sample
            case HeadPlace():
                return head_sample
            case SamplePlace(position):
                return position
            case TakePlace(number, end):
                return 1000 * number + (end is End.END)
            case SessionPlace(session_id, end):
                return 10 * len(session_id) + (end is End.END)
            case SegmentPlace(number, end):
                return 2000 * number + (end is End.END)
            case MarkPlace(name):
                return 7_000_000 + len(name)
            case WallClockPlace(ns):
                return ns
            case TransportPlace(frame):
                return frame + 5
            case BarPlace(bar, beat, tick):
                return 100 * bar + 10 * beat + tick

    return resolve_place(place, position_of, sample_rate)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("start", Place(StartPlace())),
        ("head", Place(HeadPlace())),
        ("-30s", before_head(30 * S)),
        ("-1m30s", before_head(90 * S)),
        ("-250ms", before_head(250 * MS)),
        ("-1h", before_head(3600 * S)),
        ("-1.5s", before_head(1500 * MS)),
        ("-1h2m3s4ms", before_head(3723 * S + 4 * MS)),
        ("-1h250ms", before_head(3600 * S + 250 * MS)),
        ("-90m", before_head(5400 * S)),
        ("-1m90s", before_head(150 * S)),
        ("-0m5s", before_head(5 * S)),
        ("-1m0.5s", before_head(60 * S + 500 * MS)),
        ("-0.000001ms", before_head(1)),
        ("-87600h", before_head(MAX_DURATION_NS)),
        ("sample:0", Place(SamplePlace(0))),
        ("sample:48000", Place(SamplePlace(48000))),
        ("sample:9223372036854775807", Place(SamplePlace(2**63 - 1))),
        ("2026-11-24T10:00:00Z", Place(WallClockPlace(MORNING))),
        ("2026-11-24T10:00Z", Place(WallClockPlace(MORNING))),
        ("2026-11-24 10:00:00Z", Place(WallClockPlace(MORNING))),
        ("2026-11-24T10:00:00.250Z", Place(WallClockPlace(MORNING + 250 * MS))),
        ("2026-11-24T10:00:00.123456789Z", Place(WallClockPlace(MORNING + 123_456_789))),
        ("2026-11-24T11:30:00+01:30", Place(WallClockPlace(MORNING))),
        ("2026-11-24T08:00:00-02:00", Place(WallClockPlace(MORNING))),
        ("1970-01-01T00:00:00Z", Place(WallClockPlace(0))),
        ("take:2.start", Place(TakePlace(2, End.START))),
        ("take:2.end", Place(TakePlace(2, End.END))),
        ("session:jam-3f.start", Place(SessionPlace("jam-3f", End.START))),
        ("session:a.b.end", Place(SessionPlace("a.b", End.END))),
        ("segment:1.end", Place(SegmentPlace(1, End.END))),
        ("mark:chorus", Place(MarkPlace("chorus"))),
        ("mark:solo-take", Place(MarkPlace("solo-take"))),
        ("transport:48000", Place(TransportPlace(48000))),
        ("bar:17", Place(BarPlace(17))),
        ("bar:17.3", Place(BarPlace(17, 3))),
        ("bar:17.3.240", Place(BarPlace(17, 3, 240))),
        ("mark:solo-2s", Place(MarkPlace("solo"), -2 * S)),
        ("segment:2.start+500ms", Place(SegmentPlace(2, End.START), 500 * MS)),
        ("head-30s", before_head(30 * S)),
        ("start+1m30s", Place(StartPlace(), 90 * S)),
        ("-30s+500ms", before_head(30 * S - 500 * MS)),
        ("take:1.end-1h+1s-1ms", Place(TakePlace(1, End.END), -HOUR + S - MS)),
        ("bar:17.3-10ms", Place(BarPlace(17, 3), -10 * MS)),
        ("sample:100+0.5s", Place(SamplePlace(100), 500 * MS)),
        ("2026-11-24T10:00:00Z-2s", Place(WallClockPlace(MORNING), -2 * S)),
        ("2026-11-24T08:00:00-02:00+2s", Place(WallClockPlace(MORNING), 2 * S)),
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
    "head-30",
    "head - 30s",
    "head-1.5m30s",
    "head+0s",
    "+500ms",
    "head-1s-1s-1s-1s-1s",
    "start+87600h+1s",
    "-30s+",
    "take:",
    "take:1",
    "take:0.start",
    "take:-1.start",
    "take:1.middle",
    "take:1.START",
    "take:2147483648.end",
    "take:99999999999999999999999999999999999999999999.end",
    "segment:x.start",
    "segment:1",
    "session:.start",
    "session:A.start",
    "session:jam",
    "mark:",
    "mark:Solo",
    "mark:so lo",
    "mark:-2s",
    "transport:",
    "transport:-5",
    "transport:4294967296",
    "bar:",
    "bar:0",
    "bar:1.0",
    "bar:1.1.-1",
    "bar:1.1.1.1",
    "bar:one",
    "2026-11-24",
    "2026-11-24T10:00:00",
    "2026-11-24T10Z",
    "2026-13-24T10:00:00Z",
    "2026-11-31T10:00:00Z",
    "2026-11-24T10:60:00Z",
    "2026-11-24T10:00:00.Z",
    "2026-11-24T10:00:00.0000000001Z",
    "2026-11-24T10:00:00z",
    "2026-11-24T10:00:00+25:00",
    "1969-12-31T23:59:59Z",
    "2300-01-01T00:00:00Z",
    "26-11-24T10:00:00Z",
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
        assert "such as 30s" in message or "30s would be seconds" in message or "longer than nothing" in message
    elif text.startswith("sample:"):
        assert "N must be a whole number" in message
    else:
        assert all(form in message for form in FORMS)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("2026-11-24T10:00:00", "2026-11-24T10:00:00Z would be UTC"),
        ("2026-11-24", "2026-11-22T10:00:00Z"),
        ("take:1", "take:N.start or take:N.end"),
        ("mark:So lo", "a mark's name"),
        ("bar:1.0", "BEAT must be 1 to"),
        ("head-30", "must be one of"),
    ],
)
def test_the_refusal_of_a_form_says_how_it_is_written(text: str, advice: str) -> None:
    with pytest.raises(InvalidValueError, match=re.escape(advice)):
        parse_place(text)


def test_a_name_that_ends_as_an_offset_is_told() -> None:
    assert has_offset("mark:solo-2s")
    assert not has_offset("mark:solo-two")


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
    assert parse_place(f"-{text}") == before_head(nanoseconds)


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999), st.integers(1, 999_999))
def test_parts_add_up(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"
    assert parse_duration(text) == ((hours * 60 + minutes) * 60 + seconds) * S + milliseconds * MS


@given(positions)
def test_every_sample_position_can_be_written(position: int) -> None:
    place = parse_place(f"sample:{position}")
    assert place == Place(SamplePlace(position))
    assert resolved(place, 7, 9) == position


@given(st.text(alphabet="starhed-0123456789.hms:ample \n", max_size=30) | st.text(max_size=200))
def test_any_text_is_a_place_or_an_invalid_value(text: str) -> None:
    for parse in (parse_place, parse_duration):
        with contextlib.suppress(InvalidValueError):
            parse(text)


@given(durations, positions, st.integers(1, 768_000))
def test_before_the_head_is_the_nearest_frame(nanoseconds: int, head: int, rate: int) -> None:
    position = resolved(before_head(nanoseconds), 0, head, rate)
    exact = head - Fraction(nanoseconds * rate, S)
    assert abs(position - exact) <= Fraction(1, 2)
    assert position == head - duration_frames(nanoseconds, rate)


@given(durations, durations, st.integers(1, 768_000))
def test_longer_is_never_fewer_frames(one: int, other: int, rate: int) -> None:
    assert (one <= other) <= (duration_frames(one, rate) <= duration_frames(other, rate))


@given(positions, positions)
def test_the_ends_are_what_they_are_said_to_be(first: int, head: int) -> None:
    assert resolved(Place(StartPlace()), first, head, 44100) == first
    assert resolved(Place(HeadPlace()), first, head, 44100) == head


def test_a_half_frame_goes_to_the_earlier_one() -> None:
    half = before_head(S // 2)
    assert resolved(half, 0, 10, 1) == 9


def test_nothing_is_clamped() -> None:
    assert resolved(before_head(10 * S), 0, 5) == 5 - 480000


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("take:2.end", 2001),
        ("session:jam.end", 31),
        ("segment:3.start", 6000),
        ("mark:solo", 7_000_004),
        ("transport:100", 105),
        ("bar:2.3.4", 234),
        ("mark:solo-1s", 7_000_004 - 48_000),
        ("bar:2+250ms", 210 + 12_000),
        ("1970-01-01T00:00:00.000005Z", 5000),
    ],
)
def test_each_anchor_is_asked_of_the_landmarks(text: str, position: int) -> None:
    assert resolved(parse_place(text)) == position
