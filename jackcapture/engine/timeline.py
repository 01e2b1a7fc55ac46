"""Where a delivered frame stands in JACK's time: arithmetic over the gaps of one ring."""

from collections import deque
from collections.abc import Iterable

from jackcapture.engine.ring import RingGap


class Timeline:
    """Maps counts of delivered frames to 64-bit JACK frames and back. Writer thread only.

    frame = first frame + delivered + all that was lost before it.
    """

    def __init__(self, first_frame: int) -> None:
        self._gaps: deque[RingGap] = deque()
        self._base = first_frame  # first frame + what was lost in gaps that are forgotten

    def add(self, gaps: Iterable[RingGap]) -> None:
        """Append newer gaps, in order."""
        self._gaps.extend(gaps)

    def forget_before(self, delivered: int) -> None:
        """Drop the gaps before `delivered`; nothing older will be asked for."""
        while self._gaps and self._gaps[0].delivered < delivered:
            self._base += self._gaps.popleft().frames

    def frame_after(self, delivered: int) -> int:
        """Give the frame that follows the first `delivered` frames, any gap at that point included."""
        return self._base + delivered + sum(gap.frames for gap in self._gaps if gap.delivered <= delivered)

    def locate(self, frame: int) -> tuple[int, RingGap | None, int]:
        """Find a frame: the count delivered before it, and, if it lies in a gap, that gap and what is left of it."""
        lost = 0
        for gap in self._gaps:
            gap_start = self._base + gap.delivered + lost
            if frame < gap_start:
                break
            if frame < gap_start + gap.frames:
                return gap.delivered, gap, gap_start + gap.frames - frame
            lost += gap.frames
        return frame - self._base - lost, None, 0

    def gaps_after(self, delivered: int) -> list[RingGap]:
        """Give the gaps that come later than those right after `delivered` frames."""
        return [gap for gap in self._gaps if gap.delivered > delivered]
