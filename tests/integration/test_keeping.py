"""Retention on a running rig: old chunks go while recording and slicing go on, and what is held stays."""

import itertools
import threading
from typing import Any

import numpy as np
import pytest

from jackcapture import Client
from jackcapture.errors import ConflictError, JackCaptureError, NotFoundError
from parts.jackd import JackServer
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples, frames_of

URI = "stream://desk/main"
CHUNK_BYTES = 65536
CHUNK_FRAMES = CHUNK_BYTES // 8  # 0.17 s


def create(rig: RigProcess, *options: str) -> None:
    rig.cli(
        *("stream", "create", URI, "--channels", "2", "--chunk-bytes", str(CHUNK_BYTES)),
        *("--source", "source:out_1", "--source", "source:out_2", *options),
    )


def first_kept(client: Client) -> int:
    """Where the oldest chunk begins that is there, as an error tells it."""
    with pytest.raises(NotFoundError) as caught:
        client.slice(URI, "sample:0", "sample:9223372036854775807")
    first: int = caught.value.details["first_sample"]
    return first


def test_old_chunks_go_while_slices_are_cut(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    frame_source(jack_server)
    rig = start_rig(jack_server)
    create(rig)
    start = rig.cli("stream", "start", URI)[0]["takes"][0]["start_frame"]
    wrong: list[BaseException] = []
    over = threading.Event()
    cut: list[int] = []

    def slice_on() -> None:
        """Whatever is cut is exact; the oldest of it may go at any moment, and is then refused as a whole."""
        with rig.client() as client:
            while not over.is_set():
                try:
                    piece = client.call(
                        "stream_slice", uri=URI, from_place="-1200ms", to_place="head", output_format="raw"
                    )
                    client.call("artifact_delete", artifact_id=piece["artifact_id"])
                    cut.append(piece["sample_range"][1])
                except NotFoundError:
                    continue
                except JackCaptureError as error:
                    wrong.append(error)

    thread = threading.Thread(target=slice_on)
    thread.start()
    try:
        with rig.client() as client:
            rig.wait_until_recorded(client, URI, RATE)
            kept = client.slice(URI, "sample:20000", "sample:30000")
            rig.cli("stream", "pin", URI, "intro", "--from", "sample:40000", "--to", "sample:45000")
            client.call("stream_keep", uri=URI, keep="1s")
            rig.wait_until_recorded(client, URI, 5 * RATE)
            over.set()
            thread.join()
            assert not wrong
            assert len(cut) > 10
            planned = rig.cli("store", "gc", "--dry-run")
            assert {run["held_by"] for run in planned["held"]} == {f"artifact {kept['artifact_id']}", "pin intro"}
            rig.cli("store", "gc")
            status = client.call("stream_status", uri=URI)
            beyond = status["head_sample"] - RATE - 3 * CHUNK_FRAMES  # not sealed yet, or since
            for place in (RATE * 2, beyond - CHUNK_FRAMES):
                with pytest.raises(NotFoundError, match="not kept any more"):
                    client.slice(URI, f"sample:{place}", f"sample:{place + 10}")
            for first, last in ((20000, 30000), (40000, 45000), (beyond + 4 * CHUNK_FRAMES, beyond + 5 * CHUNK_FRAMES)):
                samples = client.slice(URI, f"sample:{first}", f"sample:{last}").array()
                np.testing.assert_array_equal(samples, expected_samples(start + first, last - first, 2))
            assert status["gap_count"] == 0
            client.call("stream_keep", uri=URI)  # so that nothing goes while it is looked at
            # It has recorded five seconds, and keeps one, what is held, and what is not sealed.
            assert status["chunks"]["sealed"] < 2.5 * RATE / CHUNK_FRAMES
    finally:
        over.set()
        thread.join()
    stopped = rig.cli("stream", "stop", URI)[0]
    manifest = take_of(rig)
    assert manifest["samples"] == stopped["takes"][0]["samples"]
    assert [gone["reason"] for gone in manifest["removals"]] == ["keep"] * len(manifest["removals"])
    covered = sorted(
        [(chunk["first_sample"], chunk["first_sample"] + chunk["samples"]) for chunk in manifest["chunks"]]
        + [(gone["first_sample"], gone["end_sample"]) for gone in manifest["removals"]]
    )
    assert covered[0][0] == 0
    assert covered[-1][1] == manifest["samples"]
    assert all(first[1] == second[0] for first, second in itertools.pairwise(covered))
    named = {chunk[key] for chunk in manifest["chunks"] for key in ("content_hash", "overview_hash")}
    named |= {artifact["content_hash"] for artifact in rig.cli("artifact", "list")}
    assert {path.name for path in rig.content_files()} == named
    assert rig.staging_files() == []


def take_of(rig: RigProcess) -> dict[str, Any]:
    with rig.client() as client:
        return rig.sealed_take(client, URI)


def test_limits_change_and_outlive_a_restart(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    frame_source(jack_server)
    rig = start_rig(jack_server)
    create(rig, "--keep-chunks", "1000")
    rig.cli("stream", "start", URI)
    with rig.client() as client:
        rig.wait_until_recorded(client, URI, RATE)
    rig.cli("stream", "stop", URI)
    assert rig.cli("store", "gc") == {"dry_run": False, "chunks": 0, "bytes": 0, "removed": [], "held": []}
    refused = rig.cli("stream", "keep", URI, "--keep-bytes", "1kB", status=2)
    assert "one chunk of 65536" in refused["error"]["message"]
    assert "--everything" in rig.cli("stream", "keep", URI, status=2)["error"]["message"]
    rig.cli("stream", "pin", URI, "first", "--from", "start", "--to", "sample:10")
    rig.stop()
    rig.start()
    assert rig.cli("stream", "status", URI)["retention"] == {
        "keep_seconds": None,
        "keep_bytes": None,
        "keep_chunks": 1000,
    }
    assert rig.cli("stream", "keep", URI, "--keep-chunks", "2", "--keep-bytes", "50MB")["keep_bytes"] == 50_000_000
    wait_for(lambda: rig.cli("stream", "status", URI)["chunks"]["sealed"], lambda sealed: sealed == 3, "what is kept")
    assert [pin["name"] for pin in rig.cli("stream", "pins", URI)] == ["first"]
    rig.cli("stream", "unpin", URI, "first")
    assert "there are none" in rig.cli("stream", "unpin", URI, "first", status=3)["error"]["message"]
    wait_for(lambda: rig.cli("stream", "status", URI)["chunks"]["sealed"], lambda sealed: sealed == 2, "what is kept")
    with rig.client() as client:
        first = first_kept(client)
        frames_of(client.slice(URI, f"sample:{first}", "head").array())
        client.call("stream_start", uris=[URI])
        with pytest.raises(ConflictError, match="recording"):
            client.call("stream_delete", uri=URI)
        client.call("stream_stop", uris=[URI])
    rig.cli("stream", "delete", URI)
    assert rig.cli("stream", "list") == []
    wait_for(lambda: rig.cli("ports", "desk-main"), lambda ports: ports == [], "the ports' end")
    create(rig)  # the name is free
