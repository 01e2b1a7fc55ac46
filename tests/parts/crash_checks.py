"""What must hold of a store after a power cut at any moment, and how it is looked at: in the model, and for real."""

import asyncio
import json
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from blake3 import blake3

from jackcapture.catalog import Catalog, TakeRecord
from jackcapture.control.chunk_supply import ChunkSupply
from jackcapture.control.contents import Contents
from jackcapture.control.engine_link import EngineLink
from jackcapture.control.streams import Streams
from jackcapture.control.tidying import discard_orphans
from jackcapture.model.addresses import Content
from jackcapture.protocol.messages import EngineState
from jackcapture.settings import Settings
from jackcapture.store import Store
from parts.crash_events import Log
from parts.crash_model import PowerCut, State, describe, power_cuts
from parts.crash_recorder import CATALOG, snapshot_of

STORE = "store"
"""The name of the store below the directory that is recorded."""

_CONTENT = re.compile(rf"{STORE}/content/blake3/([0-9a-f]{{2}})/([0-9a-f]{{2}})/(\1\2[0-9a-f]{{60}})")
_SEED = 1
_SHARED_MEMORY = Path("/dev/shm")


class PowerCutError(AssertionError):
    """A power cut that costs what was promised; `kind` names the promise."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that was durable in staging, by its path below the recorded directory; `data` of it is to be kept."""

    path: str
    data: bytes


@dataclass(slots=True)
class Checked:
    """How much was checked: states in the model, and distinct ones that were made for real and recovered."""

    states: int = 0
    recovered: int = 0


Look = Callable[[PowerCut], None]
"""Looks at a state in the model."""

Recover = Callable[[Path, PowerCut], None]
"""Recovers from a state that was made for real below this directory."""


def check(
    log: Log,
    look: Look,
    *,
    recover: Recover | None = None,
    limit: int = 96,
    recoveries: int = 24,
    since: int = 0,
) -> Checked:
    """Check every state that a power cut after `since` events may leave.

    At most `recoveries` of the distinct ones, spread over all, are made for real and recovered. Raises `PowerCutError`,
    which says where the power cut was.
    """
    checked = Checked()
    chosen = _Spread(recoveries)
    for cut in power_cuts(log, limit=limit, seed=_SEED, since=since):
        checked.states += 1
        with _named(log, cut):
            look(cut)
        if recover is not None:
            chosen.add(cut)
    if recover is not None:
        folder = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None  # many fsyncs, and none of them is looked at
        for cut in chosen.cuts:
            with tempfile.TemporaryDirectory(prefix="jackcapture-cut-", dir=folder) as base:
                cut.state.make(Path(base))
                if cut.catalog is not None:
                    (Path(base) / STORE / CATALOG).write_bytes(cut.catalog.data)
                with _named(log, cut):
                    recover(Path(base), cut)
            checked.recovered += 1
    return checked


class _Spread:
    """At most so many of the distinct power cuts that are added, spread over all; it holds no others."""

    def __init__(self, most: int) -> None:
        self.cuts: list[PowerCut] = []
        self._most = most
        self._step = 1
        self._known: set[int] = set()

    def add(self, cut: PowerCut) -> None:
        key = hash((cut.state.key, cut.catalog and cut.catalog.data, cut.promised))
        if key in self._known:
            return
        if len(self._known) % self._step == 0:
            if len(self.cuts) == self._most:
                self.cuts = self.cuts[::2]
                self._step *= 2
            if len(self._known) % self._step == 0:
                self.cuts.append(cut)
        self._known.add(key)


@contextmanager
def _named(log: Log, cut: PowerCut) -> Iterator[None]:
    try:
        yield
    except PowerCutError as error:
        error.add_note(describe(log, cut))
        raise
    except Exception as error:
        found = PowerCutError("recovery", f"{type(error).__name__}: {error}")
        found.add_note(describe(log, cut))
        raise found from error


