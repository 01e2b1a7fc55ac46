"""Overviews as arrays: blocks of min, max and RMS, of shape (blocks, channels, 3).

In a file: float32, little-endian, block after block of OVERVIEW_FRAMES frames, in each channel after channel, of each
min, max, RMS. docs/store.md says more.
"""

from typing import TYPE_CHECKING, Any

from jackcapture.errors import StorageDamagedError
from jackcapture.model.overviews import OVERVIEW_FRAMES, OVERVIEW_VALUES, overview_block_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Blocks = npt.NDArray[np.floating[Any]]
    Combined = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]

MIN, MAX, RMS = range(OVERVIEW_VALUES)


def read_blocks(data: bytes, channels: int) -> "npt.NDArray[np.float32]":
    """Give the blocks in the bytes of an overview: float32, shape (blocks, channels, 3).

    Raises `StorageDamagedError` for bytes that are no whole number of blocks.
    """
    import numpy as np  # noqa: PLC0415 - the doors must not wait for it

    if len(data) % overview_block_bytes(channels):
        raise StorageDamagedError(
            f"an overview of {len(data)} bytes: of {channels} channels, it must have a multiple of "
            f"{overview_block_bytes(channels)}"
        )
    return np.frombuffer(data, "<f4").reshape(-1, channels, OVERVIEW_VALUES)


def blocks_of(samples: "Blocks") -> "npt.NDArray[np.float32]":
    """Make the blocks of samples (float, shape (frames, channels)), as the engine does: float32, (blocks, channels, 3).

    NaN counts as 0.
    """
    import numpy as np  # noqa: PLC0415

    return _measured(samples, np.arange(0, len(samples), OVERVIEW_FRAMES)).astype(np.float32)


def points_of(samples: "Blocks", points: "npt.NDArray[np.int64]") -> "Combined":
    """Make the points of samples (float, shape (frames, channels)): what `combine` gives of blocks of one frame each.

    `points` is the number of the point that each frame belongs to, not decreasing. NaN counts as 0.
    """
    import numpy as np  # noqa: PLC0415

    starts = np.flatnonzero(np.diff(points, prepend=-1))
    return _measured(samples, starts), np.diff(starts, append=len(samples)), points[starts]


def _measured(samples: "Blocks", starts: "npt.NDArray[np.int64]") -> "npt.NDArray[np.float64]":
    """Give min, max and RMS of the frames from each start to the next."""
    import numpy as np  # noqa: PLC0415

    numbers = np.where(np.isnan(samples), 0, samples)
    found = np.zeros((len(starts), numbers.shape[1], OVERVIEW_VALUES))
    if len(starts):
        frames = np.diff(starts, append=len(numbers))
        found[..., MIN] = np.minimum.reduceat(numbers, starts)
        found[..., MAX] = np.maximum.reduceat(numbers, starts)
        squares = np.add.reduceat(np.square(numbers, dtype=np.float64), starts)
        found[..., RMS] = np.sqrt(squares / frames[:, np.newaxis])
    return found


def combine(blocks: "Blocks", frames: "npt.NDArray[np.int64]", points: "npt.NDArray[np.int64]") -> "Combined":
    """Combine the blocks that belong to one point: min of mins, max of maxes, RMS weighted by frames.

    `frames` is the length of each block, shape (blocks,); `points` the number of the point that it belongs to, not
    decreasing. Gives the same three of the points that have blocks, (points, channels, 3) in float64, and so what may
    be combined again.
    """
    import numpy as np  # noqa: PLC0415

    starts = np.flatnonzero(np.diff(points, prepend=-1))
    found = np.zeros((len(starts), *blocks.shape[1:]))
    if not len(starts):
        return found, frames[:0], points[:0]
    lengths = np.add.reduceat(frames, starts)
    for channel in range(blocks.shape[1]):  # one at a time: numpy is slow along short rows
        column = np.ascontiguousarray(blocks[:, channel].T, np.float64)
        found[:, channel, MIN] = np.minimum.reduceat(column[MIN], starts)
        found[:, channel, MAX] = np.maximum.reduceat(column[MAX], starts)
        found[:, channel, RMS] = np.sqrt(np.add.reduceat(np.square(column[RMS]) * frames, starts) / lengths)
    return found, lengths, points[starts]
