"""When an answer has decayed, and where it begins: judged by frames, of what is recorded, whenever that is looked at.

An answer sounds where a sample of a stream is at the threshold or above it, or where a MIDI message lies, other than
of the system real-time kind, which clocks and keyboards send all the time. Two sounds with fewer frames than `hold`
between them are one span.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jackcapture.catalog import Catalog
from jackcapture.control.slices.excerpts import Excerpt, open_piece, trim_midi
from jackcapture.control.slices.layouts import Layout, layout_of, read_layout
from jackcapture.errors import StorageDamagedError
from jackcapture.formats.midi_records import iterate_records
from jackcapture.formats.samples import decode_samples
from jackcapture.model.requests import EndedBy
from jackcapture.store import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Positions = npt.NDArray[np.int64]

Span = tuple[int, int]
"""Frames `[begin, end)`."""

_READ_BYTES = 4 << 20
_REAL_TIME = 0xF8


def amplitude_of(threshold_db: float) -> float:
    """Give the sample of a level in dBFS."""
    return float(10 ** (threshold_db / 20))


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


def sounding_positions(store: Store, catalog: Catalog, excerpt: Excerpt, amplitude: float) -> Iterator["Positions"]:
    """Give the sample positions at which an excerpt sounds, in order, in parts. Blocks."""
    if excerpt.definition.is_audio:
        return _loud_positions(store, catalog, excerpt, amplitude)
    return _message_positions(store, catalog, excerpt)


def first_sounding(store: Store, catalog: Catalog, excerpt: Excerpt, amplitude: float) -> int | None:
    """Give the first sample position at which an excerpt sounds; None if it does not. Blocks."""
    return next((int(found[0]) for found in sounding_positions(store, catalog, excerpt, amplitude) if len(found)), None)


def _loud_positions(store: Store, catalog: Catalog, excerpt: Excerpt, amplitude: float) -> Iterator["Positions"]:
    import numpy as np  # noqa: PLC0415

    audio = excerpt.definition.audio
    step = max(1, _READ_BYTES // audio.frame_bytes) * audio.frame_bytes
    for piece in excerpt.pieces:
        descriptor = open_piece(store, catalog, excerpt, piece)
        try:
            for offset in range(0, piece.length, step):
                length = min(step, piece.length - offset)
                data = os.pread(descriptor, length, piece.offset + offset)
                if len(data) != length:
                    raise StorageDamagedError(
                        f"chunk {piece.chunk_index} of take {piece.take_number} of {excerpt.definition.uri} ends too "
                        "early"
                    )
                loud: Any = (np.abs(decode_samples(data, audio)) >= amplitude).any(axis=1)
                yield np.flatnonzero(loud).astype(np.int64) + (piece.from_sample + offset // audio.frame_bytes)
        finally:
            os.close(descriptor)


def _message_positions(store: Store, catalog: Catalog, excerpt: Excerpt) -> Iterator["Positions"]:
    import numpy as np  # noqa: PLC0415

    whole = layout_of(trim_midi(store, catalog, excerpt))
    for part in whole.parts:
        records = iterate_records(read_layout(store, catalog, Layout(whole.uri, (part,)), 0, part.length))
        yield np.array([position for position, data in records if data and data[0] < _REAL_TIME], np.int64)
