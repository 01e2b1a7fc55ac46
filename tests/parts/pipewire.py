"""A real, headless PipeWire for one test, with the environment in which JACK programs run on it.

It is the daemon alone: no session manager (JACK clients link themselves), no D-Bus, no hardware. Its driver is the
one that PipeWire's own configuration has for machines without hardware; beside it there is a sink that plays into
nothing, with monitor ports, in the place of a device.

What PipeWire 0.3.65 does that this module answers:

- Which libjack a program gets is decided by LD_LIBRARY_PATH when it is started: JACK clients on this server are always
  other processes. `pw-jack` tells the path.
- PIPEWIRE_REMOTE names the server, whatever name a program gives to jack_client_open.
- Killed by SIGKILL, the daemon leaves its socket, on which the next one of that name can listen again.
"""

import contextlib
import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from parts.jackd import dying_with_us

PREFIX = "jct"
FOLDER_PREFIX = f"{PREFIX}-pw-"
PROGRAMS = ("pipewire", "pw-jack", "pw-metadata")
"""What has to be installed; on Debian and Ubuntu all come with pipewire-jack."""

SINK = "test-sink"
"""The node that plays into nothing; its ports are playback_FL, playback_FR, monitor_FL and monitor_FR."""

_counter = itertools.count(1)

# jack_get_version_string is how one sees whose libjack it is: "3.0.0.0 (using PipeWire 0.3.65)".
_OPEN_A_CLIENT = """
import ctypes, json
NO_START_SERVER = 1
jack = ctypes.CDLL("libjack.so.0")
jack.jack_get_version_string.restype = ctypes.c_char_p
jack.jack_client_open.restype = ctypes.c_void_p
for function in jack.jack_get_sample_rate, jack.jack_get_buffer_size, jack.jack_client_close:
    function.argtypes = [ctypes.c_void_p]
client = jack.jack_client_open(b"ready", NO_START_SERVER, None)
if client:
    seen = jack.jack_get_version_string().decode(), jack.jack_get_sample_rate(client), jack.jack_get_buffer_size(client)
    jack.jack_client_close(client)
    print(json.dumps(seen))
"""

# Without the module that asks for real-time priority: with it, what happens depends on the machine's limits.
_CLIENT_CONFIGURATION = """
context.properties = { log.level = 0 support.dbus = false }
context.spa-libs = {
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}
context.modules = [
    { name = libpipewire-module-protocol-native }
    { name = libpipewire-module-client-node }
    { name = libpipewire-module-metadata }
]
"""

_DAEMON_CONFIGURATION = """
context.properties = {
    core.daemon = true
    core.name = %(name)s
    support.dbus = false
    default.clock.rate = %(rate)d
    default.clock.allowed-rates = [ %(rate)d ]
    default.clock.quantum = %(period)d
    default.clock.min-quantum = 32
    default.clock.max-quantum = 8192
    default.clock.quantum-limit = 8192
}
context.spa-libs = {
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}
context.modules = [
    { name = libpipewire-module-protocol-native }
    { name = libpipewire-module-metadata }
    { name = libpipewire-module-spa-node-factory }
    { name = libpipewire-module-client-node }
    { name = libpipewire-module-access }
    { name = libpipewire-module-adapter }
    { name = libpipewire-module-link-factory }
]
context.objects = [
    { factory = metadata args = { metadata.name = default } }
    { factory = spa-node-factory
        args = {
            factory.name = support.node.driver
            node.name = Dummy-Driver
            node.group = pipewire.dummy
            priority.driver = 20000
        }
    }
    { factory = spa-node-factory
        args = {
            factory.name = support.node.driver
            node.name = Freewheel-Driver
            node.group = pipewire.freewheel
            node.freewheel = true
            priority.driver = 19000
        }
    }
    { factory = adapter
        args = {
            factory.name = support.null-audio-sink
            node.name = %(sink)s
            media.class = Audio/Sink
            audio.position = [ FL FR ]
            adapter.auto-port-config = { mode = dsp monitor = true position = preserve }
        }
    }
]
"""


