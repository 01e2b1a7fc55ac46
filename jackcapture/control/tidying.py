"""Removes what an earlier control left in staging. Blocks."""

import contextlib
import logging

from jackcapture.control.contents import Contents
from jackcapture.errors import NotFoundError
from jackcapture.model.addresses import Staging
from jackcapture.store import Store

log = logging.getLogger(__name__)


def discard_orphans(store: Store, contents: Contents, in_use: set[Staging], made_before_ns: int) -> None:
    """Remove the staging files that an earlier control made and that nobody has.

    They are spares that it had not given away, and slices and documents that it had not finished; of those also the
    content that no row names.
    """
    orphans = []
    for staging in store.iterate_staging():
        with contextlib.suppress(NotFoundError):
            if staging not in in_use and store.stat(staging).mtime_ns < made_before_ns:
                orphans.append(staging)
    if orphans:
        log.warning("removing %d files from staging that nobody has", len(orphans))
    for staging in orphans:
        contents.discard_unfinished(staging)
