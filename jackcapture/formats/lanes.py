"""A channel's lane in a picture: a rectangle of palette indices, the top row first.

The rows of a lane go from full scale at the top to negative full scale at the bottom, linear; what lies beyond is cut.
"""

import enum
from typing import TYPE_CHECKING, Any

from jackcapture.formats.overview import MAX, MIN, RMS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from jackcapture.formats.overview import Blocks

    Indices = npt.NDArray[np.uint8]
    Flags = npt.NDArray[np.bool_]

FULL_SCALE = 1 - 2**-15
"""What is marked as clipped: the greatest sample of 16 bits, and all beyond it."""


class Ink(enum.IntEnum):
    """What a pixel of a picture is of."""

    PAPER = 0
    LANE = 1
    GRID = 2
    SILENCE = 3
    PEAK = 4
    RMS = 5
    CLIPPED = 6
    GAP = 7
    GAP_MARK = 8
    TAKE = 9
    AXIS = 10


COLOURS: dict[Ink, tuple[int, int, int]] = {
    Ink.PAPER: (255, 255, 255),
    Ink.LANE: (246, 247, 249),
    Ink.GRID: (225, 229, 234),
    Ink.SILENCE: (150, 158, 168),
    # Of Okabe and Ito's palette, which people with any colour vision tell apart; besides, each has its own lightness.
    Ink.PEAK: (134, 196, 236),
    Ink.RMS: (0, 94, 158),
    Ink.CLIPPED: (213, 60, 0),
    Ink.GAP: (252, 231, 190),
    Ink.GAP_MARK: (214, 138, 0),
    Ink.TAKE: (60, 66, 74),
    Ink.AXIS: (120, 128, 138),
}

_CLIP_ROWS = 3


def group_channels(values: "Blocks", group: int) -> "npt.NDArray[np.float64]":
    """Combine neighbouring channels, `group` at a time: (columns, channels, 3) to (columns, ceil(channels / group), 3).

    Min of mins, max of maxes, RMS over all of them.
    """
    import numpy as np  # noqa: PLC0415 - the doors must not wait for it

    starts = np.arange(0, values.shape[1], group)
    sizes = np.diff(starts, append=values.shape[1])
    found = np.empty((len(values), len(starts), values.shape[2]))
    found[..., MIN] = np.minimum.reduceat(values[..., MIN], starts, axis=1)
    found[..., MAX] = np.maximum.reduceat(values[..., MAX], starts, axis=1)
    squares = np.square(values[..., RMS], dtype=np.float64)
    found[..., RMS] = np.sqrt(np.add.reduceat(squares, starts, axis=1) / sizes)
    return found


def draw_lane(lane: "Indices", values: "Blocks", ground: "Indices") -> None:
    """Draw a channel; `lane` has shape (rows, columns), `values` (columns, 3), `ground` is the ink behind each column.

    Min to max of each column is filled, and in it, darker, what lies within the RMS; a column also reaches its
    neighbour, so that the line of a slow signal is whole. Where all is silent there is only the centre line.
    """
    import numpy as np  # noqa: PLC0415

    rows = len(lane)
    lane[:] = ground
    if rows >= 4 * _CLIP_ROWS:
        for level in (0.5, -0.5):
            lane[_row(np.array(level), rows), ground == Ink.LANE] = Ink.GRID
    low, high = _joined(values[:, MIN], values[:, MAX])
    within = np.abs(values[:, RMS])
    at = np.arange(rows)[:, np.newaxis]
    lane[(at >= _row(high, rows)) & (at <= _row(low, rows))] = Ink.PEAK
    inner_high, inner_low = np.minimum(high, within), np.maximum(low, -within)
    inner = (at >= _row(inner_high, rows)) & (at <= _row(inner_low, rows)) & (inner_high >= inner_low)
    lane[inner] = Ink.RMS
    silent = (low == 0) & (high == 0)
    lane[_row(np.array(0.0), rows), silent] = Ink.SILENCE
    marks = min(_CLIP_ROWS, max(1, rows // 5))
    lane[:marks, _widened(values[:, MAX] >= FULL_SCALE)] = Ink.CLIPPED
    lane[rows - marks :, _widened(values[:, MIN] <= -FULL_SCALE)] = Ink.CLIPPED


def _row(level: "npt.NDArray[np.floating[Any]]", rows: int) -> "npt.NDArray[np.int64]":
    import numpy as np  # noqa: PLC0415

    found: npt.NDArray[np.int64] = np.rint((1 - np.clip(level, -1, 1)) / 2 * (rows - 1)).astype(np.int64)
    return found


def _joined(low: "Blocks", high: "Blocks") -> "tuple[Blocks, Blocks]":
    """Let each column begin where the one before it ended."""
    import numpy as np  # noqa: PLC0415

    joined_low, joined_high = low.copy(), high.copy()
    joined_low[1:] = np.minimum(low[1:], high[:-1])
    joined_high[1:] = np.maximum(high[1:], low[:-1])
    return joined_low, joined_high


def _widened(marked: "Flags") -> "Flags":
    """Mark the next column, too: a single one is easily overlooked."""
    found = marked.copy()
    found[1:] |= marked[:-1]
    return found
