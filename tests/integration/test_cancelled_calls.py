"""Long work that is cancelled, from the command line and from Python, and by death: nothing is left of it."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any, Self

import pytest

from parts.long_tape import URI, record_long_take
from parts.rig import COMMAND, RigProcess, StartRig, wait_for

CHUNKS = 256
"""A gigabyte of samples, which FLAC takes many seconds to write: far longer than any of this."""


@pytest.fixture
def rig(start_rig: StartRig, tmp_path: Path) -> RigProcess:
    """A rig, without a JACK server, on a store with a long take."""
    root = tmp_path / "store"
    record_long_take(root, CHUNKS)
    return start_rig("jct-none", root=root)


class Bystander:
    """Another client, whose first call, of the same id as everybody's, is a slice of a second or so."""

    def __init__(self, rig: RigProcess) -> None:
        self._rig = rig
        self._thread = threading.Thread(target=self._cut)
        self.result: dict[str, Any] = {}

    def __enter__(self) -> Self:
        others = len(self._rig.staging_files())
        self._thread.start()
        wait_for(lambda: len(self._rig.staging_files()), lambda count: count > others, "the bystander's slice")
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _cut(self) -> None:
        with self._rig.client() as client:
            self.result.update(client.slice(URI, "start", "sample:20000000", output_format="flac").data)


def start_slice(rig: RigProcess, out: Path) -> "subprocess.Popen[str]":
    """Start a long slice on the command line, and wait until control is at it."""
    arguments = ("slice", URI, "--from", "start", "--to", "head", "--format", "flac", "--out", str(out), "--json")
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=rig.environment,
    )
    wait_for(rig.staging_files, bool, "the slice's staging file")
    return process


def test_long_work_is_cancelled_and_leaves_nothing(rig: RigProcess, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    content = len(rig.content_files())

    # Ctrl-C on the command line.
    process = start_slice(rig, out / "a.flac")
    with Bystander(rig) as bystander:
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert json.loads(printed)["error"] == {
        "code": "cancelled", "message": "interrupted", "details": {"operation": "stream_slice"},
    }  # fmt: skip
    assert bystander.result["sample_range"] == [0, 20_000_000]
    assert rig.staging_files() == []

    # Death: nobody tells control, which finds out.
    process = start_slice(rig, out / "b.flac")
    process.kill()
    process.communicate(timeout=20)
    wait_for(rig.staging_files, lambda names: not names, "the end of the dead client's slice")

    whole: dict[str, Any] = {"uri": URI, "from_place": "start", "to_place": "head", "output_format": "flac"}
    with rig.client() as client:
        # Ctrl-C in Python, when progress is first told of.
        def interrupt(done: int, total: int, unit: str) -> None:
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt) as interrupted:
            client.call("stream_slice", progress=interrupt, **whole)
        assert not hasattr(interrupted.value, "__notes__")
        assert rig.staging_files() == []

        # An error of the caller's own.
        def refuse(done: int, total: int, unit: str) -> None:
            raise RuntimeError("enough of it")

        with pytest.raises(RuntimeError, match="enough of it"):
            client.call("stream_slice", progress=refuse, out=str(out / "c.flac"), **whole)

        # The next call works, on the same connection, and of all that there were there is nothing else.
        kept = client.slice(URI, "start", "sample:480000")
        assert len(kept.array()) == 480_000
        made = [kept["artifact_id"], bystander.result["artifact_id"]]
        assert [artifact["id"] for artifact in client.call("artifact_list", kind="slice")] == made
        assert len(rig.content_files()) == content + 2
        assert rig.staging_files() == []
        assert os.listdir(out) == []
