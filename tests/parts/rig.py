"""The whole of jackcapture under test: `jackcapture up` as a process, driven by the command line and by the client."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import soundfile

from jackcapture import Client
from jackcapture.settings import Settings
from parts import processes
from parts.command_line import CommandLine
from parts.jackd import JackServer

COMMAND = [sys.executable, "-c", "from jackcapture.cli.main import main; main()"]
PATIENCE = 20.0
LEAVING_SECONDS = 5.0
LOOK_SECONDS = 0.03
LONGEST_SLEEP = 0.5
RATE = 48000
NO_HTTP = 'http_host = ""\n'


class StartRig(Protocol):
    """What the fixture `start_rig` gives: starts a RigProcess and ends it when the test is over."""

    def __call__(
        self, server: JackServer | str, *, root: Path | None = None, environment: dict[str, str] | None = None
    ) -> "RigProcess": ...


class RigProcess:
    """`jackcapture up` on a JACK server, with a store and a runtime directory of its own."""

    def __init__(
        self,
        folder: Path,
        server: JackServer | str,
        root: Path | None,
        environment: dict[str, str],
        command_line: CommandLine | None = None,
    ) -> None:
        """Without a `command_line`, each command is a process that begins with nothing."""
        self.root = root or folder / "store"
        # Socket paths may have 107 bytes, and pytest's folders are deep.
        self._short = tempfile.TemporaryDirectory(prefix="jct-")
        self.runtime = Path(self._short.name) / "run"
        self.server = server if isinstance(server, str) else server.name
        self.environment = {
            **os.environ,
            **environment,
            "JACKCAPTURE_ROOT": str(self.root),
            "JACKCAPTURE_RUNTIME": str(self.runtime),
            "JACK_DEFAULT_SERVER": self.server,
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
        self._command_line = command_line
        config = folder / "config" / "jackcapture" / "config.toml"
        if not config.exists():  # no rig takes a port of the machine's, unless a test is about that
            config.parent.mkdir(parents=True)
            config.write_text(NO_HTTP)
        self.log_path = folder / f"up-{time.monotonic_ns()}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}

    def start(self) -> "RigProcess":
        """Start it and wait for its line `ready`."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        try:
            self.ready = json.loads(line)
        except json.JSONDecodeError:  # nothing, or the beginning of an error
            said = (line + self.process.stdout.read()).decode(errors="replace")
            raise RuntimeError(f"up ended with status {self.wait()} and said {said!r}; its log:\n{self.log}") from None
        return self

    def stop(self) -> int:
        """End it with SIGTERM and give its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended and give its exit status."""
        assert self.process is not None
        status = self.process.wait(PATIENCE * 2)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def wait_killed(self) -> None:
        """Wait until it has ended by SIGKILL."""
        assert self.wait() == -signal.SIGKILL

    @property
    def log(self) -> str:
        """What up, control and engine have written."""
        return self.log_path.read_text(errors="replace")

    @property
    def rings(self) -> str:
        """Where the rings lie."""
        return Settings(root=str(self.root), runtime=os.path.realpath(self.runtime)).rings

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line as a process that begins with nothing."""
        return subprocess.run(
            [*COMMAND, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
        )

    def cli(self, *arguments: str, status: int = 0) -> Any:
        """Run a command with --json, check its exit status, and give the document it printed."""
        words = [*arguments, "--json"]
        line = self._command_line
        done = self.run(*words) if line is None else line.run(words, self.environment)
        assert done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def client(self) -> Client:
        """Connect from Python."""
        return Client(runtime=str(self.runtime))

    def staging_files(self) -> list[str]:
        """The names of all files in staging."""
        return [name for _, _, names in os.walk(self.root / "staging") for name in names]

    def content_files(self) -> list[Path]:
        """The paths of all files in content."""
        return [path for path in (self.root / "content").rglob("*") if path.is_file()]

    def content(self, content_hash: str) -> Path:
        """The path of content."""
        return self.root / "content" / "blake3" / content_hash[:2] / content_hash[2:4] / content_hash

    def samples(self, result: dict[str, Any]) -> npt.NDArray[np.float32]:
        """The samples of a WAV slice: (frames, channels)."""
        samples: npt.NDArray[np.float32] = soundfile.read(
            self.content(result["content_hash"]), dtype="float32", always_2d=True
        )[0]
        return samples

    def sealed_take(self, client: Client, uri: str) -> dict[str, Any]:
        """The newest take of a stream that has stopped, with its chunks and gaps, as its manifest has it."""
        manifest = client.call("artifact_list", kind="manifest", stream_uri=uri)[0]
        take: dict[str, Any] = json.loads(self.content(manifest["content_hash"]).read_bytes())["takes"][-1]
        return take

    def wait_until_recorded(self, client: Client, uri: str, frames: int) -> dict[str, Any]:
        """Wait until a stream has so many frames; give its status then.

        Looks as seldom as the stream's pace allows: a status costs the processes under test some milliseconds.
        """
        seen: list[tuple[float, int]] = []

        def look() -> dict[str, Any]:
            if len(seen) > 1:
                (before, from_head), (at, head) = seen[-2:]
                seconds = (frames - head) * (at - before) / max(1, head - from_head)
                time.sleep(min(max(0.8 * seconds - LOOK_SECONDS, 0.0), LONGEST_SLEEP))
            status: dict[str, Any] = client.call("stream_status", uri=uri)
            seen.append((time.monotonic(), status["head_sample"]))
            return status

        patience = PATIENCE + 2 * frames / RATE
        what = f"{frames} frames of {uri}"
        status: dict[str, Any] = wait_for(look, lambda it: bool(it["head_sample"] >= frames), what, patience)
        return status

    def __enter__(self) -> "RigProcess":
        try:
            return self.start()
        except BaseException:
            self._clear_away()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.process is not None and self.process.poll() is None:
                self.stop()
        finally:
            left = self._clear_away()
        if error is not None:
            print(self.log, file=sys.stderr)
        elif left:
            raise AssertionError("the test left processes behind:\n" + "\n".join(map(str, left)))

    def _clear_away(self) -> list[processes.Process]:
        """End what still runs of it, by process id, and remove its files; gives what did not end by itself.

        An engine outlives the control that started it, so that a test that fails may leave one.
        """
        left = processes.still_there(
            lambda: processes.with_variable("JACKCAPTURE_RUNTIME", str(self.runtime)), LEAVING_SECONDS
        )
        processes.end(left)
        if self.process is not None:
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()
        shutil.rmtree(self.rings, ignore_errors=True)  # where an engine was killed at last
        self._short.cleanup()
        return left


def settings_file(folder: Path, **settings: float | str) -> dict[str, str]:
    """Write settings to a file in `folder`; give the environment in which they hold."""
    path = folder / "settings.toml"
    given = {"http_host": ""} | settings
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items()))
    return {"JACKCAPTURE_CONFIG": str(path)}


def wait_for(look: Callable[[], Any], holds: Callable[[Any], bool], what: str, patience: float = PATIENCE) -> Any:
    """Look again and again until something holds; fail with what was seen last."""
    deadline = time.monotonic() + patience
    while not holds(seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:g} s for {what}; last seen: {seen}")
        time.sleep(LOOK_SECONDS)
    return seen
