"""Writes the overview of a chunk as the chunk is written: one writer per open chunk. Writer thread only."""

from jackcapture.engine._rt import ffi, lib
from jackcapture.engine.ring import Ring


class OverviewWriter:
    """The overview of one chunk of `channels`, in memory at `address` that reads as zeros; None: nobody keeps it.

    Frames are added in the order in which they lie in the chunk. Whatever has been added is in the overview at once,
    the RMS of the block that is not finished included.
    """

    def __init__(self, address: int | None, channels: int) -> None:
        self._out = ffi.NULL if address is None else ffi.cast("float *", address)
        self._channels = channels
        self._sums = ffi.new("double[]", channels)
        self._frames = 0

    def add(self, ring: Ring, start: int, frames: int) -> None:
        """Add delivered frames `[start, start + frames)` of a ring, which must still hold them."""
        if self._out:
            lib.jc_overview_add(ring.pointer, start, frames, self._frames, self._sums, self._out)
            self._frames += frames

    def add_silence(self, frames: int) -> None:
        """Add lost frames."""
        if self._out:
            lib.jc_overview_add_silence(self._channels, frames, self._frames, self._sums, self._out)
            self._frames += frames
