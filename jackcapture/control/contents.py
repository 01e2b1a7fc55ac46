"""How content comes to have a row in the catalog, and how it goes: the only place for both.

Between the moment when bytes are in content and their row, nothing says that they are needed; the same bytes, of
silence for instance, may just be removed for another row. So all who enter share a lock, and who removes has it alone.
What is being read is told by leases.

Content keeps its staging name until its row is there. Whoever dies in between leaves that name, and the next control
finds by it what nobody needs (`discard_unfinished`).
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from jackcapture.catalog import Catalog
from jackcapture.errors import NotFoundError, StorageError
from jackcapture.model.addresses import Content, Staging
from jackcapture.model.uris import StreamUri
from jackcapture.store import Sealed, Store

log = logging.getLogger(__name__)

Row = TypeVar("Row")

_BATCH = 64  # rows and files that go at once, while nobody can enter any


class Contents:
    """The content of one store with its catalog. Any thread may call any method; all block."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._lock = _SharedLock()
        self._leases: dict[object, tuple[StreamUri, int, int]] = {}
        self._marking = threading.Lock()

    # --- in ---

    def enter(self, staging: Staging, size: int, add_row: Callable[[Sealed], Row]) -> Row:
        """Seal a staging file, have its row added, and give what that gives.

        If it fails, neither content nor staging file is left of it, unless other rows need the content.
        """
        with self.undoing(staging, size) as content, self._lock.shared():
            return add_row(self._store.enter(staging, content, size, keep_name=True))

    @contextlib.contextmanager
    def undoing(self, staging: Staging, size: int) -> Iterator[Content]:
        """Make a staging file ready for the block to enter it, and its row, while it is `entering`.

        Then the staging file goes; if the block fails, so does the content, unless other rows need it.
        """
        content = None
        try:
            content = self._store.make_ready(staging, size)
            yield content
        except BaseException:
            self._undo_quietly(staging, content)
            raise
        self._store.discard(staging)

    def enter_document(self, data: bytes, add_row: Callable[[Sealed], Row]) -> Row:
        """Put a document into the store, have its row added, and give what that gives; all or nothing, as `enter`."""
        return self.enter(self._store.stage(data), len(data), add_row)

    @contextlib.contextmanager
    def entering(self) -> Iterator[None]:
        """Hold off removals while content is sealed and its rows are added, by steps of one's own. Not to be nested."""
        with self._lock.shared():
            yield

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """Let nobody enter or remove content until the block ends: what has a row is there, the rest is nobody's."""
        with self._lock.exclusive():
            yield

    # --- held ---

    @contextlib.contextmanager
    def reading(self, uri: StreamUri, from_sample: int, to_sample: int) -> Iterator[None]:
        """Keep the chunks of `[from_sample, to_sample)` that are there, until the block ends."""
        lease = object()
        with self._marking:
            self._leases[lease] = (uri, from_sample, to_sample)
        try:
            yield
        finally:
            with self._marking:
                del self._leases[lease]

    @contextlib.contextmanager
    def marking(self) -> Iterator[Callable[[StreamUri, int, int], bool]]:
        """Give a function that tells whether a range is being read; nobody begins to read until the block ends."""
        with self._marking:
            leases = list(self._leases.values())

            def is_read(uri: StreamUri, from_sample: int, to_sample: int) -> bool:
                return any(uri == lease and begin < to_sample and end > from_sample for lease, begin, end in leases)

            yield is_read

    # --- out ---

    def remove_marked(self) -> None:
        """Remove all that is marked in the catalog: content first, durably, then the rows. May be repeated."""
        while True:
            with self._lock.exclusive():
                marked = self._catalog.keeping.marked(_BATCH)
                if marked is None:
                    return
                self._store.remove(marked.contents)
                self._catalog.keeping.remove(marked)

    def remove_artifact(self, artifact_id: str) -> None:
        """Remove an artifact, and its content if nothing else needs that.

        Raises `NotFoundError`, or `ConflictError` if something was made from it.
        """
        self._catalog.keeping.mark_artifact(artifact_id)
        self.remove_marked()

    def remove_stream(self, uri: StreamUri) -> None:
        """Remove a stream whose chunks are marked. May be repeated."""
        self.remove_marked()
        self._catalog.keeping.remove_stream(uri)
        self.remove_marked()

    def discard_unfinished(self, staging: Staging) -> None:
        """Remove a staging file that nobody has, and the content that it became if no row needs that."""
        with contextlib.suppress(NotFoundError):
            if self._store.is_ready(staging):
                content = self._store.make_ready(staging, self._store.stat(staging).bytes)
                self._remove_unless_needed(content)
        self._store.discard(staging)

    def _remove_unless_needed(self, content: Content) -> None:
        with self._lock.exclusive():
            if not self._catalog.keeping.is_needed(content):
                self._store.remove([content])

    def _undo_quietly(self, staging: Staging, content: Content | None) -> None:
        try:
            if content is not None:
                self._remove_unless_needed(content)
            self._store.discard(staging)
        except StorageError as error:  # it hides nothing: the next control finds the staging name
            log.warning("%s", error)


class _SharedLock:
    """A lock that many share, or one has alone; who waits to have it alone goes before those who come to share it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._waiting = 0
        self._is_exclusive = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_exclusive and not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._is_exclusive and not self._sharing)
                self._is_exclusive = True
            finally:
                self._waiting -= 1
        try:
            yield
        finally:
            with self._changed:
                self._is_exclusive = False
                self._changed.notify_all()
