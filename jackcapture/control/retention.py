"""Enforces the streams' retention all the time, in the background."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from jackcapture.catalog import Catalog, StreamRecord
from jackcapture.control.contents import Contents
from jackcapture.control.garbage import DoomedRun, collect
from jackcapture.control.streams import Streams
from jackcapture.errors import JackCaptureError
from jackcapture.model.progress import Progress

log = logging.getLogger(__name__)

LOOK_INTERVAL = 2.0
"""Seconds between two looks; what is sealed in between may be too much for so long."""


class RetentionKeeper:
    """Removes what is beyond the retention of any stream; one removal runs at a time. On the asyncio loop."""

    def __init__(self, catalog: Catalog, contents: Contents, streams: Streams) -> None:
        self._catalog = catalog
        self._contents = contents
        self._streams = streams
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="retention")
        self._running = asyncio.Lock()

    async def keep(self) -> None:
        """Look every `LOOK_INTERVAL` until cancelled."""
        while True:
            try:
                await self.collect()
            except JackCaptureError as error:  # the next look goes on
                log.error("what is beyond the retention cannot be removed: %s", error)
            except Exception:
                log.exception("while removing what is beyond the retention")
            await asyncio.sleep(LOOK_INTERVAL)

    async def collect(self, progress: Progress | None = None) -> list[DoomedRun]:
        """Remove what is beyond the retention now; gives what that was."""
        limited: list[StreamRecord] = [it.record for it in self._streams.all() if it.record.retention.is_limited]
        async with self._running:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, collect, self._catalog, self._contents, limited, progress
            )

    def close(self) -> None:
        """Wait for what is under way and end the thread."""
        self._thread.shutdown()
