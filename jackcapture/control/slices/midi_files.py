"""Makes Standard MIDI Files of ranges of MIDI streams. Everything here blocks."""

import itertools
from collections.abc import Iterable, Iterator

from jackcapture.catalog import Catalog
from jackcapture.control.slices.excerpts import Excerpt
from jackcapture.control.slices.layouts import Layout, layout_of
from jackcapture.control.slices.reading import events_by_chunk
from jackcapture.control.slices.requests import SliceOptions
from jackcapture.errors import InvalidValueError
from jackcapture.formats.midi_records import MidiRecord
from jackcapture.formats.smf import Smf, SmfOptions, Tempo, write_smf
from jackcapture.model.progress import Progress
from jackcapture.model.takes import ClockSnapshot
from jackcapture.model.uris import StreamUri
from jackcapture.store import Store

MAX_FILE_BYTES = 256 << 20
"""Of records in the range: a MIDI file is made in memory."""


def midi_file(
    store: Store, catalog: Catalog, excerpt: Excerpt, history: Excerpt | None, options: SliceOptions, progress: Progress
) -> Smf:
    """Make the file of an excerpt; `history` is what its take has before it, by which is chased what is in force.

    Raises `InvalidValueError` for a range with more than `MAX_FILE_BYTES`.
    """
    layout = layout_of(excerpt)
    if layout.length > MAX_FILE_BYTES:
        raise InvalidValueError(
            f"{excerpt.definition.uri}: {layout.length} bytes of MIDI: a MIDI file is made of at most "
            f"{MAX_FILE_BYTES}; cut a shorter range, or as raw",
            bytes=layout.length,
        )
    before = layout_of(history) if history is not None else Layout(layout.uri, ())
    total = before.length + layout.length
    done = 0

    def events(part: Layout) -> Iterator[MidiRecord]:
        nonlocal done
        for size, found in events_by_chunk(store, catalog, part):
            yield from found
            done += size
            progress(done, total, "bytes")

    return write_smf(
        itertools.chain(events(before), events(layout)),
        excerpt.from_sample,
        excerpt.to_sample,
        excerpt.definition.sample_rate,
        list(_tempos(clocks_of(catalog, excerpt))),
        SmfOptions(file_type=options.midi_file_type, chase=options.chase, track_name=excerpt.definition.uri),
    )


def chased_from(catalog: Catalog, uri: StreamUri, from_sample: int) -> int:
    """Give where begins what is read to know what is in force at a position: its take, or what is kept of that."""
    takes = [it.take.first_sample for it in catalog.takes(uri) if it.take.first_sample <= from_sample]
    first = max(takes, default=from_sample)
    # Of the take, what retention has left without a hole.
    gone = catalog.keeping.removals(uri, first, from_sample)
    return min(max((it.end_sample for it in gone), default=first), from_sample)


def clocks_of(catalog: Catalog, excerpt: Excerpt) -> list[ClockSnapshot]:
    """Give the clock snapshots of an excerpt, sealed or not, and the ones on each side, in order."""
    found = {
        at.sample_position: at
        for take in excerpt.takes
        for at in catalog.clocks(excerpt.definition.uri, take, excerpt.from_sample, excerpt.to_sample)
    }
    for clocks in excerpt.unsealed_clocks.values():
        found |= {at.sample_position: at for at in clocks}
    return [found[position] for position in sorted(found)]


def _tempos(clocks: Iterable[ClockSnapshot]) -> Iterator[Tempo]:
    """Give the tempo map that JACK's transport had, where a client gave one; what no file can say is left out."""
    last = None
    for at in clocks:
        transport = at.transport
        if transport.bar < 1 or transport.beats_per_minute <= 0:
            continue
        said = (transport.beats_per_minute, transport.beats_per_bar or 4.0, transport.beat_type or 4.0)
        if said == last:
            continue
        try:
            yield Tempo(at.sample_position, *said)
        except InvalidValueError:
            continue
        last = said