class PipeWireServer:
    """A PipeWire under a name, in folders and with a configuration of its own, as a context manager.

    `period` is the quantum in frames and `rate` in frames per second. PipeWire waits for nobody: a client that is
    later than a period loses cycles, and without real-time priority a busy machine makes clients late by
    milliseconds. Hence the long period.

    `start`, `stop` and `kill` may be called again and again: a server that comes back has the same name.
    Start it on a thread that lives as long as the server, for it ends when that thread does.
    """

    def __init__(self, period: int = 2048, rate: int = 48000, *, patience: float = 30.0) -> None:
        self.name = f"{PREFIX}-{os.getpid()}-{next(_counter)}"
        self.period = period
        self.rate = rate
        self._patience = patience
        # Right below the folder for temporary files: a socket's path may have 107 bytes, and pytest's are deep.
        self.folder = Path(tempfile.gettempdir()) / f"{FOLDER_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = ""
        self.version = ""
        """What libjack says of itself; known when the server has been started."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a JACK program runs on this server."""
        folder = str(self.folder)
        variables = {
            "PIPEWIRE_CONFIG_DIR": folder,
            "PIPEWIRE_RUNTIME_DIR": folder,
            "XDG_RUNTIME_DIR": folder,
            "PIPEWIRE_REMOTE": self.name,
        }
        libraries = _pw_jack_libraries()
        if libraries:
            variables["LD_LIBRARY_PATH"] = libraries
        return variables

    @property
    def pid(self) -> int:
        """The process id of the running server. Raises RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError(f"the PipeWire {self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server, in its present or last run, has written."""
        if self._process is not None:
            self._log = self._log_path.read_text(errors="replace")
        return self._log

    def start(self) -> Self:
        """Start the server and return when a client has been inside.

        Raises RuntimeError, with the end of the server's log, when it does not come to that.
        """
        if self._process is not None:
            raise RuntimeError(f"the PipeWire {self.name} runs already")
        missing = missing_programs()
        if missing:
            raise RuntimeError(f"{missing[0]} is not installed; on Debian or Ubuntu: apt-get install pipewire-jack")
        _clean_up_after_the_dead()
        self.folder.mkdir(mode=0o700, exist_ok=True)  # it is still there after `kill`
        values = {"name": self.name, "rate": self.rate, "period": self.period, "sink": SINK}
        (self.folder / "pipewire.conf").write_text(_DAEMON_CONFIGURATION % values)
        for name in ("client.conf", "client-rt.conf", "jack.conf"):
            (self.folder / name).write_text(_CLIENT_CONFIGURATION)
        # In a session of its own, so that a terminal's interrupt ends the test before the server.
        with open(self._log_path, "wb") as log:
            self._process = subprocess.Popen(
                [*dying_with_us(), "pipewire"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._full_environment(),
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server cleanly (SIGTERM; SIGKILL when it does not obey) and remove all traces of it."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self.kill()
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would. Its socket stays until `start` or `stop`."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._log = self.log
        self._process = None

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a program on this server, such as pw-metadata, and return what it said."""
        return subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._full_environment(),
            timeout=self._patience,
        )

    @property
    def _log_path(self) -> Path:
        return self.folder / "log"

    def _full_environment(self) -> dict[str, str]:
        """This process's environment without what else it tells PipeWire, and with `environment`."""
        return {name: value for name, value in os.environ.items() if not is_pipewires(name)} | self.environment

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._patience
        said = ""
        while time.monotonic() < deadline and self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                done = self.run(sys.executable, "-I", "-S", "-c", _OPEN_A_CLIENT)
                said = done.stdout + done.stderr
                if done.returncode == 0 and done.stdout:
                    self._check(json.loads(done.stdout))
                    return
            time.sleep(0.02)
        ended = self._process.poll()
        state = f"ended with status {ended}" if ended is not None else f"was not ready in {self._patience:g} s"
        tail = "\n".join(self.log.splitlines()[-30:])
        raise RuntimeError(f"the PipeWire {self.name} {state}; its log ends:\n{tail}\na client says:\n{said}")

    def _check(self, seen: list[Any]) -> None:
        self.version, rate, period = seen
        if "PipeWire" not in self.version:
            raise RuntimeError(f"with LD_LIBRARY_PATH={_pw_jack_libraries()} libjack is not PipeWire's: {self.version}")
        if (rate, period) != (self.rate, self.period):
            raise RuntimeError(f"PipeWire runs at {rate} Hz and {period} frames, not at {self.rate} and {self.period}")


def missing_programs() -> list[str]:
    """What has to be installed before there can be a PipeWireServer."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def _clean_up_after_the_dead() -> None:
    """Remove the folders of test runs that were killed; their servers died with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*-*"):
        starter = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        if starter.isdecimal() and not Path(f"/proc/{starter}").exists():
            shutil.rmtree(folder, ignore_errors=True)  # another run may be removing it, too


def is_pipewires(variable: str) -> bool:
    """Whether an environment variable changes what PipeWire's daemon or libjack does."""
    return variable.startswith("PIPEWIRE_")


def _pw_jack_libraries() -> str:
    """What pw-jack puts before LD_LIBRARY_PATH; empty where PipeWire's libjack is the system's."""
    # The dynamic linker replaces the ${LIB} in it, so that this is right on every architecture.
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    done = subprocess.run(
        ["pw-jack", "printenv", "LD_LIBRARY_PATH"],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
    )
    return done.stdout.strip()
