"""Places of JACK's transport as users write them, and the frames that they mean."""

import pytest

from jackcapture.clock.locating import locate_frame
from jackcapture.errors import ConflictError, InvalidValueError
from jackcapture.model.takes import Transport, TransportState
from jackcapture.model.transport_places import parse_locate_place

RATE = 48_000
NO_BARS = Transport(TransportState.STOPPED, 1000)
BARS = Transport(TransportState.ROLLING, 96_000, 2, 1, 0, 4.0, 4.0, 1920.0, 120.0)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("0", 0),
        ("480000", 480_000),
        ("4294967295", 2**32 - 1),
        ("transport:7", 7),
        ("transport:7+1s", 48_007),
        ("start", 0),
        ("start+250ms", 12_000),
        ("0:00", 0),
        ("1:30", 90 * RATE),
        ("90:00", 5400 * RATE),
        ("1:02:03.5", 3723 * RATE + 24_000),
        ("2.5s", 120_000),
        ("1m30s", 90 * RATE),
        ("0s", 0),
    ],
)
def test_frames_and_times(text: str, frame: int) -> None:
    assert locate_frame(parse_locate_place(text), NO_BARS, RATE) == frame


@pytest.mark.parametrize(
    ("text", "frame"),
    [("bar:1", 0), ("bar:2", 96_000), ("bar:3", 192_000), ("bar:1.2", 24_000), ("bar:2.1.960-1s", 60_000)],
)
def test_bars_by_the_present_tempo(text: str, frame: int) -> None:
    assert locate_frame(parse_locate_place(text), BARS, RATE) == frame


@pytest.mark.parametrize(
    "text",
    ["", "x", "-2s", "+2s", "1:5", "1:60", "1:60:00", "1.5", "head", "mark:solo", "sample:5", "take:1.start",
     "2026-11-22T10:00:00Z", "bar:0", "bar:1.0", "transport:x", "transport:4294967296", "4294967296", "1s2", "s" * 200],
)  # fmt: skip
def test_what_is_no_place_of_the_transport(text: str) -> None:
    with pytest.raises(InvalidValueError, match="is not a place"):
        parse_locate_place(text)


def test_what_the_transport_cannot_reach() -> None:
    for text in ("30h", "transport:4294967295+1s", "transport:0-1s"):
        with pytest.raises(InvalidValueError, match="cannot be located to frame"):
            locate_frame(parse_locate_place(text), NO_BARS, RATE)
    with pytest.raises(ConflictError, match="no JACK client gives the transport bars"):
        locate_frame(parse_locate_place("bar:2"), NO_BARS, RATE)
    for text in ("bar:1.5", "bar:1.1.1920"):
        with pytest.raises(InvalidValueError, match="a bar has 4 beats of 1920 ticks"):
            locate_frame(parse_locate_place(text), BARS, RATE)
