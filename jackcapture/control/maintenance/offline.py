"""Work on the store while no control runs: in a process of its own, which holds the store's lock meanwhile."""

import contextlib
import os
from collections.abc import Iterator

from jackcapture.catalog.audit import Audit
from jackcapture.control.maintenance.check import check_store
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.maintenance.rebuild import rebuild_store
from jackcapture.errors import NotFoundError, StorageError
from jackcapture.lock import ENGINE_LOCK, STORE_LOCK, ProcessLock
from jackcapture.model.progress import Progress
from jackcapture.model.results import CheckResult, RebuildResult
from jackcapture.settings import Settings
from jackcapture.store.survey import Survey


def check_offline(settings: Settings, progress: Progress, *, read_data: bool) -> CheckResult:
    """Check the store; raises `ConflictError` with the process id of a control that has it."""
    with _locked(settings, progress) as place:
        return check_store(place, read_data=read_data)


def rebuild_offline(settings: Settings, progress: Progress, *, force: bool) -> RebuildResult:
    """Make the catalog anew; raises `ConflictError` with the process id of a control, or of an engine that runs."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(_locked(settings, progress))
        if os.path.isdir(settings.runtime):
            # What it records meanwhile would be of takes that the new catalog has never heard of.
            stack.enter_context(ProcessLock(os.path.join(settings.runtime, ENGINE_LOCK), "the engine's directory"))
        return rebuild_store(place, force=force)


@contextlib.contextmanager
def _locked(settings: Settings, progress: Progress) -> Iterator[CheckPlace]:
    root = os.path.realpath(settings.root)
    place = CheckPlace(root, progress=progress)
    if not Survey(root, place.files).is_store():  # before a lock file is made there
        raise NotFoundError(f"there is no store at {root}; name one with --root", root=root)
    with ProcessLock(os.path.join(root, STORE_LOCK), f"store {root}"):
        place.staging_in_use = lambda: _staging_in_use(place)
        yield place


def _staging_in_use(place: CheckPlace) -> frozenset[str] | None:
    """Give what waits to be sealed; None if a take has not ended: staging may have all that is left of it."""
    try:
        with Audit(place.catalog_path) as audit:
            return None if audit.has_unfinished_takes() else Survey(place.root, place.files).noted()
    except StorageError:
        return None
