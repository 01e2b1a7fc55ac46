"""What must hold of a store after a power cut while its catalog is made anew: in the model, and for real."""

import asyncio
import json
from contextlib import closing
from pathlib import Path

from jackcapture.control.daemon import open_catalog
from jackcapture.control.maintenance.check import check_store
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.maintenance.rebuild import rebuild_store
from jackcapture.errors import JackCaptureError
from jackcapture.model.results import RebuildResult
from jackcapture.store import Store
from parts.crash_checks import STORE, PowerCutError, start_without_engine, whole_content
from parts.crash_events import SECTOR, Log, Names
from parts.crash_model import Disk, Image, PowerCut, State
from parts.crash_recorder import CATALOG, snapshot_of

_CATALOG = f"{STORE}/{CATALOG}"
_LOG = f"{_CATALOG}-wal"
_ASIDE = f"{_CATALOG}.replaced-"
_DESCRIPTION = f"{STORE}/store.json"


class Rebuilt:
    """A rebuild, or several of which the last one was not interrupted; `is_healthy`: the catalog was before them."""

    def __init__(self, log: Log, result: RebuildResult, *, is_healthy: bool) -> None:
        disk = Disk(log.initial)
        before = disk.present()
        self._is_healthy = is_healthy
        self._counts = _counts(result)
        self._content = whole_content(before)
        self._old = self._merged = _data(before, _CATALOG)
        self._log = _data(before, _LOG)
        self._new: dict[bytes, frozenset[str]] = {}  # with the names of content that rows point to
        for event in log.events:
            is_placed = isinstance(event, Names) and dict(event.changes).get(CATALOG) is not None
            if is_placed and not self._new:
                self._merged = _data(disk.present(), _CATALOG)  # the old one, as SQLite has merged its log into it
            disk.apply(event)
            if is_placed:
                data = disk.present().files[_CATALOG].data
                self._new[data] = snapshot_of(data).named
        after = disk.present()
        self._last = after.files[_CATALOG].data
        self._descriptions = (before.files.get(_DESCRIPTION), after.files[_DESCRIPTION])
        self._uuid = json.loads(after.files[_DESCRIPTION].data)["uuid"]
        self._recovered = 0

    # --- in the model ---

    def look(self, cut: PowerCut) -> None:
        """Look for content that is gone, and for a catalog that is torn, gone, or beside what is not its own."""
        content = whole_content(cut.state)
        if lost := self._content - content:
            raise PowerCutError("content", f"{sorted(lost)} were there")
        if cut.state.files.get(_DESCRIPTION) not in self._descriptions:
            raise PowerCutError("identity", "store.json is neither as it was nor as it is made anew")
        catalog = cut.state.files.get(_CATALOG)
        if cut.promised and (catalog is None or catalog.data != self._last):
            raise PowerCutError("promise", "the catalog was made anew, and is not there")
        if catalog is not None and catalog.data in self._new:
            self._look_at_new(cut.state, catalog, content)
        elif catalog is None and self._old is not None:
            raise PowerCutError("gone", f"there is neither the old {CATALOG} nor the new one")
        elif catalog is not None and not self._is_old(cut.state, catalog.data):
            raise PowerCutError("torn", f"{CATALOG} is neither the old one nor the new one")
        logs = [image.data for path, image in cut.state.files.items() if path.endswith("-wal")]
        if self._log is not None and self._log not in logs and not self._is_healthy:  # so nobody has merged it
            raise PowerCutError("old", "the log of the old catalog is gone")

    def _look_at_new(self, state: State, catalog: Image, content: set[str]) -> None:
        if catalog.mode != 0o600:
            raise PowerCutError("mode", f"{CATALOG} has mode {catalog.mode:04o}")
        if missing := self._new[catalog.data] - content:
            raise PowerCutError("row", f"rows point to {sorted(missing)}, which are not there")
        if state.files.get(_DESCRIPTION) != self._descriptions[1]:
            raise PowerCutError("identity", f"{CATALOG} is the new one, and store.json is not")
        for path in (_LOG, f"{_CATALOG}-journal"):
            if _data(state, path):
                raise PowerCutError("log", f"{path} is beside the new {CATALOG}, and is not its own")
        if self._old is not None and not any(
            image.data in (self._old, self._merged) for path, image in state.files.items() if path.startswith(_ASIDE)
        ):
            raise PowerCutError("old", "the old catalog is gone")

    def _is_old(self, state: State, data: bytes) -> bool:
        if self._old is None or self._merged is None or self._merged == self._old:
            return data == self._old
        if data == self._merged:
            return True
        # It is being merged: SQLite does that again, with the log that is there.
        pieces = [slice(at, at + SECTOR) for at in range(0, len(data), SECTOR)]
        return _data(state, _LOG) == self._log and all(
            data[piece] in (self._old[piece], self._merged[piece]) for piece in pieces
        )

    # --- for real ---

    def recover(self, base: Path, cut: PowerCut) -> None:
        """Recover as users do: some start control, which works or refuses; then they run the rebuild again."""
        root = base / STORE
        self._recovered += 1
        has_started = self._recovered % 2 == 0
        if has_started:
            self.refuse_or_start(base, cut)
        self._rebuild(root)
        kept = {path.read_bytes() for path in root.glob(f"{CATALOG}.replaced-*")}
        # A start changes a healthy catalog, if only by "is a WAL database" in its header.
        if self._old is not None and not has_started and not {self._old, self._merged} & kept:
            raise PowerCutError("old", "the old catalog is not kept aside")

    def refuse_or_start(self, base: Path, cut: PowerCut) -> None:
        """Start control, which must refuse what is no whole catalog of this store, and change nothing then."""
        root = base / STORE
        catalog = _data(cut.state, _CATALOG)
        is_whole = catalog is not None and (self._is_healthy or catalog in self._new)
        has_description = cut.state.files.get(_DESCRIPTION) == self._descriptions[1]
        try:
            _start_control(root)
        except JackCaptureError as error:
            if is_whole and has_description:
                raise PowerCutError("start", f"control does not start: {error}") from error
            description = (root / "store.json").read_bytes() if (root / "store.json").exists() else None
            if description != _data(cut.state, _DESCRIPTION):
                raise PowerCutError("identity", f"a start that was refused made another store: {error}") from error
            return
        if not (is_whole and has_description):
            raise PowerCutError("start", "control started with what is no catalog of this store")
        self._check(root)

    def _rebuild(self, root: Path) -> None:
        result = rebuild_store(CheckPlace(str(root)), force=True)
        if _counts(result) != self._counts:
            raise PowerCutError("rebuild", f"another rebuild gave {_counts(result)}, not {self._counts}")
        if left := [path.name for path in root.iterdir() if path.name.startswith((f"{CATALOG}.new", f"{CATALOG}-"))]:
            raise PowerCutError("rebuild", f"{left} stayed")
        _start_control(root)
        self._check(root)

    def _check(self, root: Path) -> None:
        if problems := check_store(CheckPlace(str(root)), read_data=False).problems:
            raise PowerCutError("check", f"{problems}")
        store = Store.create_or_open(str(root))
        if store.uuid != self._uuid:
            raise PowerCutError("identity", f"store {self._uuid} has become {store.uuid}")
        if lost := self._content - {content.hash for content in store.iterate_content()}:
            raise PowerCutError("content", f"{sorted(lost)} were there")


def _start_control(root: Path) -> None:
    store = Store.create_or_open(str(root))
    with closing(open_catalog(store)) as catalog:
        asyncio.run(start_without_engine(store, catalog, f"{root}.run"))


def _counts(result: RebuildResult) -> tuple[int, ...]:
    return result.streams, result.takes, result.chunks, result.artifacts


def _data(state: State, path: str) -> bytes | None:
    image = state.files.get(path)
    return None if image is None else image.data
