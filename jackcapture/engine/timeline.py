"""Which of a ring's frames were lost, and where in the ring the others lie: arithmetic over its gaps."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from jackcapture.engine.ring import RingGap


class Timeline:
    """The gaps of one ring, in order, by 64-bit JACK frame. Writer thread only."""

    def __init__(self, first_frame: int) -> None:
        self._gaps: list[RingGap] = []
        # The frame that follows the first `_delivered` frames, the gaps that are forgotten included.
        self._frame, self._delivered = first_frame, 0

    def add(self, gaps: Iterable[RingGap]) -> None:
        """Append newer gaps, in order."""
        self._gaps.extend(gaps)

    def forget_before(self, delivered: int) -> None:
        """Drop the gaps before `delivered`; nothing older will be asked for."""
        self._forget(bisect_left(self._gaps, delivered, key=lambda gap: gap.delivered))

    def forget_ended_by(self, frame: int) -> None:
        """Drop the gaps that end at a frame or before it; nothing older will be asked for."""
        self._forget(bisect_right(self._gaps, frame, key=lambda gap: gap.end_frame))

    def _forget(self, count: int) -> None:
        if count:
            last = self._gaps[count - 1]
            self._frame, self._delivered = last.end_frame, last.delivered
            del self._gaps[:count]

    def gap_at(self, frame: int) -> RingGap | None:
        """Give the gap in which a frame lies."""
        number = self._started_by(frame)
        if number and frame < self._gaps[number - 1].end_frame:
            return self._gaps[number - 1]
        return None

    def next_gap(self, frame: int) -> int | None:
        """Give the frame at which the next gap after `frame` begins."""
        number = self._started_by(frame)
        return self._gaps[number].frame if number < len(self._gaps) else None

    def gaps_between(self, frame: int, end_frame: int) -> list[RingGap]:
        """Give the gaps that begin in `[frame, end_frame)`."""
        return [gap for gap in self._gaps if frame <= gap.frame < end_frame]

    def delivered_before(self, frame: int) -> int:
        """Count what was delivered before a frame."""
        number = self._started_by(frame)
        if not number:
            return self._delivered + frame - self._frame
        gap = self._gaps[number - 1]
        return gap.delivered + max(0, frame - gap.end_frame)

    def frame_after(self, delivered: int) -> int:
        """Give the frame that follows the first `delivered` frames, any gap at that point included."""
        number = bisect_right(self._gaps, delivered, key=lambda gap: gap.delivered)
        if not number:
            return self._frame + delivered - self._delivered
        gap = self._gaps[number - 1]
        return gap.end_frame + delivered - gap.delivered

    def _started_by(self, frame: int) -> int:
        """Count the gaps that begin at a frame or before it."""
        return bisect_right(self._gaps, frame, key=lambda gap: gap.frame)
