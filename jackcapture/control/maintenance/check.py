"""The check of a store: all that can be wrong with it is told, and nothing is told that is not wrong. Blocks."""

import os
import uuid

from jackcapture.catalog import Catalog
from jackcapture.catalog.audit import Audit
from jackcapture.catalog.migration import VERSION
from jackcapture.control.maintenance.check_content import ContentCheck
from jackcapture.control.maintenance.check_data import check_data
from jackcapture.control.maintenance.check_documents import check_documents
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.maintenance.check_rows import check_rows
from jackcapture.errors import NotFoundError, StorageDamagedError, StorageError
from jackcapture.model.checks import ProblemKind
from jackcapture.model.results import CheckedCounts, CheckResult, ProblemResult
from jackcapture.store.root import read_description
from jackcapture.store.survey import Survey

REMEDY = "'jackcapture store rebuild' makes a new one from the store"


def check_store(place: CheckPlace, *, read_data: bool = False) -> CheckResult:
    """Check the store at a place, with `read_data` also every byte of it.

    Raises `NotFoundError` where there is no store at all, `UnreachableError` if it was cancelled, `StorageError` if a
    directory cannot be read.
    """
    survey = Survey(place.root, place.files)
    identity = _check_description(place, survey)
    if survey.has_content():  # else each row would miss something
        audit = _open_catalog(place, survey, identity)
        try:
            total = _look_into(place, audit, survey)
            if read_data:
                check_data(place, audit, survey, total)
        finally:
            if audit is not None:
                audit.close()
    problems = place.problems
    return CheckResult(
        ok=problems.total == 0,
        checked=CheckedCounts(place.checked.content, place.checked.chunks, place.checked.artifacts),
        problems=tuple(ProblemResult(it.kind.value, it.address, it.message) for it in problems.listed),
        problem_count=problems.total,
        read_data=read_data,
    )


def _check_description(place: CheckPlace, survey: Survey) -> str | None:
    """Give the store's UUID; None if `store.json` does not tell."""
    if not survey.is_store():
        raise NotFoundError(f"there is no store at {place.root}; name one with --root", root=place.root)
    if not survey.has_content():
        _add(
            place,
            ProblemKind.STORE_DAMAGED,
            "content/blake3",
            "the directory is missing; is a file system not mounted?",
        )
    try:
        return read_description(place.files, survey.path("store.json"))
    except FileNotFoundError:
        _add(place, ProblemKind.STORE_DAMAGED, "store.json", f"it is missing; {REMEDY}")
    except StorageDamagedError as error:
        _add(place, ProblemKind.STORE_DAMAGED, "store.json", f"{error.message}; {REMEDY}")
    return None


def _open_catalog(place: CheckPlace, survey: Survey, identity: str | None) -> Audit | None:
    """Open the catalog; None if it cannot be read or is not this store's, which is then told."""
    if not os.path.lexists(place.catalog_path):
        if any(True for _ in survey.all_content()):
            _add(place, ProblemKind.CATALOG_MISSING, "catalog.db", f"it is missing, and content is there; {REMEDY}")
        return None
    audit = None
    try:
        audit = Audit(place.catalog_path, place.is_cancelled)
        wrong = audit.damage()
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise StorageDamagedError(f"SQLite says: {wrong[0]}{more}")
        described = audit.store_uuid()
        if described is not None and identity is not None and uuid.UUID(identity) != _uuid(described):
            _add(
                place,
                ProblemKind.CATALOG_FOREIGN,
                "catalog.db",
                f"it describes store {described}; this is store {identity}. Put the right one there, or: {REMEDY}",
            )
            audit.close()
            return None
        for message in audit.dangling()[:1]:
            _add(place, ProblemKind.CATALOG_REFERENCES, "catalog.db", message)
        if audit.version < VERSION:  # only while no control has it open
            audit.close()
            Catalog(place.catalog_path, described or identity or "").close()
            audit = Audit(place.catalog_path, place.is_cancelled)
        return audit
    except StorageError as error:
        place.go_on()
        remedy = "" if error.details.get("version", 0) > VERSION else f"; {REMEDY}"
        _add(place, ProblemKind.CATALOG_DAMAGED, "catalog.db", error.message + remedy)
        if audit is not None:
            audit.close()
        return None


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _look_into(place: CheckPlace, audit: Audit | None, survey: Survey) -> int:
    """Check all but the bytes of content; gives how many these are."""
    content = ContentCheck(place, audit, survey)
    try:
        content.run()
        if audit is not None:
            check_rows(place, audit)
            check_documents(place, audit)
    except StorageDamagedError as error:
        _add(place, ProblemKind.CATALOG_DAMAGED, "catalog.db", f"{error.message}; {REMEDY}")
    except StorageError:
        place.go_on()  # cancelled within a query
        raise
    return content.bytes


def _add(place: CheckPlace, kind: ProblemKind, address: str, message: str) -> None:
    place.problems.add(kind, address, message)
