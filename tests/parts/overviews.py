"""The judge of overviews: what numpy says of the samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 256
Floats = npt.NDArray[np.floating[Any]]


def overview_truth(samples: Floats) -> npt.NDArray[np.float64]:
    """Min, max and RMS of every 256 frames: from (frames, channels) to (blocks, channels, 3)."""
    numbers = np.where(np.isnan(samples), 0, samples).astype(np.float64)
    blocks = [numbers[at : at + BLOCK] for at in range(0, len(numbers), BLOCK)]
    found = [np.stack([part.min(0), part.max(0), np.sqrt((part * part).mean(0))], axis=1) for part in blocks]
    return np.array(found).reshape(len(blocks), samples.shape[1], 3)


def check_overview(found: Floats, truth: Floats) -> None:
    """Min and max are exact, the RMS is as exact as float32 can say it."""
    assert found.shape == truth.shape
    np.testing.assert_array_equal(found[..., :2], truth[..., :2])
    np.testing.assert_allclose(found[..., 2], truth[..., 2], rtol=1e-6, atol=1e-30)


def check_overview_bytes(data: bytes, samples: Floats) -> None:
    """Check that the bytes of an overview are those of samples."""
    found = np.frombuffer(data, "<f4").reshape(-1, samples.shape[1], 3)
    check_overview(found, overview_truth(samples))


def points_truth(
    chunks: Sequence[tuple[int, Floats]], first: int, last: int, points: int
) -> tuple[tuple[int, int], int, npt.NDArray[np.float64]]:
    """The sample range, frames per point and values (points, channels, 3) of `[first, last)`.

    `chunks` are the first sample and the samples of each chunk, one after the other.
    """
    fine = -(-(last - first) // points)
    if fine < BLOCK:
        origin = chunks[0][0]
        samples = np.concatenate([part for _, part in chunks])[first - origin : last - origin].astype(np.float64)
        return (first, last), fine, _values([samples[at : at + fine] for at in range(0, len(samples), fine)])
    blocks = [
        (begin + at, samples[at : at + BLOCK].astype(np.float64))
        for begin, samples in chunks
        for at in range(0, len(samples), BLOCK)
    ]
    blocks = [(at, part) for at, part in blocks if at < last and at + len(part) > first]
    begin, end = blocks[0][0], blocks[-1][0] + len(blocks[-1][1])
    frames_per_point = BLOCK * -(-(end - begin) // (points * BLOCK))
    by_point: dict[int, list[Floats]] = {}
    for at, part in blocks:
        by_point.setdefault((at - begin) // frames_per_point, []).append(part)
    assert list(by_point) == list(range(len(by_point)))
    return (begin, end), frames_per_point, _values([np.concatenate(by_point[number]) for number in by_point])


def _values(parts: list[Floats]) -> npt.NDArray[np.float64]:
    return np.array([np.stack([part.min(0), part.max(0), np.sqrt((part * part).mean(0))], axis=1) for part in parts])
