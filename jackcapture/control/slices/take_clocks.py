"""The clocks of a stream's takes, from what the catalog has and what is not sealed yet. Everything here blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jackcapture.catalog import Catalog
from jackcapture.clock.answers import Moment
from jackcapture.clock.take_clock import TakeClock, snapshot_margin
from jackcapture.control.slices.excerpts import Excerpt
from jackcapture.errors import NotFoundError
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import ClockSnapshot, Gap, Take

UnsealedClocks = Mapping[int, Sequence[ClockSnapshot]]
"""Clock snapshots that are not in the catalog yet, by take number."""


def clock_near(
    catalog: Catalog,
    definition: StreamDefinition,
    take: Take,
    position: int,
    unsealed: UnsealedClocks,
    unsealed_gaps: Sequence[Gap] = (),
) -> TakeClock:
    """Give the clock of a take around a position; raises `NotFoundError` if the take has no snapshot."""
    margin = snapshot_margin(definition.sample_rate)
    near = position - margin, position + margin
    snapshots = [*catalog.clocks(definition.uri, take.number, *near), *unsealed.get(take.number, ())]
    return TakeClock(take, definition.sample_rate, snapshots, [*catalog.gaps(definition.uri, *near), *unsealed_gaps])


def moment_at(catalog: Catalog, excerpt: Excerpt, take_number: int, position: int) -> Moment | None:
    """Give the wall clock of a position of an excerpt; None if its take has no snapshot."""
    take = take_of(catalog, excerpt, take_number)
    try:
        clock = clock_near(catalog, excerpt.definition, take, position, excerpt.unsealed_clocks, excerpt.gaps)
    except NotFoundError:
        return None
    return clock.wall_clock_at(position)


def began_at(catalog: Catalog, excerpt: Excerpt) -> Moment | None:
    """Give the wall clock of an excerpt's first frame, by the last snapshot up to there; None if there is none.

    What is observed later makes the moment more exact, and would make another file of the same range.
    """
    take, position = take_of(catalog, excerpt, excerpt.takes[0]), excerpt.from_sample
    known = snapshots_near(catalog, excerpt, take.number, position)
    before = [at for at in known if at.sample_position <= position]
    if not before:
        return None
    return TakeClock(take, excerpt.definition.sample_rate, before[-1:]).wall_clock_at(position)


def snapshots_near(catalog: Catalog, excerpt: Excerpt, take_number: int, position: int) -> list[ClockSnapshot]:
    """Give the snapshots on both sides of a position, and those of its take that are not sealed, in order."""
    uri = excerpt.definition.uri
    found = {at.sample_position: at for at in catalog.clocks(uri, take_number, position, position + 1)}
    found |= {at.sample_position: at for at in excerpt.unsealed_clocks.get(take_number, ())}
    return [found[at] for at in sorted(found)]


def take_of(catalog: Catalog, excerpt: Excerpt, take_number: int) -> Take:
    """Give a take of an excerpt, without its end: what the excerpt has is there, also if that is not told yet."""
    return replace(catalog.take(excerpt.definition.uri, take_number).take, samples=None)
