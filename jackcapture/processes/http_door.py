"""The HTTP door of `up`: it listens from the start, and runs the server in a process of its own once somebody calls.

Nothing that goes wrong here ends a recording: without a door, `up` goes on and says so.
"""

import json
import logging
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Any, Self

from jackcapture.errors import JackCaptureError
from jackcapture.processes import children
from jackcapture.processes.http_token import ensure_token
from jackcapture.settings import Settings

log = logging.getLogger(__name__)

ADDRESS_FILE = "mcp-http.json"
"""In the runtime directory, while the door is open: its url, its token_file, and the pid of who listens."""

_BACKLOG = 128
_STOP_SECONDS = 5.0
_RESTART_PAUSE = 1.0


class HttpDoor:
    """One listening socket, from `open` on; `keep` starts the server when somebody calls, and again when it has died.

    As a context manager it is closed at the end of the block.
    """

    def __init__(self, settings: Settings, config: str | None) -> None:
        self._settings = settings
        self._config = config
        self._listener: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._last_start = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> dict[str, Any] | None:
        """Where it is, as the file in the runtime directory tells; None if it is closed."""
        if self._listener is None:
            return None
        host, port = self._settings.http_host, self._listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        return {
            "url": f"http://{shown}:{port}/mcp",
            "token_file": self._settings.http_token_file,
            "pid": os.getpid(),
        }

    def open(self) -> None:
        """Listen, and have a token; where that cannot be, say why in the log and go on without."""
        if not self._settings.http_host:
            return
        where = f"{self._settings.http_host} port {self._settings.http_port}"
        try:
            ensure_token(self._settings.http_token_file)
            family, _, _, _, address = socket.getaddrinfo(
                self._settings.http_host, self._settings.http_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
            self._write_address()
        except (OSError, UnicodeError, JackCaptureError) as error:
            log.warning(
                "MCP is not served over HTTP on %s: %s; choose another http_port in the configuration file, or set "
                "http_host to nothing",
                where,
                error,
            )
            self.close()

    def keep(self) -> None:
        """Start the server if somebody calls and none runs. Returns at once."""
        if self._listener is None:
            return
        if self._server is not None:
            status = self._server.poll()
            if status is None:
                return
            log.error("the MCP server ended with status %d; the next call starts it again", status)
            self._server = None
        is_called = select.select([self._listener], [], [], 0)[0]
        if is_called and time.monotonic() >= self._last_start + _RESTART_PAUSE:
            self._start(self._listener)

    def close(self) -> None:
        """End the server and listen no more; may be repeated."""
        if self._server is not None:
            children.end(self._server, _STOP_SECONDS)
            self._server = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._remove_address()

    def _start(self, listener: socket.socket) -> None:
        self._last_start = time.monotonic()
        command = [
            *(sys.executable, "-m", "jackcapture.mcp"),
            *("--listener", str(listener.fileno())),
            *("--host", self._settings.http_host),
            *("--token-file", self._settings.http_token_file),
            *("--runtime", self._settings.runtime),
        ]
        if self._config is not None:
            command += ["--config", os.path.abspath(self._config)]
        try:
            self._server = children.start(command, pass_fds=(listener.fileno(),))
        except OSError as error:
            log.error("the MCP server cannot be started: %s", error)

    def _write_address(self) -> None:
        """Write it in one step: control reads it at any time."""
        path = os.path.join(self._settings.runtime, ADDRESS_FILE)
        with tempfile.NamedTemporaryFile("w", dir=self._settings.runtime, delete=False) as file:
            json.dump(self.address, file)
        os.rename(file.name, path)

    def _remove_address(self) -> None:
        found = read_address(self._settings.runtime)
        if found is not None and found["pid"] == os.getpid():
            os.unlink(os.path.join(self._settings.runtime, ADDRESS_FILE))


def read_address(runtime: str) -> dict[str, Any] | None:
    """Give where the HTTP door of a runtime directory is; None if there is none, or who listened has died."""
    try:
        with open(os.path.join(runtime, ADDRESS_FILE), encoding="utf-8") as file:
            found = json.load(file)
        url, token_file, pid = str(found["url"]), str(found["token_file"]), int(found["pid"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return {"url": url, "token_file": token_file, "pid": pid} if children.is_alive(pid) else None
