"""Removes what is beyond the streams' retention, and nothing that is held or being read. Blocks."""

import itertools
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from jackcapture.catalog import Catalog, StreamRecord
from jackcapture.control.contents import Contents
from jackcapture.model.progress import Progress
from jackcapture.model.retention import Doomed, HolderKind, RemovalReason
from jackcapture.model.uris import StreamUri

log = logging.getLogger(__name__)

_BATCH = 256  # chunks that are marked in one transaction


@dataclass(frozen=True, slots=True)
class DoomedRun:
    """Neighbouring chunks `[first_index, end_index)` of a take, beyond the retention for the same reason.

    `held_by` is what they stay for, all the same; `bytes` are those of the chunks and their overviews.
    """

    uri: StreamUri
    take_number: int
    first_index: int
    end_index: int
    first_sample: int
    end_sample: int
    bytes: int
    reason: RemovalReason
    held_by: tuple[HolderKind, str] | None


def plan(catalog: Catalog) -> list[DoomedRun]:
    """Tell what is beyond the retention of its stream, and what stays of that because somebody holds it."""
    found = []
    for record in catalog.streams():
        if record.retention.is_limited:
            found += runs(catalog.keeping.doomed(record.definition, record.retention, -1))
    return found


def collect(
    catalog: Catalog, contents: Contents, streams: Iterable[StreamRecord], progress: Progress | None = None
) -> list[DoomedRun]:
    """Remove what is beyond the retention of the streams; gives what that was.

    `progress` may raise to cancel: what was removed is gone, and the next one goes on.
    """
    contents.remove_marked()  # what an earlier one did not finish
    removed: list[Doomed] = []
    try:
        for record in streams:
            while record.retention.is_limited and (marked := _mark(catalog, contents, record)):
                contents.remove_marked()
                removed += marked
                if progress is not None:
                    progress(len(removed), 0, "chunks")
    finally:
        found = runs(removed)
        for run in found:
            log.info(
                "%s: removed chunks %d to %d of take %d (%s), %d bytes",
                run.uri,
                run.first_index,
                run.end_index - 1,
                run.take_number,
                run.reason,
                run.bytes,
            )
    return found


def _mark(catalog: Catalog, contents: Contents, record: StreamRecord) -> list[Doomed]:
    """Mark the next chunks of a stream that are to go."""
    with contents.marking() as is_read:
        return catalog.keeping.mark_chunks(
            record.definition,
            record.retention,
            _BATCH,
            lambda chunk: is_read(chunk.uri, chunk.first_sample, chunk.end_sample),
        )


def runs(chunks: Iterable[Doomed]) -> list[DoomedRun]:
    """Join neighbours."""
    found = []
    for _, group in itertools.groupby(
        enumerate(chunks), lambda at: (at[1].uri, at[1].take_number, at[1].index - at[0], at[1].reason, at[1].held_by)
    ):
        run = [chunk for _, chunk in group]
        first, last = run[0], run[-1]
        found.append(
            DoomedRun(
                first.uri,
                first.take_number,
                first.index,
                last.index + 1,
                first.first_sample,
                last.end_sample,
                sum(chunk.bytes for chunk in run),
                first.reason,
                first.held_by,
            )
        )
    return found
