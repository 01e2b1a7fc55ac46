"""The temporary folder that benchmarks share, and the processes that they talk to."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.machine import check_room
from benchmarks.measuring import say
from benchmarks.recordings import HOUR_BYTES, Recording, opened, record_hour
from jackcapture.client import Client
from jackcapture.errors import UnreachableError
from jackcapture.processes.rig import Rig
from jackcapture.settings import Settings

_NO_SERVER = "jackcapture-bench-none"


class Workspace:
    """A temporary folder on the disk to be measured, as a context manager that removes it."""

    def __init__(self, beside: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jackcapture-bench-", dir=beside))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder)

    @cached_property
    def hour_root(self) -> Path:
        """A store with an hour of stereo float, made when it is first asked for."""
        check_room(self.folder, HOUR_BYTES)
        say("recording an hour of stereo float (1.4 GB) ...")
        root = self.folder / "hour"
        record_hour(root)
        return root

    @contextlib.contextmanager
    def hour(self) -> Iterator[Recording]:
        """Open the hour in this process."""
        with opened(self.hour_root) as recording:
            yield recording

    def settle(self) -> None:
        """Have everything on the disk, so that nobody pays for what was before."""
        os.sync()


@contextlib.contextmanager
def control(root: Path) -> Iterator[Client]:
    """Run control, with its engine and without JACK, on a store; give a client of it."""
    with started(root) as rig, Client(runtime=rig) as client:
        yield client


@contextlib.contextmanager
def started(root: Path) -> Iterator[str]:
    """Run control, with its engine and without JACK, on a store; give its runtime directory once it answers."""
    # Socket paths may have 107 bytes only.
    with tempfile.TemporaryDirectory(prefix="jcb-") as short, open(root / "up.log", "ab") as log:
        runtime = os.path.join(os.path.realpath(short), "run")
        settings = Settings(root=str(root), runtime=runtime, server=_NO_SERVER)
        with Rig(settings, None, lambda: _status_pid(runtime), log):
            yield runtime


def _status_pid(runtime: str) -> int | None:
    """Give the process id of the control that answers `status`, if one does."""
    try:
        with Client(runtime=runtime) as client:
            return int(client.call("status")["control"]["pid"])
    except UnreachableError:
        return None
