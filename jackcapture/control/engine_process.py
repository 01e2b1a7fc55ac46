"""Starts the engine process, watches it, and starts it again when it dies. An engine that runs already is adopted."""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import time

from jackcapture.control.engine_link import EngineLink
from jackcapture.errors import UnreachableError
from jackcapture.processes import children
from jackcapture.protocol import messages
from jackcapture.settings import Settings

log = logging.getLogger(__name__)

_START_SECONDS = 10.0
_ADOPTION_SECONDS = 0.3
_POLL_SECONDS = 0.02
_RESTART_PAUSE = 1.0  # between two starts, so that an engine that cannot start does not take the machine


class EngineProcess:
    """The engine of one runtime directory."""

    def __init__(self, settings: Settings, staging_directory: str, link: EngineLink) -> None:
        self._settings = settings
        self._staging_directory = staging_directory
        self._link = link
        self._child: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._last_start = 0.0

    async def ensure(self) -> messages.EngineState:
        """Give the state of a running engine, started now if there is none; raises `UnreachableError`."""
        if self._pid is None and self._child is None:
            with contextlib.suppress(UnreachableError):  # one may have outlived an earlier control
                return await self._ask(_ADOPTION_SECONDS)
        if not self.is_alive():
            await self._start()
        return await self._ask(_START_SECONDS)

    def is_alive(self) -> bool:
        """Tell whether the engine's process runs."""
        if self._child is not None:
            return self._child.poll() is None
        return self._pid is not None and children.is_alive(self._pid)

    async def stop(self) -> None:
        """End the engine; nothing may be recording."""
        if self._child is not None:
            await asyncio.to_thread(children.end, self._child, _START_SECONDS)
        elif self._pid is not None:
            await asyncio.to_thread(children.end_pid, self._pid, _START_SECONDS)
        self._child = self._pid = None

    async def _ask(self, timeout: float) -> messages.EngineState:
        state = await self._link.request(messages.StateRequest(), messages.EngineState, timeout)
        if self._child is not None and self._child.pid != state.pid:
            self._child.poll()  # ours was refused by one that holds the lock
            self._child = None
        self._pid = state.pid
        return state

    async def _start(self) -> None:
        await asyncio.sleep(max(0.0, self._last_start + _RESTART_PAUSE - time.monotonic()))
        self._last_start = time.monotonic()
        self._pid = None
        command = [
            *(sys.executable, "-m", "jackcapture.engine"),
            *("--runtime", self._settings.runtime),
            *("--staging", self._staging_directory),
            *("--rings", self._settings.rings),
            *("--server", self._settings.server),
            *("--client-name", self._settings.client_name),
            *("--ring-seconds", str(self._settings.ring_seconds)),
        ]
        self._child = children.start(command)
        log.info("engine started, process %d", self._child.pid)
        deadline = time.monotonic() + _START_SECONDS
        socket = os.path.join(self._settings.runtime, "engine.sock")
        while not os.path.exists(socket) and time.monotonic() < deadline:
            status = self._child.poll()
            if status is not None:
                self._child = None
                raise UnreachableError(f"the engine ended with status {status} at its start; its log says why")
            await asyncio.sleep(_POLL_SECONDS)