# --- in the model ---


def keeps(waiting: Iterable[Waiting] = ()) -> Look:
    """Look for rows and promises without whole content, for torn content, and for files that waited and are gone."""
    return lambda cut: _look(cut, waiting)


def looks_made(cut: PowerCut) -> None:
    """Look whether what calls itself a store is a whole one, and the one that was told of (by its promised UUID)."""
    description = cut.state.files.get(f"{STORE}/store.json")
    if description is None:
        if cut.promised:
            raise PowerCutError("creation", f"store {set(cut.promised)} was made, and is not there")
        return
    try:
        uuid = json.loads(description.data)["uuid"]
    except ValueError as error:
        raise PowerCutError("creation", f"store.json is torn: {error}") from error
    if cut.promised - {uuid}:
        raise PowerCutError("creation", f"store {set(cut.promised)} was made, and {uuid} is there")
    for kind in ("content", "staging"):
        if f"{STORE}/{kind}/blake3" not in cut.state.directories:
            raise PowerCutError("creation", f"there is a store.json, and no {kind}/blake3")


def _look(cut: PowerCut, waiting: Iterable[Waiting]) -> None:
    content = whole_content(cut.state)
    catalog = cut.catalog
    if catalog is None and (file := cut.state.files.get(f"{STORE}/{CATALOG}")) is not None:
        catalog = snapshot_of(file.data)
    for name in sorted(catalog.named if catalog is not None else ()):
        if name not in content:
            raise PowerCutError("row", f"a row points to {name}, which is not there")
    for name in sorted(cut.promised):
        if name not in content:
            raise PowerCutError("promise", f"{name} was sealed, and is not there")
    for wanted in waiting:
        found = cut.state.files.get(wanted.path)
        is_staged = found is not None and found.data.startswith(wanted.data)
        if not is_staged and _hash(wanted.data) not in content:
            raise PowerCutError("chunk", f"{wanted.path} is neither whole in staging nor in content")


def whole_content(state: State) -> set[str]:
    """Give the hashes of all content; each must be what its name says, whether a row points to it or not.

    Also without a row: `seal` of the same bytes takes what has their name, and looks at no more than its size.
    """
    names = set()
    for path, image in state.files.items():
        match = _CONTENT.fullmatch(path)
        if match is None:
            continue
        if _hash(image.data) != match[3]:
            raise PowerCutError("torn", f"{path} holds {len(image.data)} bytes of another hash")
        if image.mode != 0o444:
            raise PowerCutError("mode", f"{path} has mode {image.mode:04o}")
        names.add(match[3])
    return names


@lru_cache(1 << 14)
def _hash(data: bytes) -> str:
    return blake3(data).hexdigest()


# --- for real ---


def create_again(base: Path, cut: PowerCut) -> None:
    """Recover a store that was being made: it is made again or opened, and then it stays what it is."""
    first = Store.create_or_open(str(base / STORE))
    was_made = f"{STORE}/store.json" in cut.state.files
    if was_made and first.uuid != json.loads(cut.state.files[f"{STORE}/store.json"].data)["uuid"]:
        raise PowerCutError("creation", "a store that was whole became another one")
    tree = _tree(base)
    if Store.create_or_open(str(base / STORE)).uuid != first.uuid or _tree(base) != tree:
        raise PowerCutError("creation", "opening a store twice gave two")
    first.put(b"the store can be written to")


def reopen(base: Path, cut: PowerCut) -> None:
    """Recover as one who uses the store alone: what was told to be safe is whole."""
    store = Store.create_or_open(str(base / STORE))
    for name in cut.promised:
        if _hash(Path(store.path(Content(name))).read_bytes()) != name:
            raise PowerCutError("torn", f"content {name} is torn")


