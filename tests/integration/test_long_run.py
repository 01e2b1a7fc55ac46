"""A day of recording, in minutes: JACK freewheels, and at the end every frame is in its place.

`JACKCAPTURE_TEST_HOURS=24` makes it a day (12.4 GB on disk, for some ten minutes); without it, it is as short as a
suite of tests wants it. The hours are those of the recording, at 48,000 frames a second.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from jackcapture import Client
from parts.disturbers import StartJackRemote
from parts.jackd import StartServer
from parts.rig import RATE, RigProcess, StartRig, settings_file, wait_for
from parts.sources import MODULUS, StartSource

URI = "stream://test/day"
HOURS = float(os.environ.get("JACKCAPTURE_TEST_HOURS", "0.15"))
FRAMES = round(HOURS * 3600 * RATE)
PATIENCE = 60 + 600 * HOURS
CHUNK_BYTES = 1 << 20
POINTS = 10
MEMORY_GROWTH = 8 << 20


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Where the store lies; nothing of it stays, whatever becomes of the test."""
    yield tmp_path / "store"
    shutil.rmtree(tmp_path / "store", ignore_errors=True)


@pytest.mark.timeout(2 * PATIENCE)
def test_a_day_is_exact_to_its_end_and_memory_stays_flat(
    root: Path,
    start_jack_server: StartServer,
    frame_source: StartSource,
    start_rig: StartRig,
    jack_remote: StartJackRemote,
    tmp_path: Path,
) -> None:
    """No frame is lost, however fast JACK runs, and neither process grows.

    Memory is a process's own and what it has of files: not the rings, which do not change, but chunks that stay mapped.
    It may grow by 8 MiB after the first tenth: SQLite keeps up to 2 MB of the catalog, which grows, the chunk that is
    being written counts for up to 1 MiB, and allocators have their slack. A day has 11,866 chunks: whoever keeps a
    kilobyte of each passes that limit, and whoever keeps their mappings does so in the shortest run.
    """
    server = start_jack_server(1024)
    frame_source(server, 1)
    # Spares are reckoned for a take in real time; here a second takes a few milliseconds.
    rig = start_rig(server, root=root, environment=settings_file(tmp_path, spare_seconds=600))
    remote = jack_remote(server)
    with rig.client() as client:
        client.call(
            "stream_create",
            uri=URI,
            channels=1,
            sources=["source:out_1"],
            sample_format="i24",
            chunk_size_bytes=CHUNK_BYTES,
        )
        wait_for(
            lambda: client.call("stream_status", uri=URI)["connections"],
            lambda ports: bool(ports) and bool(ports[0]["connections"]),
            "the connection",
        )
        client.call("stream_start", uris=[URI])
        rig.wait_until_recorded(client, URI, RATE)
        before = time.monotonic()
        with remote.freewheeling():
            points = [measure(rig, client, FRAMES * point // POINTS) for point in range(1, POINTS + 1)]
            stopped = client.call("stream_stop", uris=[URI])[0]
        seconds = time.monotonic() - before
        take = rig.sealed_take(client, URI)
        assert rig.stop() == 0

    frames = stopped["head_sample"]
    print(
        f"\n{frames} frames ({frames / RATE / 3600:.3f} h) in {seconds:.1f} s, {frames / RATE / seconds:.0f} times as "
        f"fast as the clock; {len(take['chunks'])} chunks, {len(take['gaps'])} gaps"
    )
    for point in points:
        print("frame {frame}: engine {engine} KiB, control {control} KiB".format(**point))
    before = time.monotonic()
    check(rig, take)
    print(f"read and compared in {time.monotonic() - before:.1f} s")
    assert take["samples"] == frames >= FRAMES
    assert take["gaps"] == []
    for process in ("engine", "control"):
        assert max(point[process] for point in points) - points[0][process] <= MEMORY_GROWTH >> 10, process


def measure(rig: RigProcess, client: Client, frames: int) -> dict[str, int]:
    """Wait until so many frames are recorded; give the memory of both processes then, in KiB."""

    def look() -> dict[str, Any]:
        time.sleep(0.1)  # a status costs both processes some milliseconds, which are not what is tested here
        status: dict[str, Any] = client.call("stream_status", uri=URI)
        return status

    status = wait_for(look, lambda status: bool(status["head_sample"] >= frames), f"{frames} frames", PATIENCE)
    engine, control = (memory(rig.ready[process]) for process in ("engine", "control"))
    return {"frame": status["head_sample"], "engine": engine, "control": control}


def memory(pid: int) -> int:
    """What a process has in memory, without memory shared with others, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssFile:")))


def check(rig: RigProcess, take: dict[str, Any]) -> None:
    """Compare the chunks of a take, one after the other, with what the source must have played."""
    position = take["first_sample"]
    for chunk in take["chunks"]:
        assert chunk["first_sample"] == position
        stored = np.fromfile(rig.content(chunk["content_hash"]), np.uint8).reshape(-1, 3)
        assert len(stored) == chunk["samples"]
        wrong = (stored != as_i24(take["start_frame"] + position - take["first_sample"], len(stored))).any(axis=1)
        assert not wrong.any(), f"{wrong.sum()} samples of {chunk}, from {int(np.argmax(wrong))} on"
        position += len(stored)
    assert position == take["first_sample"] + take["samples"]


def as_i24(frame: int, frames: int) -> npt.NDArray[np.uint8]:
    """The bytes of the source's first channel from a JACK frame on, in 24 bits: shape (frames, 3)."""
    numbers = (np.arange(frame, frame + frames, dtype=np.int64) % MODULUS).astype("<u4")
    return numbers.view(np.uint8).reshape(-1, 4)[:, :3]
