"""Waveform pictures: what their pixels show, read back by a PNG reader of our own."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.errors import InvalidValueError
from jackcapture.formats.lanes import COLOURS, Ink, group_channels
from jackcapture.formats.picture import HEIGHTS, MAX_PIXELS, WIDTHS, Layout, Picture, draw_png, lay_out
from jackcapture.formats.ticks import ClockSpan
from jackcapture.model.takes import Gap, GapCause
from parts.png import read_png

RATE = 48_000
FRAMES = 10 * RATE
BEGIN_NS = 1_764_072_000 * 10**9
SIZE = (260, 130)

Pixels = npt.NDArray[np.uint8]


def columns_of(layout: Layout, *channels: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Min, max and RMS of each channel, the same in all columns."""
    return np.tile(np.array(channels), (layout.columns, 1, 1))


def picture(columns: npt.NDArray[np.float64], **more: Any) -> Picture:
    known = {"clock": (ClockSpan(1000, 1000 + FRAMES, BEGIN_NS, BEGIN_NS + 10 * 10**9),), "takes": ((1, 1000),)}
    return Picture("stream://desk/main", 1000, 1000 + FRAMES, RATE, columns, **(known | more))


def drawn(layout: Layout, shown: Picture) -> Pixels:
    pixels = read_png(draw_png(shown, layout))
    assert pixels.shape == (layout.height, layout.width, 3)
    return pixels


def lane_of(layout: Layout, pixels: Pixels, lane: int) -> Pixels:
    top = layout.lane_top(lane)
    return pixels[top : top + layout.lane_rows, layout.left : layout.left + layout.columns]


def is_of(pixels: Pixels, *inks: Ink) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.any([(pixels == COLOURS[ink]).all(-1) for ink in inks], axis=0)
    return found


def test_silence_is_a_line_in_the_middle() -> None:
    layout = lay_out(2, *SIZE)
    pixels = drawn(layout, picture(columns_of(layout, (0, 0, 0), (0, 0, 0))))
    for lane in range(2):
        rows = lane_of(layout, pixels, lane)
        middle = layout.lane_rows // 2
        assert is_of(rows[middle], Ink.SILENCE).all()
        assert is_of(np.delete(rows, middle, axis=0), Ink.LANE, Ink.GRID).all()


