"""Turns the blocks of an audio stream, and the events of a MIDI stream, into spans of what stands out."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jackcapture.control.sessions.trigger_detection import Rules, Source, Span
from jackcapture.formats.midi_records import MidiRecord
from jackcapture.formats.overview import MAX, MIN
from jackcapture.model.midi import is_activity
from jackcapture.model.overviews import OVERVIEW_FRAMES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Blocks = npt.NDArray[np.floating[Any]]
    Frames = npt.NDArray[np.int64]

_LARGEST = 3.4028235e38  # in place of infinity, which JSON does not have


def spans_of_blocks(starts: "Frames", ends: "Frames", blocks: "Blocks", source: Source, rules: Rules) -> list[Span]:
    """Give the spans of blocks of shape (blocks, channels, 3), which lie at the JACK frames `[starts, ends)`.

    A block stands out if a sample of any channel reaches the threshold, on either side of zero.
    """
    import numpy as np  # noqa: PLC0415 - control starts without it

    if not len(starts):
        return []
    peaks = np.maximum(blocks[..., MAX].max(axis=1), -blocks[..., MIN].min(axis=1))
    loud = np.flatnonzero(peaks >= rules.threshold)
    if not len(loud):
        return []
    parted = np.flatnonzero(starts[loud[1:]] - ends[loud[:-1]] >= rules.join)
    firsts = loud[np.concatenate(([0], parted + 1))]
    lasts = loud[np.concatenate((parted, [len(loud) - 1]))]
    return [
        Span(
            int(starts[first]),
            int(ends[first]),
            int(starts[last]),
            int(ends[last]),
            source,
            min(float(peaks[first : last + 1].max()), _LARGEST),
        )
        for first, last in zip(firsts, lasts, strict=True)
    ]


def spans_of_new_blocks(begin: int, end: int, blocks: "Blocks", source: Source, rules: Rules) -> list[Span]:
    """Give the spans of blocks that fill the JACK frames from `begin` to before `end`, as `spans_of_blocks` does.

    There are so few of them that, as a rule, no quiet between them could part two.
    """
    import numpy as np  # noqa: PLC0415

    if end - begin >= rules.join:
        starts = begin + OVERVIEW_FRAMES * np.arange(len(blocks))
        return spans_of_blocks(starts, np.minimum(starts + OVERVIEW_FRAMES, end), blocks, source, rules)
    peaks = np.abs(blocks).max(axis=(1, 2))
    loud = (peaks >= rules.threshold).nonzero()[0]
    if not len(loud):
        return []
    first, last = (begin + OVERVIEW_FRAMES * int(block) for block in (loud[0], loud[-1]))
    return [
        Span(
            first,
            min(first + OVERVIEW_FRAMES, end),
            last,
            min(last + OVERVIEW_FRAMES, end),
            source,
            min(float(peaks.max()), _LARGEST),
        )
    ]


def spans_of_events(events: Iterable[MidiRecord], source: Source, rules: Rules) -> list[Span]:
    """Give the spans of events at JACK frames, which are in order; what only keeps time or the connection is none."""
    spans: list[Span] = []
    begin = end = None
    for frame, data in events:
        if not is_activity(data):
            continue
        if begin is not None and end is not None and frame - end >= rules.join:
            spans.append(Span(begin, begin + 1, end - 1, end, source))
            begin = None
        begin = frame if begin is None else begin
        end = frame + 1
    if begin is not None and end is not None:
        spans.append(Span(begin, begin + 1, end - 1, end, source))
    return spans
