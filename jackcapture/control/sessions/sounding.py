"""Where an excerpt sounds: at samples of a threshold or above it, or at MIDI messages that somebody plays. Blocks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jackcapture.catalog import Catalog
from jackcapture.control.slices.excerpts import Excerpt
from jackcapture.control.slices.reading import events_of, samples_of
from jackcapture.model.midi import is_activity
from jackcapture.store import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Positions = npt.NDArray[np.int64]


def sounding_positions(store: Store, catalog: Catalog, excerpt: Excerpt, amplitude: float) -> Iterator["Positions"]:
    """Give the sample positions at which an excerpt sounds, in order, in parts."""
    import numpy as np  # noqa: PLC0415 - control starts without it

    if not excerpt.definition.is_audio:
        played = (position for position, event in events_of(store, catalog, excerpt) if is_activity(event))
        yield np.fromiter(played, np.int64)
        return
    for position, samples in samples_of(store, catalog, excerpt):
        loud: Any = (np.abs(samples) >= amplitude).any(axis=1)
        yield np.flatnonzero(loud).astype(np.int64) + position


def first_sounding(store: Store, catalog: Catalog, excerpt: Excerpt, amplitude: float) -> int | None:
    """Give the first sample position at which an excerpt sounds; None if it does not."""
    return next((int(found[0]) for found in sounding_positions(store, catalog, excerpt, amplitude) if len(found)), None)
