"""Makes a new catalog from the store alone: from documents and from the files that they name. Blocks.

ORDER OF DURABILITY. The new catalog is made beside the old one, whole, and made durable; the old one gets a second
name; then the new one takes its place by a rename. So there is the old one or the new one at any moment, and whatever
cut this short, the same command does it all again.
"""

import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.catalog.rebuilding import NewCatalog
from jackcapture.control.documents import render_definition
from jackcapture.control.maintenance.check_content import content_path
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.maintenance.documents_reading import (
    KINDS,
    DocumentKind,
    Manifest,
    TakePart,
    read_definition,
    read_manifest,
)
from jackcapture.control.maintenance.rebuilt_requests import enter_requests
from jackcapture.control.maintenance.rebuilt_sessions import FoundSessions, enter_session
from jackcapture.control.maintenance.rebuilt_take import Boundary, RebuiltTake, boundary, rebuilt_take
from jackcapture.control.maintenance.store_contents import Document, documents, mime_type
from jackcapture.control.maintenance.swap import OldCatalog, place_catalog, write_description
from jackcapture.control.sessions.document import SESSION_TYPE
from jackcapture.control.slices.requests import SLICE_TYPE
from jackcapture.control.slices.virtual import held_range
from jackcapture.errors import InvalidValueError, NotFoundError, StorageDamagedError
from jackcapture.model.artifacts import Artifact
from jackcapture.model.checks import MAX_LISTED
from jackcapture.model.results import LostResult, RebuildResult, RecoveredResult
from jackcapture.model.retention import Hold, HolderKind, Retention
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.uris import StreamUri
from jackcapture.store import Store
from jackcapture.store.root import read_description
from jackcapture.store.survey import Survey

RECOVERED = "recovered"
"""Kind and tag of artifacts of which only the bytes are known."""

_Age = tuple[int, int, int, int]


@dataclass(slots=True)
class _Stream:
    """What documents tell of a stream: its definition, and the newest manifest by name."""

    definition: StreamDefinition
    created_at_ns: int
    manifest: str | None = None
    age: _Age = (0, 0, 0, 0)


@dataclass(slots=True)
class _Found:
    """What the documents in the store are, by name, and the streams and sessions that they tell of."""

    kinds: dict[str, tuple[DocumentKind, StreamUri, int, int]] = field(default_factory=dict)
    definitions: dict[StreamUri, list[tuple[int, str, StreamDefinition]]] = field(default_factory=dict)
    streams: dict[StreamUri, _Stream] = field(default_factory=dict)
    sessions: FoundSessions = field(default_factory=FoundSessions)
    store_uuids: Counter[str] = field(default_factory=Counter)


