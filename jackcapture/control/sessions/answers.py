"""When an answer has decayed: judged by frames, of what is recorded, whenever that is looked at.

Two sounds of a stream with fewer frames than `hold` between them are one span.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jackcapture.model.requests import EndedBy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Positions = npt.NDArray[np.int64]

Span = tuple[int, int]
"""Frames `[begin, end)`."""


def end_of_answer(
    spans: Iterable[Span], last_event: int, hold: int, longest: int, heard: int
) -> tuple[int, EndedBy] | None:
    """Give the frame at which an answer ends, and why; None if that is not known yet.

    `spans` are those of all streams, `last_event` is the frame of the last message, `longest` how many frames after it
    the answer ends at the latest. All streams are heard up to the frame `heard`.
    """
    quiet = last_event
    for begin, end in sorted(spans):
        if begin >= quiet + hold:
            break
        quiet = max(quiet, end)
    if quiet + hold <= min(heard, last_event + longest):
        return quiet + hold, EndedBy.DECAYED
    if heard >= last_event + longest:
        return last_event + longest, EndedBy.MAXIMUM
    return None


@dataclass(slots=True)
class Spans:
    """The spans in which one stream sounds, as they become known, in order."""

    hold: int
    found: list[Span] = field(default_factory=list)

    def add(self, positions: "Positions") -> None:
        """Add sounding frames, in order, after all that were added before."""
        import numpy as np  # noqa: PLC0415 - control starts without it

        if not len(positions):
            return
        breaks = np.flatnonzero(np.diff(positions) > self.hold)
        begins = positions[np.concatenate(([0], breaks + 1))].tolist()
        ends = (positions[np.concatenate((breaks, [len(positions) - 1]))] + 1).tolist()
        if self.found and begins[0] - self.found[-1][1] < self.hold:
            begins[0] = self.found.pop()[0]
        self.found.extend(zip(begins, ends, strict=True))
