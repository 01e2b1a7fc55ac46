"""The worst that may happen to a recording: a full disk, a killed control, a killed engine."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jackcapture import Client
from jackcapture.processes.children import is_alive
from parts.jackd import JackServer
from parts.rig import RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples, frames_of

URI = "stream://test/stereo"
RATE = 48000
DISK_BYTES = 12 << 20
CHUNK_BYTES = 65536 + 32 * 2 * 12  # with its overview: 32 blocks of two channels


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "jackcapture-test", str(disk)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def create(rig: RigProcess) -> None:
    """Define the stream, connected to the source."""
    sources = ("--source", "source:out_.*")
    rig.cli("stream", "create", URI, "--channels", "2", "--chunk-bytes", "65536", *sources)


def wait_for_gaps(client: Client, count: int) -> dict[str, Any]:
    """Wait until the stream has so many gaps and records; give its status then."""
    status: dict[str, Any] = wait_for(
        lambda: client.call("stream_status", uri=URI),
        lambda status: bool(status["gap_count"] == count and status["status"] == "recording"),
        f"{count} gaps",
    )
    return status


def recorded_samples(rig: RigProcess, frames: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Put the samples of a stream's chunks together from its manifest."""
    manifest = rig.cli("artifact", "list", "--kind", "manifest")[0]
    import json

    takes = json.loads(rig.content(manifest["content_hash"]).read_bytes())["takes"]
    parts = [
        np.fromfile(rig.content(chunk["content_hash"]), np.float32).reshape(-1, 2)
        for take in takes
        for chunk in take["chunks"]
    ]
    samples = np.concatenate(parts)
    assert len(samples) == frames
    return samples


