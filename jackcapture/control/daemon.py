"""The control process: puts store, catalog, engine and the doors together and keeps them going."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from concurrent.futures import Executor, ThreadPoolExecutor

from jackcapture.catalog import Catalog
from jackcapture.control.chunk_supply import ChunkSupply
from jackcapture.control.contents import Contents
from jackcapture.control.disk_watch import DiskWatch
from jackcapture.control.engine_link import EngineLink
from jackcapture.control.engine_process import EngineProcess
from jackcapture.control.events import EventPublisher
from jackcapture.control.patient_reads import PatientReads
from jackcapture.control.retention import RetentionKeeper
from jackcapture.control.server import Server
from jackcapture.control.sessions.life_cycle import Sessions
from jackcapture.control.sessions.request_artifacts import RequestArtifacts
from jackcapture.control.sessions.requests import Requests
from jackcapture.control.sessions.suggestions import Suggestions, suggestion_event
from jackcapture.control.sessions.transport_following import TransportFollower
from jackcapture.control.sessions.watching import SuggestionWatcher
from jackcapture.control.slices.slicer import Slicer
from jackcapture.control.streams import Streams
from jackcapture.control.tidying import discard_orphans
from jackcapture.errors import JackCaptureError, StorageDamagedError
from jackcapture.lock import CONTROL_LOCK, STORE_LOCK, ProcessLock
from jackcapture.memory import Trimmer
from jackcapture.model.suggestions import Suggestion
from jackcapture.protocol import messages
from jackcapture.protocol.framing import Broadcast
from jackcapture.protocol.sockets import make_runtime_directory
from jackcapture.settings import Settings
from jackcapture.store import Store

log = logging.getLogger(__name__)

STATE_INTERVAL = 1.0
CUTTING_THREADS = 4

_TIDY_AT = 2
"""The look at the engine after which orphans go: a chunk that an earlier control sent is perhaps not in the first."""


class Control:
    """The services of one store and one engine; made and used on the asyncio loop."""

    def __init__(self, settings: Settings, store: Store, catalog: Catalog) -> None:
        self.settings = settings
        self.store = store
        self.catalog = catalog
        self.started_at_ns = time.time_ns()
        self.contents = Contents(store, catalog)
        self.slicer = Slicer(store, catalog, self.contents)
        self.supply = ChunkSupply(settings, store, catalog, self.contents)
        # Apart from the loop's own threads, so that a status never waits behind long slices.
        self.cutting: Executor = ThreadPoolExecutor(CUTTING_THREADS, thread_name_prefix="cut")
        self.reads = PatientReads()
        self.events = EventPublisher(settings.runtime)
        self.link = EngineLink(settings.runtime, self._on_broadcast)
        self.streams = Streams(store, catalog, self.contents, self.supply, self.link)
        self.watcher = SuggestionWatcher(store, catalog, self.streams, self._on_suggestion)
        self.sessions = Sessions(store, catalog, self.contents, self.streams, self.watcher, settings.ring_seconds)
        self.suggestions = Suggestions(
            store,
            catalog,
            self.contents,
            self.streams,
            self.supply,
            self.slicer,
            self.cutting,
            self._on_suggestion,
        )
        artifacts = RequestArtifacts(store, catalog, self.contents, self.slicer, self.supply, self.streams)
        self.requests = Requests(catalog, self.streams, self.sessions, self.link, artifacts, self.is_ending)
        self.following = TransportFollower(
            catalog, self.sessions, settings.ring_seconds, self.streams.newest_frame, self.streams.wants_state.set
        )
        self.retention = RetentionKeeper(catalog, self.contents, self.streams)
        self.disks = DiskWatch(
            settings.disk_low_seconds, self.supply, self.reads, self.streams.all, self.events.publish
        )
        self._engine = EngineProcess(
            settings,
            store.staging_directory,
            self.link,
            self.streams.wants_state.set,
            self.streams.note_engine_death,
        )
        self._ending = asyncio.Event()
        self._server: Server | None = None
        self._looks = 0
        self._is_tidy = False

    async def engine_state(self) -> messages.EngineState:
        """Ask the engine for its state, streams included; raises `UnreachableError`."""
        asked_at = time.monotonic()
        state = await self.link.request(messages.StateRequest(), messages.EngineState)
        self.streams.refresh(state, asked_at)
        return state

    def end_soon(self) -> None:
        """End control in order, after the reply is sent."""
        self._ending.set()

    def is_ending(self) -> bool:
        """Tell whether control is about to end, so that long work should; on any thread."""
        return self._ending.is_set()

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or a shutdown; then stop all recordings, seal them and end the engine."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        await self._look_after_engine()
        self._server = Server(self.settings.runtime, self)
        works = (
            self._server.serve(),
            self._keep(),
            self._watch_disks(),
            self.retention.keep(),
            self.following.keep(),
            self.requests.keep(),
            self.watcher.keep(),
            self.suggestions.keep(),
        )
        tasks = [asyncio.create_task(work) for work in works]
        log.info("ready")
        ended = asyncio.create_task(self._ending.wait())
        try:
            done, _ = await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ended}:
                task.result()  # none ends by itself
        finally:
            for task in (*tasks, ended):
                task.cancel()
            await asyncio.gather(*tasks, ended, return_exceptions=True)
            await self._close()

    async def _keep(self) -> None:
        """Look after the engine every second, and at once when it told of something."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.streams.wants_state.wait(), STATE_INTERVAL)
            self.streams.wants_state.clear()
            await self._look_after_engine()

    async def _watch_disks(self) -> None:
        """Look at the disks every second, whatever the engine does."""
        trimmer = Trimmer()
        while True:
            trimmer.tend()
            try:
                await self.disks.look()
            except Exception:
                log.exception("while looking at the disks")
            await asyncio.sleep(STATE_INTERVAL)

    async def _look_after_engine(self) -> None:
        try:
            asked_at = time.monotonic()
            state = await self._engine.ensure()
            await self.streams.reconcile(state, asked_at)
            self.following.on_state(state)
            self._looks += 1
            if self._looks >= _TIDY_AT and not self._is_tidy:
                await self._tidy(state)
        except JackCaptureError as error:
            log.error("%s", error)
        except Exception:
            log.exception("while looking after the engine")

    async def _tidy(self, engine: messages.EngineState) -> None:
        in_use = await self.streams.staging_in_use(engine)
        if in_use is None:
            if self._looks == _TIDY_AT:
                log.warning("staging may hold what is left of a take; nothing is removed from it until that is entered")
            return
        await asyncio.to_thread(discard_orphans, self.store, self.contents, in_use, self.started_at_ns)
        self._is_tidy = True

    async def _tidy_at_last(self) -> None:
        """Tidy, if there was no time for it since the start: what an earlier control left does not outlive this one."""
        if self._is_tidy or not self._engine.is_alive():
            return
        try:
            await self._tidy(await self.engine_state())
        except JackCaptureError as error:
            log.warning("staging may hold what an earlier control left, until the next start: %s", error)

    def _on_broadcast(self, broadcast: Broadcast, data: bytes) -> None:
        self.events.forward(data)
        self.streams.on_event(broadcast.event)
        if isinstance(broadcast.event, messages.JackTransport):
            self.following.on_event(broadcast.publisher, broadcast.event)

    def _on_suggestion(self, suggestion: Suggestion) -> None:
        self.events.publish(suggestion_event(suggestion))
        self.suggestions.note(suggestion)

    async def _close(self) -> None:
        await self.following.close()
        try:
            await self.streams.stop_all()
            await self.sessions.end_all()
        except JackCaptureError as error:
            log.error("not everything could be stopped: %s", error)
        await self.watcher.close()
        if self._server is not None:
            await self._server.close()
        await self.streams.close()
        if await self.streams.keep_unsealed():
            await self._tidy_at_last()
            await self._engine.stop()
        else:
            log.error("the engine runs on, for it alone knows of chunks that are not sealed; make room and start again")
        await self.link.close()
        self.retention.close()
        self.events.close()
        self.supply.close()
        self.reads.close()
        self.cutting.shutdown()


async def _run(settings: Settings, store: Store, catalog: Catalog) -> None:
    await Control(settings, store, catalog).run()


def open_catalog(store: Store) -> Catalog:
    """Open the catalog, or make that of a store that holds nothing yet."""
    path = os.path.join(store.root, "catalog.db")
    is_there = os.path.lexists(path) and os.path.getsize(path) > 0
    if not is_there and any(True for _ in store.iterate_content()):
        raise StorageDamagedError(
            f"{path} is {'empty' if os.path.lexists(path) else 'missing'}, though the store has content: put it back, "
            "or make it anew with 'jackcapture store rebuild'",
            path=path,
        )
    return Catalog(path, store.uuid)


def run_control(settings: Settings) -> None:
    """Run control in this process; raises `ConflictError` if another one has the store or the runtime directory."""
    make_runtime_directory(settings.runtime)
    with ProcessLock(os.path.join(settings.runtime, CONTROL_LOCK), f"runtime directory {settings.runtime}"):
        store = Store.create_or_open(settings.root)
        with ProcessLock(os.path.join(store.root, STORE_LOCK), f"store {store.root}"):
            catalog = open_catalog(store)
            try:
                asyncio.run(_run(settings, store, catalog))
            finally:
                catalog.close()