def test_a_full_scale_square_fills_its_lane_and_is_marked() -> None:
    layout = lay_out(2, *SIZE)
    pixels = drawn(layout, picture(columns_of(layout, (-1, 1, 1), (-0.001, 0.001, 0.001))))
    rows = lane_of(layout, pixels, 0)
    assert is_of(rows, Ink.RMS, Ink.CLIPPED).all()
    assert is_of(rows[[0, -1]], Ink.CLIPPED).all()
    assert is_of(rows[layout.lane_rows // 2], Ink.RMS).all()
    quiet = lane_of(layout, pixels, 1)  # little, but no silence
    assert is_of(quiet[layout.lane_rows // 2], Ink.RMS).all()
    assert not is_of(quiet, Ink.SILENCE, Ink.CLIPPED).any()


def test_min_max_and_rms_are_at_their_rows() -> None:
    layout = lay_out(1, *SIZE)
    rows = lane_of(layout, drawn(layout, picture(columns_of(layout, (-0.25, 0.75, 0.5)))), 0)
    last = layout.lane_rows - 1
    for column in rows.transpose(1, 0, 2):
        peak = np.flatnonzero(is_of(column, Ink.PEAK, Ink.RMS))
        rms = np.flatnonzero(is_of(column, Ink.RMS))
        assert abs(peak[0] - 0.125 * last) <= 0.5
        assert abs(peak[-1] - 0.625 * last) <= 0.5
        assert abs(rms[0] - 0.25 * last) <= 0.5
        assert rms[-1] == peak[-1]  # not beyond the min


def test_a_single_clipped_column_is_marked_where_it_is() -> None:
    layout = lay_out(1, *SIZE)
    columns = columns_of(layout, (-0.5, 0.5, 0.1))
    columns[70, 0, 1] = 1.0
    marked = is_of(lane_of(layout, drawn(layout, picture(columns)), 0), Ink.CLIPPED)
    assert np.flatnonzero(marked[0]).tolist() == [70, 71]
    assert not marked[layout.lane_rows // 2 :].any()


def test_a_gap_is_shaded_where_it_is() -> None:
    layout = lay_out(1, 330, 130)
    gaps = (
        Gap(500, 510, GapCause.XRUN),  # the last ten frames of it are in the range
        Gap(1000 + 2 * RATE, 3 * RATE, GapCause.SERVER_DOWN),
        Gap(1000 + 9 * RATE, 99 * RATE, GapCause.ENGINE_DIED),
    )
    pixels = drawn(layout, picture(columns_of(layout, (0, 0, 0)), gaps=gaps))
    rows = lane_of(layout, pixels, 0)
    shaded = is_of(rows[-3], Ink.GAP, Ink.GAP_MARK)  # below the names of the causes
    first, last = (round(layout.columns * share) for share in (0.2, 0.5))
    assert np.flatnonzero(shaded[: layout.columns // 10]).tolist() == [0]
    assert abs(np.flatnonzero(shaded[2:])[0] + 2 - first) <= 1
    assert shaded[first + 1 : last - 1].all()
    assert not shaded[last + 1 : int(0.9 * layout.columns) - 1].any()
    assert shaded[int(0.9 * layout.columns) + 1 :].all()
    assert is_of(rows[layout.lane_rows // 2], Ink.SILENCE).all()
    # The one that has room is named; nothing else is written into the lane.
    foreign = ~is_of(rows, Ink.LANE, Ink.GRID, Ink.GAP, Ink.GAP_MARK, Ink.SILENCE)
    named = np.flatnonzero(foreign.any(0))
    assert first < named[0] < named[-1] < last


def test_a_take_begins_at_its_line() -> None:
    layout = lay_out(1, *SIZE)
    shown = picture(columns_of(layout, (0, 0, 0)), takes=((1, 1000), (2, 1000 + FRAMES // 2)))
    rows = lane_of(layout, drawn(layout, shown), 0)
    assert np.flatnonzero(is_of(rows[:5], Ink.TAKE).all(0)).tolist() == [layout.columns // 2]


def test_the_line_of_a_slow_signal_is_whole() -> None:
    layout = lay_out(1, *SIZE)
    wave = 0.9 * np.sin(np.linspace(0.1, 12, layout.columns))
    columns = np.repeat(wave[:, np.newaxis, np.newaxis], 3, axis=2)
    line = is_of(lane_of(layout, drawn(layout, picture(columns)), 0), Ink.PEAK, Ink.RMS)
    for before, after in zip(line.T, line.T[1:], strict=False):
        assert (before & after).any()


def test_labels_stay_in_the_picture_and_out_of_the_lanes() -> None:
    """Also of the smallest picture, a long title and an unknown wall clock."""
    for channels, size, clock in ((1, (200, 100), ()), (3, (250, 170), None), (70, (240, 180), None)):
        layout = lay_out(channels, *size)
        shown = picture(columns_of(layout, *[(0.0, 0.0, 0.0)] * channels), gaps=(), takes=((7, 1000),))
        if clock is not None:
            shown = Picture("stream://" + 60 * "d" + "/" + 60 * "n", 1000, 1000 + FRAMES, RATE, shown.columns)
        pixels = drawn(layout, shown)
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert is_of(edge, Ink.PAPER).all()
        for lane in range(layout.lanes):
            assert is_of(lane_of(layout, pixels, lane), Ink.LANE, Ink.GRID, Ink.SILENCE).all()


def test_the_same_picture_has_the_same_bytes() -> None:
    layout = lay_out(2, *SIZE)
    shown = picture(columns_of(layout, (-0.5, 0.5, 0.2), (0, 0, 0)), gaps=(Gap(5000, RATE, GapCause.XRUN),))
    assert draw_png(shown, layout) == draw_png(shown, layout)


def test_infinite_samples_are_drawn() -> None:
    layout = lay_out(1, *SIZE)
    rows = lane_of(layout, drawn(layout, picture(columns_of(layout, (-np.inf, np.inf, np.inf)))), 0)
    assert is_of(rows, Ink.RMS, Ink.CLIPPED).all()


@given(
    channels=st.integers(1, 1024),
    width=st.one_of(st.none(), st.integers(WIDTHS.start, 2000)),
    height=st.one_of(st.none(), st.integers(HEIGHTS.start, HEIGHTS.stop - 1)),
)
def test_lanes_of_any_picture_fit_and_show_all_channels(channels: int, width: int | None, height: int | None) -> None:
    layout = lay_out(channels, width, height)
    assert layout.height in HEIGHTS
    assert layout.width * layout.height <= MAX_PIXELS
    assert layout.columns >= 100
    assert layout.lane_rows >= 9
    assert layout.lane_rows % 2 == 1
    assert layout.bottom + 12 < layout.height
    assert (layout.lanes - 1) * layout.group < channels <= layout.lanes * layout.group
    names = [layout.channel_name(lane) for lane in range(layout.lanes)]
    assert (names[0].split("-")[0], names[-1].split("-")[-1]) == ("1", str(channels))


def test_channels_that_share_a_lane() -> None:
    assert lay_out(64).group == 1
    layout = lay_out(64, 1200, 400)
    assert layout.group == 3
    values = np.array([[[-0.1, 0.2, 0.1], [-0.3, 0.1, 0.2], [-1.0, 0.0, 0.5]]])
    np.testing.assert_allclose(group_channels(values, 2), [[[-0.3, 0.2, np.sqrt((0.01 + 0.04) / 2)], [-1.0, 0.0, 0.5]]])


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        (199, 400, "199 pixels wide: a picture is 200 to 10000"),
        (10_001, 400, "10001 pixels wide"),
        (1200, 99, "99 pixels high: a picture is 100 to 4000"),
        (1200, 4001, "4001 pixels high"),
        (10_000, 1001, "10000 x 1001 pixels: a picture has at most 10000000"),
    ],
)
def test_a_size_that_is_not_possible(width: int, height: int, said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        lay_out(2, width, height)