def test_full_disk_ends_the_take_with_all_it_has(
    small_disk: Path, jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """The stream stops cleanly, says path and bytes, and starts again when there is room."""
    frame_source(jack_server)
    rig = start_rig(jack_server, root=small_disk / "store")
    create(rig)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(8 << 20))
    rig.cli("stream", "start", URI)
    with rig.client() as client:
        ended = wait_for(
            lambda: client.call("stream_status", uri=URI), lambda status: status["status"] == "error", "the take's end"
        )
        assert str(small_disk) in ended["error"]
        assert f"{CHUNK_BYTES} bytes" in ended["error"]
        first = ended["takes"][0]
        assert first["samples"] > RATE
        assert ended["gap_count"] == 0
        wait_for(rig.staging_files, lambda files: files == [], "empty staging")
        wait_for(lambda: rig.cli("artifact", "list", "--kind", "manifest"), bool, "the manifest")
        samples = recorded_samples(rig, first["samples"])
        np.testing.assert_array_equal(samples, expected_samples(first["start_frame"], len(samples), 2))

        refused = rig.cli("stream", "start", URI, status=6)
        assert refused["error"]["code"] == "storage_full"
        assert refused["error"]["details"]["bytes_needed"] == CHUNK_BYTES
        assert rig.staging_files() == []

        filler.unlink()
        rig.cli("stream", "start", URI)
        rig.wait_until_recorded(client, URI, first["samples"] + RATE // 2)
        second = rig.cli("stream", "stop", URI)[0]
        assert second["status"] == "stopped"
        frames_of(recorded_samples(rig, second["head_sample"])[first["samples"] :])


def test_killed_control_loses_nothing(jack_server: JackServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """The engine records on; a new control takes up its streams, and every frame is there."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    create(rig)
    start = rig.cli("stream", "start", URI)[0]["takes"][0]["start_frame"]
    with rig.client() as client:
        head = rig.wait_until_recorded(client, URI, RATE)["head_sample"]
    killed = rig.cli("status")["control"]["pid"]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: is_alive(killed), lambda alive: not alive, "control's end")
    wait_for(lambda: rig.run("status").returncode, lambda status: status == 0, "a new control")
    with rig.client() as client:
        status = client.call("status")
        assert status["control"]["pid"] != killed
        assert status["engine"]["pid"] == rig.ready["engine"]
        rig.wait_until_recorded(client, URI, head + 4 * RATE)
        stopped = rig.cli("stream", "stop", URI)[0]
        assert (stopped["gap_count"], len(stopped["takes"])) == (0, 1)
        whole = client.call("stream_slice", uri=URI, from_place="start", to_place="head")
    samples = rig.samples(whole)
    np.testing.assert_array_equal(samples, expected_samples(start, len(samples), 2))
    assert rig.staging_files() == []


def test_a_killed_engine_is_followed_by_one_that_goes_on(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """Control notices, and starts the next engine, which goes on in the take: one gap, and every other frame."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    create(rig)
    start = rig.cli("stream", "start", URI)[0]["takes"][0]["start_frame"]
    engine = rig.ready["engine"]
    deaths = 3
    with rig.client() as client:
        for gaps in range(deaths):
            head = client.call("stream_status", uri=URI)["head_sample"]
            rig.wait_until_recorded(client, URI, head + RATE)
            os.kill(engine, signal.SIGKILL)
            status = wait_for_gaps(client, gaps + 1)
            gap = status["gaps"][-1]
            assert gap["frames"] < 10 * RATE
            wait_for(
                lambda: client.call("stream_status", uri=URI)["connections"],
                lambda ports: len(ports) == 2 and all(port["connections"] for port in ports),
                "ports and connections",
            )
            rig.wait_until_recorded(client, URI, gap["position"] + gap["frames"] + RATE)
            engine = client.call("status")["engine"]["pid"]
        stopped = rig.cli("stream", "stop", URI)[0]
        assert (stopped["status"], stopped["error"], len(stopped["takes"])) == ("stopped", None, 1)
        whole = client.slice(URI, "start", "head")
    samples = rig.samples(whole.data)
    expected = expected_samples(start, len(samples), 2)
    assert [gap["cause"] for gap in whole["gaps"]] == ["engine_died"] * deaths
    end = 0
    for gap in whole["gaps"]:
        np.testing.assert_array_equal(samples[end : gap["position"]], expected[end : gap["position"]])
        gap_end = gap["position"] + gap["frames"]
        assert not samples[gap["position"] : gap_end].any()
        # The connections are made a moment after the first cycle, one after the other.
        end = gap_end + int(np.argmax(samples[gap_end:].all(axis=1)))
        assert end - gap_end < RATE // 2
    np.testing.assert_array_equal(samples[end:], expected[end:])
    assert rig.staging_files() == []


def test_both_killed_and_started_again_lose_nothing_but_the_hole(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """`up` starts control, control starts an engine, and that goes on in the take."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    create(rig)
    start = rig.cli("stream", "start", URI)[0]["takes"][0]["start_frame"]
    with rig.client() as client:
        rig.wait_until_recorded(client, URI, 2 * RATE)
        status = client.call("status")
    os.kill(status["control"]["pid"], signal.SIGKILL)
    os.kill(status["engine"]["pid"], signal.SIGKILL)
    wait_for(lambda: is_alive(status["control"]["pid"]), lambda alive: not alive, "control's end")
    wait_for(lambda: rig.run("status").returncode, lambda code: code == 0, "a new control")
    with rig.client() as client:
        status = wait_for_gaps(client, 1)
        gap = status["gaps"][0]
        rig.wait_until_recorded(client, URI, gap["position"] + gap["frames"] + RATE)
        stopped = rig.cli("stream", "stop", URI)[0]
        assert (stopped["status"], stopped["gap_count"], len(stopped["takes"])) == ("stopped", 1, 1)
        whole = client.slice(URI, "start", "head")
    samples = rig.samples(whole.data)
    assert whole["gaps"][0]["cause"] == "engine_died"
    position = gap["position"]
    assert position >= 2 * RATE
    np.testing.assert_array_equal(samples[:position], expected_samples(start, position, 2))
    assert not samples[position : position + gap["frames"]].any()
    tail = samples[-RATE // 2 :]
    np.testing.assert_array_equal(tail, expected_samples(start + len(samples) - len(tail), len(tail), 2))
    assert rig.staging_files() == []
