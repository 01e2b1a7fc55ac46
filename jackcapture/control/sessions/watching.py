"""Watches the segments of triggered sessions while they are recorded, and makes up for what it missed.

It goes by positions and never by the clock, so a freewheeling server, a control that was stalled and one that was
killed give the same. What was found is in the catalog before it is told.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from jackcapture.catalog import Catalog
from jackcapture.catalog.suggestions import Watched
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.sessions.segment_watch import SegmentWatch, watch_of
from jackcapture.control.sessions.watched_streams import LiveView, live_view
from jackcapture.control.streams import Streams
from jackcapture.errors import JackCaptureError
from jackcapture.model.suggestions import Suggestion
from jackcapture.model.uris import StreamUri
from jackcapture.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
"""Between two looks at what is new. The engine tells about as often how far it has come."""

_LONGEST_LOOK_SECONDS = 0.2
_SHARE = 0.02
"""Of a processor, which looking may take before it is done less often."""

_RETRY_SECONDS = 1.0
_FAILURES = 5
"""After so many failures in a row, what cannot be read is passed over: it must not end the watch for good."""

_SETTLE_LOOKS = 40
_SETTLE_SECONDS = 0.05

_Key = tuple[str, int]
_Views = Mapping[StreamUri, LiveView]
_Streams = Mapping[StreamUri, ManagedStream]


class SuggestionWatcher:
    """The watch over all segments; methods on the asyncio loop, the work on a thread of its own."""

    def __init__(
        self, store: Store, catalog: Catalog, streams: Streams, on_change: Callable[[Suggestion], None]
    ) -> None:
        """`on_change` is called, on the loop, with each suggestion that has opened or closed."""
        self._store = store
        self._catalog = catalog
        self._streams = streams
        self._on_change = on_change
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watch")
        self._looking = asyncio.Lock()
        self._wake = asyncio.Event()
        self._wake.set()  # an earlier control may have left something
        # The thread's own:
        self._spent = 0.0  # seconds of a processor, in the last look
        self._watches: dict[_Key, SegmentWatch] = {}
        self._failures: dict[_Key, int] = {}
        self._not_before: dict[_Key, float] = {}

    def wake(self) -> None:
        """Begin to look: a segment has begun."""
        self._wake.set()

    async def keep(self) -> None:
        """Look at what is new, for ever."""
        while True:
            await self._wake.wait()
            try:
                if not await self._look():
                    self._wake.clear()
                    continue
            except JackCaptureError as error:
                log.error("triggered sessions cannot be watched now: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                log.exception("while watching triggered sessions")
                await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.sleep(min(max(LOOK_SECONDS, self._spent / _SHARE), _LONGEST_LOOK_SECONDS))

    async def settle(self, session_id: str) -> None:
        """Watch the segments of a session that have ended to their end, as far as that can be done now."""
        for _ in range(_SETTLE_LOOKS):
            under_way = await self._look(at_once=session_id)
            if not any(it.session_id == session_id and not it.is_running for it in under_way):
                return
            await asyncio.sleep(_SETTLE_SECONDS)
        log.warning("%s has ended, and is not watched to its end yet", session_id)

    async def close(self) -> None:
        """Wait for what is under way, when `keep` has been cancelled."""
        await asyncio.to_thread(self._thread.shutdown)

    async def _look(self, at_once: str = "") -> list[Watched]:
        """Look once; give what is still to be watched."""
        async with self._looking:
            streams = {stream.uri: stream for stream in self._streams.all()}
            views = {uri: view for uri, stream in streams.items() if (view := live_view(stream)) is not None}
            looking = asyncio.get_running_loop().run_in_executor(self._thread, self._look_at, streams, views, at_once)
            left, changed = await asyncio.shield(looking)
            # Their order is that in which they came about.
            for suggestion in changed:
                self._on_change(suggestion)
        return left

    def _look_at(self, streams: _Streams, views: _Views, at_once: str) -> tuple[list[Watched], list[Suggestion]]:
        began = time.thread_time()
        under_way = self._catalog.suggestions.under_way()
        for key in self._watches.keys() - {(it.session_id, it.segment) for it in under_way}:
            del self._watches[key]
        left: list[Watched] = []
        changed: list[Suggestion] = []
        for it in under_way:
            key = it.session_id, it.segment
            if time.monotonic() < self._not_before.get(key, 0.0) and it.session_id != at_once:
                left.append(it)
                continue
            try:
                watch = self._watch(it, streams)
                changed += watch.look(views)
                self._failures.pop(key, None)
                if not watch.is_done:
                    left.append(it)
            except Exception as error:  # one session's trouble must not stop the others
                self._fail(it, error)
                left.append(it)
        self._spent = time.thread_time() - began
        return left, changed

    def _watch(self, it: Watched, streams: _Streams) -> SegmentWatch:
        key = it.session_id, it.segment
        lenient = self._failures.get(key, 0) >= _FAILURES
        watch = watch_of(it, self._watches.get(key), self._store, self._catalog, streams, lenient=lenient)
        self._watches[key] = watch
        return watch

    def _fail(self, it: Watched, error: Exception) -> None:
        """Begin the watch anew, from what the catalog knows, after a while."""
        key = it.session_id, it.segment
        self._watches.pop(key, None)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._not_before[key] = time.monotonic() + _RETRY_SECONDS
        if failures == 1 or not isinstance(error, JackCaptureError):
            is_defect = not isinstance(error, JackCaptureError)
            log.warning("%s segment %d is not watched now: %s", *key, error, exc_info=is_defect)
