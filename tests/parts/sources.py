"""Sources whose samples say where they belong, and the judge of what was recorded from them.

Channel c (from 0) of JACK frame f carries ((f + c * 65537) mod 2^23) / 2^23, exact in float32 and in 24 bits.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from parts.jackd import JackServer
from parts.part import Part

MODULUS = 1 << 23
CHANNEL_STEP = 65537


class FrameSource(Part):
    """A running `frame_source` (see frame_source.c), as a context manager.

    `server` is a JackServer, a server's name, or None for libjack's default. `name` is the client's name. The
    ports out_1 .. out_<channels> carry the channels `first_channel` and up.
    """

    def __init__(
        self,
        program: Path,
        server: JackServer | str | None,
        channels: int = 2,
        *,
        first_channel: int = 0,
        name: str = "source",
    ) -> None:
        super().__init__(program, server, name, ["--channels", str(channels), "--first-channel", str(first_channel)])
        self.channels = channels
        self.first_channel = first_channel
        self.ports = [f"{name}:out_{port}" for port in range(1, channels + 1)]


class StartSource(Protocol):
    """What the fixture `frame_source` gives: starts a FrameSource that is stopped when the test is over."""

    def __call__(
        self,
        server: JackServer | str | None,
        channels: int = 2,
        *,
        first_channel: int = 0,
        name: str = "source",
    ) -> FrameSource: ...


def expected_samples(
    first_frame: int, frames: int, channels: int, *, first_channel: int = 0
) -> npt.NDArray[np.float32]:
    """What the channels carry from JACK frame `first_frame` on: float32, shape (frames, channels)."""
    position = np.arange(frames, dtype=np.int64)[:, np.newaxis] + first_frame
    channel = np.arange(channels, dtype=np.int64)[np.newaxis, :] + first_channel
    return (((position + channel * CHANNEL_STEP) % MODULUS) / MODULUS).astype(np.float32)


def frames_of(samples: npt.NDArray[np.floating[Any]], *, first_channel: int = 0) -> int:
    """The JACK frame, modulo 2^23, of the first of `samples` (float, shape (frames, channels)).

    Raises AssertionError unless each sample of each channel is in its place, naming the first that is not.
    """
    assert samples.ndim == 2, f"samples must have the shape (frames, channels), not {samples.shape}"
    frames, channels = samples.shape
    assert frames, "there are no samples"
    assert channels, "there are no channels"
    start = _frame(samples[0, 0], first_channel)
    assert start is not None, f"index 0, channel 0: found {samples[0, 0]!r}, expected n / 2^23 with n in [0, 2^23)"
    expected = expected_samples(start, frames, channels, first_channel=first_channel)
    wrong = samples != expected
    if wrong.any():
        index, channel = (int(place) for place in np.argwhere(wrong)[0])
        found = _frame(samples[index, channel], first_channel + channel)
        meaning = "no frame number" if found is None else f"frame {found}"
        raise AssertionError(
            f"index {index}, channel {channel}: "
            f"found {float(samples[index, channel])!r} ({meaning}), expected "
            f"{float(expected[index, channel])!r} (frame {(start + index) % MODULUS}); "
            f"{int(wrong.sum())} of {wrong.size} samples are out of place, the first frame is {start}"
        )
    return start


def _frame(sample: np.floating[Any], channel: int) -> int | None:
    """The frame modulo 2^23 that a sample of a channel stands for; None when it stands for none."""
    scaled = float(sample) * MODULUS
    if not 0 <= scaled < MODULUS or scaled != int(scaled):  # also refuses NaN
        return None
    return (int(scaled) - channel * CHANNEL_STEP) % MODULUS