def restart(base: Path, cut: PowerCut) -> None:
    """Recover as control does when the machine is back: no engine runs, no ring is there; and then once more."""
    _restart(base)
    tree, rows = _tree(base), _rows(base)
    _check_recovered(base, cut)
    _restart(base)
    if (_tree(base), _rows(base)) != (tree, rows):
        raise PowerCutError("recovery", f"a second start changed {sorted(_tree(base).items() ^ tree.items())} or rows")


def _restart(base: Path) -> None:
    store = Store.create_or_open(str(base / STORE))
    with closing(Catalog(f"{store.root}/{CATALOG}", store.uuid)) as catalog:
        asyncio.run(start_without_engine(store, catalog, str(base / "run")))


async def start_without_engine(store: Store, catalog: Catalog, runtime: str) -> None:
    """Do what control does with an engine that has nothing, as after a start of the machine."""
    contents = Contents(store, catalog)
    supply = ChunkSupply(Settings(root=store.root, runtime=runtime), store, catalog, contents)
    link = EngineLink(runtime, lambda *_: None)
    streams = Streams(store, catalog, contents, supply, link)
    engine = EngineState("new", 1, time.time_ns(), "", "default", False, "jackcapture", 0, 0, 0, 0, time.time_ns())
    try:
        await streams.reconcile(engine, time.monotonic())
        in_use = await streams.staging_in_use(engine) or set()
        await asyncio.to_thread(discard_orphans, store, contents, in_use, time.time_ns())
        contents.remove_marked()
    finally:
        await streams.close()
        await link.close()
        supply.close()


def _check_recovered(base: Path, cut: PowerCut) -> None:
    store = Store.create_or_open(str(base / STORE))
    if left := list(store.iterate_staging()):
        raise PowerCutError("recovery", f"{left} stayed in staging")
    for content in store.iterate_content():
        if _hash(Path(store.path(content)).read_bytes()) != content.hash:
            raise PowerCutError("torn", f"{content} is torn after a start")
    with closing(Catalog(f"{store.root}/{CATALOG}", store.uuid)) as catalog:
        named = snapshot_of(catalog._connections.writer.serialize()).named
        for record in catalog.streams():
            uri = record.definition.uri
            for take in catalog.takes(uri):
                if take.take.samples is None or (take.error and take.end_sample != _end_of_chunks(catalog, take)):
                    raise PowerCutError("recovery", f"{take} does not end with its last sealed chunk")
            # The newest manifest tells of all takes, so that the store alone knows what it holds.
            manifests = catalog.artifacts(kind="manifest", stream_uri=uri, limit=1)
            last = catalog.last_take(uri)
            told = json.loads(Path(store.root, _place(manifests[0].content_hash)).read_bytes()) if manifests else {}
            if last is not None and (not told or told["takes"][-1]["samples"] != last.take.samples):
                raise PowerCutError("manifest", f"{uri} has no manifest that tells of take {last.take.number}")
    lost = [name for name in named | cut.promised if not (base / STORE / _place(name)).exists()]
    before = cut.catalog.named if cut.catalog is not None else frozenset()
    if lost or before - named:
        raise PowerCutError("row", f"{lost} are not there, and {before - named} is named no more")


def _end_of_chunks(catalog: Catalog, record: TakeRecord) -> int:
    take = record.take
    ends = [
        sealed.chunk.end_sample for sealed in catalog.chunks(take.uri, 0, 1 << 62) if sealed.take_number == take.number
    ]
    return max(ends, default=take.first_sample)


def _place(name: str) -> str:
    return f"content/blake3/{name[:2]}/{name[2:4]}/{name}"


def _tree(base: Path) -> dict[str, bytes | None]:
    """Everything below the store, but the catalog's files, which SQLite may change when they are opened."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in (base / STORE).rglob("*")
        if not path.name.startswith(CATALOG)
    }


def _rows(base: Path) -> list[str]:
    with closing(sqlite3.connect(base / STORE / CATALOG)) as db:
        return list(db.iterdump())