class Rebuild:
    """One rebuild of the catalog at a place whose store lock is held."""

    def __init__(self, place: CheckPlace) -> None:
        self._place = place
        self._survey = Survey(place.root, place.files)
        self._unknown: list[str] = []
        self._recovered: list[RecoveredResult] = []
        self._recovered_count = 0
        self._lost: list[LostResult] = []
        self._lost_count = 0
        self._counts: Counter[str] = Counter()
        self._files = 0

    def run(self, *, force: bool) -> RebuildResult:
        """Do it; raises `ConflictError` if the catalog that is there is healthy and `force` is not given."""
        place, survey = self._place, self._survey
        if not survey.has_content():
            raise NotFoundError(f"there is no store at {place.root}: it has no content/blake3", root=place.root)
        identity = self._identity()
        old = OldCatalog.look(place, identity)
        if not force:
            old.refuse_if_healthy()
        found = self._find_documents()
        if identity is None:
            identity = self._new_identity(found, old)
        store = Store.create_or_open(place.root, files=place.files)
        path = place.catalog_path + ".new"
        with NewCatalog(path, identity, place.files) as catalog:
            self._enter_streams(catalog, store, found)
            self._enter_sessions(catalog, found)
            self._enter_the_rest(catalog)
            catalog.finish()
            replaced = place_catalog(place, path)
        self._tell(old)
        return RebuildResult(
            streams=self._counts["streams"],
            takes=self._counts["takes"],
            chunks=self._counts["chunks"],
            sessions=self._counts["sessions"],
            artifacts=self._counts["artifacts"],
            recovered=tuple(self._recovered),
            recovered_count=self._recovered_count,
            lost=tuple(self._lost),
            lost_count=self._lost_count,
            unknown=tuple(self._unknown[:MAX_LISTED]),
            replaced=replaced,
        )

    # --- which store it is ---

    def _identity(self) -> str | None:
        try:
            return read_description(self._place.files, self._survey.path("store.json"))
        except (FileNotFoundError, StorageDamagedError):
            return None

    def _new_identity(self, found: _Found, old: OldCatalog) -> str:
        """Give the UUID that most manifests name, else that of the old catalog, else a new one; make store.json."""
        named = [name for name, _ in found.store_uuids.most_common(1)]
        identity = next(iter(named), None) or old.store_uuid or str(uuid.uuid4())
        write_description(self._place, identity)
        self._unknown.append(f"store.json was missing or damaged; it is made anew, with the UUID {identity}")
        return identity

    # --- documents ---

    def _find_documents(self) -> _Found:
        found = _Found()
        for document in documents(self._survey):
            self._place.go_on()
            kind = KINDS.get(document.type)
            if kind is None:
                self._unknown.append(f"{content_path(document.name)} is {document.type}: nothing is known by it")
                continue
            try:
                if kind is DocumentKind.DEFINITION:
                    self._note_definition(found, document)
                elif kind is DocumentKind.MANIFEST:
                    self._note_manifest(found, document)
                else:
                    found.sessions.note(document)
            except InvalidValueError as error:
                self._unknown.append(f"{content_path(document.name)}, a {kind}, cannot be used: {error.message}")
        for uri, definitions in found.definitions.items():
            if uri not in found.streams:
                at, _, definition = max(definitions, key=lambda it: it[0])
                found.streams[uri] = _Stream(definition, at)
                self._unknown.append(
                    f"{uri}: there is a definition and no manifest, so what it recorded is not known; a stream that "
                    "was deleted can look like this, too"
                )
        self._unknown.extend(found.sessions.forget_without(found.streams))
        return found

    def _note_definition(self, found: _Found, document: Document) -> None:
        definition = read_definition(document.data)
        found.definitions.setdefault(definition.uri, []).append((document.mtime_ns, document.name, definition))
        found.kinds[document.name] = (DocumentKind.DEFINITION, definition.uri, len(document.data), document.mtime_ns)

    def _note_manifest(self, found: _Found, document: Document) -> None:
        manifest = read_manifest(document.data)
        definition = manifest.stream
        found.store_uuids[manifest.store_uuid] += 1
        found.kinds[document.name] = (DocumentKind.MANIFEST, definition.uri, len(document.data), document.mtime_ns)
        last = manifest.takes[-1] if manifest.takes else None
        age = (
            manifest.created_at_ns,
            0 if last is None else last.number,
            (0 if last is None else last.ended_at_ns) or 0,
            document.mtime_ns,
        )
        known = found.streams.get(definition.uri)
        if known is None or age > known.age:
            found.streams[definition.uri] = _Stream(definition, manifest.created_at_ns, document.name, age)

    # --- into the catalog ---

    def _enter_streams(self, catalog: NewCatalog, store: Store, found: _Found) -> None:
        ids: dict[str, str] = {}
        parents = {uri: self._definition_of(store, found, uri) for uri in sorted(found.streams)}
        # Definitions first: they are the parents of manifests.
        for name, (kind, uri, size, at) in sorted(found.kinds.items(), key=lambda it: it[1]):
            parent = ids.get(parents.get(uri, "")) if kind is DocumentKind.MANIFEST else None
            artifact = Artifact(
                id=new_artifact_id(kind),
                kind=kind.value,
                content_hash=name,
                mime_type=next(mime for mime, known in KINDS.items() if known is kind),
                bytes=size,
                created_at_ns=at,
                stream_uri=uri,
                parents=() if parent is None else (parent,),
            )
            ids[name] = artifact.id
            catalog.add_artifact(artifact)
            self._counts["artifacts"] += 1
        for uri, name in parents.items():
            stream = found.streams[uri]
            manifest = None if stream.manifest is None else self._read(stream.manifest)
            retention = Retention() if manifest is None else _retention(manifest)
            row = catalog.add_stream(stream.definition, ids[name], stream.created_at_ns, retention)
            self._counts["streams"] += 1
            for pin in () if manifest is None else manifest.pins:
                catalog.add_pin(row, pin.name, pin.from_sample, pin.to_sample, pin.created_at_ns)
            if manifest is not None:
                bound = boundary(manifest)
                for take in manifest.takes:
                    self._enter_take(catalog, row, stream.definition, take, bound)

    def _definition_of(self, store: Store, found: _Found, uri: StreamUri) -> str:
        """Give the name of a stream's definition in the store; it is made anew if it is lost."""
        definition = found.streams[uri].definition
        for _, name, known in found.definitions.get(uri, []):
            if known == definition:
                return name
        data = render_definition(definition)
        name = store.put(data).content.hash
        found.kinds[name] = (DocumentKind.DEFINITION, uri, len(data), time.time_ns())
        self._unknown.append(f"{uri}: its definition was lost, and is made anew as its manifest has it")
        return name

    def _read(self, name: str) -> Manifest:
        with open(self._survey.path(content_path(name)), "rb") as file:
            return read_manifest(file.read())

    def _enter_take(
        self, catalog: NewCatalog, row: int, definition: StreamDefinition, take: TakePart, bound: Boundary
    ) -> None:
        self._place.go_on()
        made = rebuilt_take(self._survey, definition, take, bound)
        catalog.add_take(row, definition, made.take, made.error, made.chunks, made.removals, made.gaps, made.clocks)
        self._counts["takes"] += 1
        self._counts["chunks"] += len(made.chunks)
        self._note_losses(definition, made)

    def _note_losses(self, definition: StreamDefinition, made: RebuiltTake) -> None:
        for gone in made.lost:
            self._lost_count += 1
            if len(self._lost) < MAX_LISTED:
                self._lost.append(
                    LostResult(
                        definition.uri,
                        gone.take_number,
                        gone.end_index - gone.first_index,
                        (gone.first_sample, gone.end_sample),
                    )
                )
        if made.missing_overviews:
            self._unknown.append(
                f"{definition.uri} take {made.take.number}: {made.missing_overviews} overviews are missing; they are "
                "made from the samples when they are asked for"
            )
        if made.is_unfinished:
            self._unknown.append(f"{definition.uri} take {made.take.number} did not end in any manifest")

    def _enter_sessions(self, catalog: NewCatalog, found: _Found) -> None:
        for session in found.sessions.in_order():
            self._place.go_on()
            entered = enter_session(catalog, session, self._unknown.append)
            self._counts["sessions"] += 1
            for _ in enter_requests(catalog, self._survey, entered, self._unknown.append):
                self._counts["artifacts"] += 1
        for name, (session, size, at) in sorted(found.sessions.documents.items()):
            artifact = Artifact(
                id=new_artifact_id("session-document"),
                kind=DocumentKind.SESSION.value,
                content_hash=name,
                mime_type=SESSION_TYPE,
                bytes=size,
                created_at_ns=at,
                parents=tuple(parent for uri in session.uris for parent in catalog.documents_of(uri)),
                metadata={"session_id": session.id, "name": session.name},
            )
            catalog.add_artifact(artifact)
            self._counts["artifacts"] += 1

    # --- what no document names ---

    def _enter_the_rest(self, catalog: NewCatalog) -> None:
        for found in self._survey.all_content():
            self._files += 1
            self._place.progress(self._files, 0, "files")
            if not found.is_file or not found.is_in_place or found.name is None or catalog.is_known(found.name):
                continue
            self._place.go_on()
            artifact = Artifact(
                id=new_artifact_id(RECOVERED),
                kind=RECOVERED,
                content_hash=found.name,
                mime_type=mime_type(self._survey, found),
                bytes=found.status.st_size,
                created_at_ns=found.status.st_mtime_ns,
                tags=(RECOVERED,),
            )
            catalog.add_artifact(artifact, self._holds_of(catalog, artifact))
            self._counts["artifacts"] += 1
            self._recovered_count += 1
            if len(self._recovered) < MAX_LISTED:
                self._recovered.append(
                    RecoveredResult(artifact.id, artifact.content_hash, artifact.mime_type, artifact.bytes)
                )

    def _holds_of(self, catalog: NewCatalog, artifact: Artifact) -> list[Hold]:
        """Give what a virtual slice holds, so that retention leaves it what it is made of."""
        if artifact.mime_type != SLICE_TYPE:
            return []
        with open(self._survey.path(content_path(artifact.content_hash)), "rb") as file:
            try:
                uri, first, last = held_range(file.read())
            except InvalidValueError as error:
                self._unknown.append(f"content {artifact.content_hash} is {error}")
                return []
        if not catalog.has_stream(uri):
            return []
        return [Hold(uri, HolderKind.ARTIFACT, artifact.id, first, last, artifact.created_at_ns)]

    def _tell(self, old: OldCatalog) -> None:
        if self._recovered_count:
            self._unknown.append(
                f"of {self._recovered_count} files only the bytes are known, not what they were (slices, overviews, "
                "chunks of takes that had not ended), nor their range and capture time; they are artifacts of the kind "
                f"{RECOVERED!r}"
            )
        if self._lost_count:
            self._unknown.append(
                "chunks that a manifest names, that are not there, and that the stream's retention would have kept, "
                "count as lost; they may also have been removed when the stream had other limits, or more takes"
            )
        self._unknown.extend(old.losses())


def _retention(manifest: Manifest) -> Retention:
    kept = manifest.retention
    return Retention(kept.keep_ns, kept.keep_bytes, kept.keep_chunks)


def rebuild_store(place: CheckPlace, *, force: bool = False) -> RebuildResult:
    """Make the catalog of the store at a place anew; whoever calls holds the store's lock.

    Raises `NotFoundError` where there is no store, `ConflictError` if its catalog is healthy and `force` is not given,
    `StorageFullError`, and `StorageError`.
    """
    return Rebuild(place).run(force=force)
