"""Starts the engine process, watches it, and starts it again when it dies. An engine that runs already is adopted."""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable

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

    def __init__(
        self,
        settings: Settings,
        staging_directory: str,
        link: EngineLink,
        on_end: Callable[[], None],
        on_death: Callable[[], None],
    ) -> None:
        """`on_end` is called on the loop when the engine's process has ended.

        `on_death` is called when the requests to an engine that died are given up, before any goes to the next one.
        """
        self._settings = settings
        self._staging_directory = staging_directory
        self._link = link
        self._on_end = on_end
        self._on_death = on_death
        self._watched: int | None = None  # a pidfd
        self._child: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._last_start = 0.0

    async def ensure(self) -> messages.EngineState:
        """Give the state of a running engine, started now if there is none; raises `UnreachableError`."""
        if self._pid is None and self._child is None:
            with contextlib.suppress(UnreachableError):  # one may have outlived an earlier control
                return await self._ask(_ADOPTION_SECONDS)
        if not self.is_alive():
            if self._pid is not None:
                log.error("the engine, process %d, has died", self._pid)
                await self._link.reset("the engine has died; ask again when the next one runs")
                self._on_death()
            await self._start()
        return await self._ask(_START_SECONDS)

    def is_alive(self) -> bool:
        """Tell whether the engine's process runs."""
        if self._child is not None:
            return self._child.poll() is None
        return self._pid is not None and children.is_alive(self._pid)

    async def stop(self) -> None:
        """End the engine; nothing may be recording."""
        self._forget_watch()
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
        self._watch(state.pid)
        return state

    def _watch(self, pid: int) -> None:
        """Hear of the end of a process at once."""
        if self._watched is not None:
            return
        with contextlib.suppress(OSError):  # it has ended already, which the next look tells
            self._watched = os.pidfd_open(pid)
            asyncio.get_running_loop().add_reader(self._watched, self._note_end)

    def _note_end(self) -> None:
        self._forget_watch()
        self._on_end()

    def _forget_watch(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            os.close(self._watched)
            self._watched = None

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
