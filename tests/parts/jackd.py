"""A real JACK server (jackd2 with its dummy driver) for one test, and nothing of it left afterwards.

What jackd2 1.9.21 does that this module answers:

- The registry in shared memory has eight places for servers. Killed by SIGKILL, a server keeps its place until a
  server *of the same name* starts. `JackServer` therefore runs a killed name once more before it is done with it,
  and frees what earlier test runs left behind.
- A server that is told to end while a client goes away may die of SIGPIPE instead, whatever signal mask or handler
  it was started with; then its place stays taken, too.
- A client's semaphore in /dev/shm stays when the client or the server is killed: swept by name after the end.
- The metadata database is one for all servers of a user, and any server that ends deletes it. Tests of port
  metadata must not rely on it while other servers come and go.
- One process can talk to one server at a time: libjack's state is global. Close all clients before the next one.
"""

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

PREFIX = "jct"
SHARED_MEMORY = Path("/dev/shm")
REGISTRY = SHARED_MEMORY / "jack-shm-registry"
PLACES = 8
NO_ROOM = "Too many servers already active"

_counter = itertools.count(1)

# A helper in place of preexec_fn: forking a process that has threads (JACK's) must exec at once.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent died first")
os.execvp(sys.argv[2], sys.argv[2:])
"""

# In a process of its own, because libjack in this one must not meet a server that is not the test's.
_OPEN_A_CLIENT = """
import ctypes, sys
NO_START_SERVER, SERVER_NAME = 1, 4
jack = ctypes.CDLL("libjack.so.0")
jack.jack_client_open.restype = ctypes.c_void_p
jack.jack_client_close.argtypes = [ctypes.c_void_p]
client = jack.jack_client_open(b"ready", NO_START_SERVER | SERVER_NAME, None, sys.argv[1].encode())
sys.exit(jack.jack_client_close(client) if client else 1)
"""


class JackServer:
    """A `jackd -d dummy` under a name of its own, as a context manager.

    `period` is in frames and `rate` in frames per second; `hardware` is how many ports there are that pretend to
    capture, and how many to play back. In synchronous mode (the default) the server waits for
    its clients, so that a busy machine delays a cycle and loses nothing; its patience is ten times
    `client_timeout` (milliseconds; None: jackd's own, two periods). As long is the pause that a client costs which
    is killed inside the graph. `asynchronous=True` leaves out -S: clients that are late lose cycles.

    `start`, `stop` and `kill` may be called again and again: a server that comes back has the same name.
    Start it on a thread that lives as long as the server, for it ends when that thread does.
    """

    def __init__(
        self,
        period: int = 64,
        rate: int = 48000,
        *,
        asynchronous: bool = False,
        client_timeout: int | None = 100,
        port_max: int = 512,
        hardware: tuple[int, int] = (2, 2),
        patience: float = 30.0,
    ) -> None:
        self.name = f"{PREFIX}-{os.getpid()}-{next(_counter)}"
        self.period = period
        self.rate = rate
        self.asynchronous = asynchronous
        self.client_timeout = client_timeout
        self.port_max = port_max
        self.hardware = hardware
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._log = b""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def command(self) -> list[str]:
        """What is run."""
        words = ["jackd", "-n", self.name, "-p", str(self.port_max)]
        if not self.asynchronous:
            words.append("-S")
        if self.client_timeout is not None:
            words += ["-t", str(self.client_timeout)]
        captures, playbacks = self.hardware
        ports = ["-C", str(captures), "-P", str(playbacks)]
        return [*words, "-d", "dummy", "-r", str(self.rate), "-p", str(self.period), *ports]

    @property
    def pid(self) -> int:
        """The process id of the running server. Raises RuntimeError when it is not running."""
        if self._process is None:
            raise RuntimeError(f"the JACK server {self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server, in its present or last run, has written."""
        return self._log_bytes().decode(errors="replace")

    def start(self) -> Self:
        """Start the server and return when a client has been inside.

        Raises RuntimeError, with the end of the server's log, when it does not come to that.
        """
        if self._process is not None:
            raise RuntimeError(f"the JACK server {self.name} runs already")
        if shutil.which("jackd") is None:
            raise RuntimeError("jackd is not installed; on Debian or Ubuntu: apt-get install jackd2")
        _clean_up_after_the_dead()
        deadline = time.monotonic() + self._patience
        while not self._start_once(deadline):
            time.sleep(0.1)  # all eight places are taken; other runs on this machine will give theirs back
        return self

    def stop(self) -> None:
        """End the server cleanly (SIGTERM; SIGKILL when it does not obey) and remove all traces of it."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self.kill()
        _clean_up_after(self.name)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would. Its traces stay until `start` or `stop`."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._log = self._log_bytes()
        self._file.close()
        self._process = None

    def _start_once(self, deadline: float) -> bool:
        """Whether the server is ready; False when there is no place for it in the registry at present."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server: closed by kill
        self._process = subprocess.Popen(
            [*dying_with_us(), *self.command],
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        said = ""
        try:
            while True:
                if self._process.poll() is not None:
                    break
                ready, said = _can_be_opened(self.name, deadline - time.monotonic())
                if ready and registered_servers().get(self.name) == self._process.pid:
                    return True
                if time.monotonic() > deadline:
                    break
        except BaseException:
            self.stop()
            raise
        ended = self._process.poll()
        self.stop()
        if ended is not None and NO_ROOM in self.log and time.monotonic() < deadline:
            return False
        others = registered_servers()
        if len(others) >= PLACES:
            said += "\nJACK's places are all taken, by " + ", ".join(
                f"{name} ({'alive' if _alive(pid) else 'dead: start and stop it to free its place'})"
                for name, pid in others.items()
            )
        state = f"ended with status {ended}" if ended is not None else f"was not ready in {self._patience:g} s"
        tail = "\n".join(self.log.splitlines()[-30:])
        raise RuntimeError(f"{' '.join(self.command)} {state}; its log ends:\n{tail}\na client says:\n{said}")

    def _log_bytes(self) -> bytes:
        if self._process is None:
            return self._log
        size = os.fstat(self._file.fileno()).st_size
        return os.pread(self._file.fileno(), size, 0)  # leaves the offset, which jackd shares, alone


class StartServer(Protocol):
    """What the fixture `start_jack_server` gives: starts a JackServer and stops it when the test is over."""

    def __call__(
        self,
        period: int = 64,
        rate: int = 48000,
        *,
        asynchronous: bool = False,
        client_timeout: int | None = 100,
        port_max: int = 512,
        hardware: tuple[int, int] = (2, 2),
    ) -> JackServer: ...


def registered_servers() -> dict[str, int]:
    """The names in JACK's registry of this user's servers, dead or alive, with their process ids."""
    # Each entry is an int (the pid), then the name in the form "jack-UID:NAME:" padded with zeros.
    try:
        registry = REGISTRY.read_bytes()
    except FileNotFoundError:
        return {}
    entries: Iterator[re.Match[bytes]] = re.finditer(rb"jack-%d:([^:\0]+):\0" % os.getuid(), registry)
    return {
        entry[1].decode(errors="replace"): int.from_bytes(registry[entry.start() - 4 : entry.start()], sys.byteorder)
        for entry in entries
    }


def traces(name: str) -> list[str]:
    """What a server of that name has in the file system and in the registry, as sorted words."""
    found = [path.name for path in _files(name)]
    if name in registered_servers():
        found.append(f"{REGISTRY.name}:{name}")
    return sorted(found)


def dying_with_us() -> list[str]:
    """The words before a command that end it (SIGTERM) when this process, or the calling thread, ends."""
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]


def _files(name: str) -> list[Path]:
    uid = os.getuid()
    return [*SHARED_MEMORY.glob(f"jack_sem.{uid}_{name}_*"), *SHARED_MEMORY.glob(f"jack_{name}_{uid}_*")]


def _can_be_opened(name: str, patience: float) -> tuple[bool, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _OPEN_A_CLIENT, name],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=max(patience, 0.1),
        )
    except subprocess.TimeoutExpired:
        return False, "no answer"
    return done.returncode == 0, done.stdout + done.stderr


