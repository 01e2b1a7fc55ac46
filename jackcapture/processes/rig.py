"""Runs control (which runs the engine) and keeps it running: what `up` does, and the demo."""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any

from jackcapture.errors import JackCaptureError, UnreachableError, from_code
from jackcapture.processes import children
from jackcapture.settings import Settings

log = logging.getLogger(__name__)

START_SECONDS = 30.0
STOP_SECONDS = 120.0
"""How long control may take to seal what is recorded."""

_RESTART_PAUSE = 1.0


class Rig:
    """One control process. `ready_pid` asks the control that answers, if one does, for its process id."""

    def __init__(
        self,
        settings: Settings,
        config: str | None,
        ready_pid: Callable[[], int | None],
        output: IO[Any] | None = None,
    ) -> None:
        self._settings = settings
        self._config = config
        self._ready_pid = ready_pid
        self._output = output
        self._control: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - control's error if it cannot start; lives with the rig
        self._last_start = 0.0

    def start(self) -> None:
        """Start control and wait until it answers; raises what stood against it."""
        self._launch()
        deadline = time.monotonic() + START_SECONDS
        while self._ready_pid() != self._process().pid:  # another control may answer: ours is then refused
            status = self._process().poll()
            if status is not None:
                raise self._refused(status)
            if time.monotonic() > deadline:
                raise UnreachableError(f"control did not answer within {START_SECONDS:g} s")
            time.sleep(children.POLL_INTERVAL)

    def _refused(self, status: int) -> JackCaptureError:
        """Give the error that control ended with; one of these names the process that has store or directory."""
        self._said.seek(0)
        try:
            error = json.loads(self._said.read())["error"]
            return from_code(error["code"], error["message"], error["details"])
        except (ValueError, LookupError, TypeError):
            return UnreachableError(f"control ended with status {status} at its start; its log says why")

    def keep(self) -> bool:
        """Start control again if it died; False if it ended in order, because somebody told it to."""
        status = self._process().poll()
        if status is None:
            return True
        if status == 0:
            return False
        log.error("control ended with status %d; starting it again", status)
        time.sleep(max(0.0, self._last_start + _RESTART_PAUSE - time.monotonic()))
        self._launch()
        return True

    def stop(self) -> int:
        """End control, which stops and seals all recordings and ends the engine; gives its exit status."""
        self._said.close()
        return 0 if self._control is None else children.end(self._control, STOP_SECONDS)

    def __enter__(self) -> "Rig":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _process(self) -> "subprocess.Popen[bytes]":
        assert self._control is not None
        return self._control

    def _launch(self) -> None:
        self._last_start = time.monotonic()
        command = [
            *(sys.executable, "-m", "jackcapture.control"),
            *("--root", self._settings.root),
            *("--runtime", self._settings.runtime),
            *("--server", self._settings.server),
        ]
        if self._config is not None:
            command += ["--config", os.path.abspath(self._config)]
        self._control = children.start(command, output=self._output, result=self._said)