def _clean_up_after_the_dead() -> None:
    """Clean up after test runs that were killed; servers that are not the tests' are let alone."""
    for name in _names():
        starter = re.fullmatch(rf"{PREFIX}-(\d+)-\d+", name)
        if starter is not None and (int(starter[1]) == os.getpid() or not _alive(int(starter[1]))):
            _clean_up_after(name)


def _names() -> set[str]:
    """The names of tests' servers that have left anything: in the registry, or beside it."""
    found = (re.search(rf"{PREFIX}-\d+-\d+", path.name) for path in _files(f"{PREFIX}-*"))
    return set(registered_servers()) | {name[0] for name in found if name is not None}


def _clean_up_after(name: str) -> None:
    """Remove what a server of that name has left, unless one is alive."""
    pid = registered_servers().get(name)
    if pid is not None:
        if _alive(pid):
            return
        _run_to_a_clean_end(name)
    for path in _files(name):
        path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _run_to_a_clean_end(name: str) -> None:
    """Run a server of that name, which takes over the place of the dead one, and have it leave in good order."""
    with subprocess.Popen(
        [*dying_with_us(), "jackd", "-n", name, "-p", "128", "-d", "dummy", "-p", "1024"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 10
        while process.poll() is None and time.monotonic() < deadline:
            # Registered means: it has the place, and already waits for signals.
            if registered_servers().get(name) == process.pid:
                process.terminate()
                break
            time.sleep(0.01)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
