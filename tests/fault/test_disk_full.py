"""Full disks, each by itself: of the whole store, of content, of staging, of the catalog, and of shared memory."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jackcapture import Client
from jackcapture.errors import ConflictError, StorageFullError
from jackcapture.formats.samples import decode_samples
from jackcapture.model.streams import AudioFormat, SampleFormat
from jackcapture.processes.children import is_alive
from jackcapture.protocol.messages import DiskLow, StreamHeadPosition
from jackcapture.store import Store
from parts.disks import SmallDisk, fill
from parts.events import Listener
from parts.jackd import JackServer
from parts.rig import RATE, RigProcess, StartRig, settings_file, wait_for
from parts.sources import StartSource, expected_samples

URI = "stream://test/stereo"
STEREO = AudioFormat(RATE, 2)
SOURCES = ["source:out_.*"]


def create(client: Client, uri: str = URI, channels: int = 2, chunk: int = 65536, **more: Any) -> None:
    """Define a stream, connected to the source."""
    client.call("stream_create", uri=uri, channels=channels, chunk_size_bytes=chunk, sources=SOURCES, **more)


def status_of(client: Client, uri: str = URI) -> dict[str, Any]:
    status: dict[str, Any] = client.call("stream_status", uri=uri)
    return status


def elsewhere(root: Path, **places: Path) -> None:
    """Make a store whose `content` or `staging` lies behind a symbolic link, as on another disk."""
    Store.create_or_open(str(root))
    for kind, place in places.items():
        shutil.move(root / kind, place / kind)
        (root / kind).symlink_to(place / kind)


def check_take(rig: RigProcess, client: Client, uri: str = URI, audio: AudioFormat = STEREO) -> dict[str, Any]:
    """Every frame of a stream's newest take is in the store, in its place; give the take."""
    take = rig.sealed_take(client, uri)
    chunks = b"".join(rig.content(chunk["content_hash"]).read_bytes() for chunk in take["chunks"])
    samples = decode_samples(chunks, audio)
    assert (len(samples), take["gaps"]) == (take["samples"], [])
    expected = expected_samples(take["start_frame"], len(samples), audio.channels)
    np.testing.assert_allclose(samples, expected, rtol=0, atol=2**-15 if audio.sample_format is SampleFormat.I16 else 0)
    return take


def wait_for_status(client: Client, status: str, uri: str = URI) -> dict[str, Any]:
    """Wait until a stream is in some state; give its status then."""
    found: dict[str, Any] = wait_for(
        lambda: status_of(client, uri), lambda seen: bool(seen["status"] == status), f"{status} of {uri}", 40
    )
    return found


def test_a_full_disk_ends_all_takes_with_all_they_have(
    small_disk: SmallDisk, jack_server: JackServer, frame_source: StartSource, start_rig: StartRig, tmp_path: Path
) -> None:
    """It is told in time; streams of several rates end cleanly, and start again when there is room."""
    formats = {URI: STEREO, "stream://test/wide": AudioFormat(RATE, 4)}
    formats["stream://test/mono"] = AudioFormat(RATE, 1, SampleFormat.I16)
    frame_source(jack_server, 4)
    disk = small_disk(32 << 20)
    rig = start_rig(jack_server, root=disk / "store", environment=settings_file(tmp_path, disk_low_seconds=3))
    with rig.client() as client, Listener(rig.runtime) as listener:
        for uri, audio in formats.items():
            chunk = audio.channels << 16
            create(client, uri, audio.channels, chunk, sample_format=audio.sample_format.value)
        filler = fill(disk, 8 << 20)
        assert not client.call("status")["store"]["disk_low"]
        client.call("stream_start", uris=list(formats))
        looked_at = time.monotonic()
        store = client.call("store_status")
        needed = sum(audio.byte_rate + RATE / 256 * audio.channels * 12 for audio in formats.values())
        reserve = (32 << 20) // 20
        assert store["seconds_left"] == pytest.approx((store["free_bytes"] - reserve) / needed, rel=0.02)
        assert 0 < store["seconds_left"] < 7  # less than five, by as much as has been recorded by now
        low = listener.wait_for(DiskLow, lambda event: event.is_low)
        assert 0 < low.seconds_left < 3
        assert low.path.startswith(str(disk))
        status = client.call("status")
        assert status["store"]["disk_low"]
        assert any(str(disk) in warning and "make room" in warning for warning in status["warnings"])
        assert rig.log.count("WARNING: the disk of") == 1

        first_end: float = wait_for(
            lambda: [uri for uri in formats if status_of(client, uri)["status"] == "error"] and time.monotonic(),
            bool,
            "the first end",
        )
        # Spares, which last two seconds, count as used; what the catalog writes ahead of itself does not count.
        assert -2 < first_end - looked_at - store["seconds_left"] < 4
        for uri, audio in formats.items():
            ended = wait_for_status(client, "error", uri)
            assert str(disk) in ended["error"]
            assert "bytes" in ended["error"]
            assert "make room" in ended["error"]
            wait_for(lambda uri=uri: client.call("artifact_list", kind="manifest", stream_uri=uri), bool, "manifest")  # type: ignore[misc]
            assert check_take(rig, client, uri, audio)["error"] == ended["error"]
        assert rig.staging_files() == []
        assert client.call("store_status")["disk_low"]
        with pytest.raises(StorageFullError, match="make room, then start again") as refused:
            client.call("stream_start", uris=[URI])
        assert refused.value.details["bytes_needed"] == (2 << 16) + 64 * 2 * 12  # with its overview: 64 blocks
        assert rig.staging_files() == []

        filler.unlink()
        listener.wait_for(DiskLow, lambda event: not event.is_low)
        client.call("stream_start", uris=list(formats))
        rig.wait_until_recorded(client, URI, status_of(client)["takes"][0]["samples"] + RATE // 2)
        assert {stream["status"] for stream in client.call("stream_stop", uris=list(formats))} == {"stopped"}
        for uri, audio in formats.items():
            check_take(rig, client, uri, audio)
        forwarded = [it for it in listener.heard if isinstance(it.event, StreamHeadPosition)]
        own = [it for it in listener.heard if isinstance(it.event, DiskLow)]
        engines = {it.publisher for it in forwarded}
        assert len(engines) == 1
        assert engines.isdisjoint(it.publisher for it in own)
        assert [it.sequence for it in own] == [1, 2]
        numbers = [it.sequence for it in listener.heard if it.publisher in engines]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_disk_that_others_fill_to_the_last_byte(
    small_disk: SmallDisk, jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """Rows cannot be written, and notes perhaps not: then the engine keeps what it knows over an end of control."""
    frame_source(jack_server)
    disk = small_disk(16 << 20)
    rig = start_rig(jack_server, root=disk / "store")
    with rig.client() as client:
        create(client)
        client.call("stream_start", uris=[URI])
        rig.wait_until_recorded(client, URI, RATE // 4)
        filler = fill(disk, 0)
        engine = client.call("status")["engine"]["pid"]
        ended = wait_for(
            lambda: fill(disk, 0) and status_of(client), lambda seen: bool(seen["status"] == "error"), "the end"
        )
        assert "make room" in ended["error"]
        assert client.call("status")["engine"]["pid"] == engine
    assert rig.stop() == 0
    # The end of the last chunk, which is cut off, may have made room for the notes.
    runs_on = is_alive(engine)
    assert runs_on == ("the engine runs on" in rig.log)

    filler.unlink()
    rig.start()
    with rig.client() as client:
        assert (client.call("status")["engine"]["pid"] == engine) == runs_on
        wait_for(lambda: status_of(client)["takes"][0]["samples"], bool, "the take's end")
        wait_for(lambda: client.call("artifact_list", kind="manifest", stream_uri=URI), bool, "the manifest")
        assert check_take(rig, client)["samples"] == ended["head_sample"]
    assert rig.staging_files() == []


def test_full_content_lets_chunks_wait_in_staging_over_every_end_of_ours(
    small_disk: SmallDisk, jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """The take goes on until staging is full, too; control dies, all is ended in order, and nothing is lost."""
    wide = AudioFormat(RATE, 4)
    frame_source(jack_server, 4)
    disk, staging = small_disk(16 << 20), small_disk(4 << 20)
    elsewhere(disk / "store", staging=staging)
    rig = start_rig(jack_server, root=disk / "store")
    with rig.client() as client:
        create(client, channels=4, chunk=1 << 17)
        filler = fill(disk, 2 << 20)
        client.call("stream_start", uris=[URI])
        waiting = wait_for(lambda: status_of(client), lambda seen: seen["chunks"]["staging"] > 6, "chunks that wait")
        assert waiting["status"] == "recording"
        assert f"{disk}/store/content/blake3 is full" in waiting["error"]
        assert "make room, and it is sealed by itself" in waiting["error"]
        killed = client.call("status")["control"]["pid"]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: is_alive(killed), lambda alive: not alive, "control's end")
    wait_for(lambda: rig.run("status").returncode, lambda code: code == 0, "a new control")
    with rig.client() as client:
        ended = wait_for_status(client, "error")
        assert str(staging) in ended["error"]
        assert ended["gap_count"] == 0
        with pytest.raises(ConflictError, match="not all in the store yet"):
            client.call("stream_start", uris=[URI])
        head = ended["head_sample"]
    assert rig.stop() == 0  # engine and control are gone, and so are the rings

    rig.start()
    with rig.client() as client:
        wait_for(lambda: client.call("status")["engine"], bool, "the engine")
        wait_for(lambda: status_of(client), lambda seen: seen["chunks"]["staging"] > 15, "the chunks")
        filler.unlink()
        sealed = wait_for(lambda: status_of(client), lambda seen: seen["takes"][0]["samples"], "the take's end")
        assert (sealed["head_sample"], len(sealed["takes"])) == (head, 1)
        wait_for(lambda: client.call("artifact_list", kind="manifest", stream_uri=URI), bool, "the manifest")
        assert check_take(rig, client, audio=wide)["samples"] == head
        wait_for(lambda: list(staging.rglob("*"))[-1:], lambda left: not left or left[0].is_dir(), "empty staging")
        client.call("stream_start", uris=[URI])
        rig.wait_until_recorded(client, URI, head + RATE // 4)
        client.call("stream_stop", uris=[URI])
        check_take(rig, client, audio=wide)


def test_full_staging_ends_a_take_only_when_it_gets_no_room_back(
    small_disk: SmallDisk, jack_server: JackServer, frame_source: StartSource, start_rig: StartRig, tmp_path: Path
) -> None:
    """It goes on in its last chunk, which is long here, until that is nearly full."""
    chunk_frames = RATE * 5 // 2
    frame_source(jack_server)
    staging = small_disk(8 << 20)
    elsewhere(tmp_path / "store", staging=staging)
    rig = start_rig(jack_server)
    with rig.client() as client:
        create(client, chunk=chunk_frames * STEREO.frame_bytes)
        client.call("stream_start", uris=[URI])
        rig.wait_until_recorded(client, URI, RATE // 2)
        # What is sealed makes room for the next chunk.
        filler = fill(staging, 1 << 16)
        rig.wait_until_recorded(client, URI, 5 * RATE // 2)
        ended = wait_for(
            lambda: fill(staging, 0) and status_of(client), lambda seen: bool(seen["status"] == "error"), "the end"
        )
        assert str(staging) in ended["error"]
        with pytest.raises(StorageFullError, match="make room, then start again"):
            client.call("stream_start", uris=[URI])
        filler.unlink()
        wait_for(lambda: client.call("artifact_list", kind="manifest", stream_uri=URI), bool, "the manifest")
        chunks = check_take(rig, client)["chunks"]
        assert len(chunks) > 1
        assert 0 <= chunk_frames - chunks[-1]["samples"] < 2.1 * RATE
        client.call("stream_start", uris=[URI])
        rig.wait_until_recorded(client, URI, ended["head_sample"] + RATE // 4)
        client.call("stream_stop", uris=[URI])
        check_take(rig, client)
    assert [path for path in staging.rglob("*") if path.is_file()] == []


def test_a_full_disk_of_the_catalog_ends_nothing(
    small_disk: SmallDisk, jack_server: JackServer, frame_source: StartSource, start_rig: StartRig, tmp_path: Path
) -> None:
    """Chunks wait until there is room for their rows."""
    frame_source(jack_server)
    disk = small_disk(4 << 20)
    (tmp_path / "large").mkdir()
    elsewhere(disk / "store", content=tmp_path / "large", staging=tmp_path / "large")
    rig = start_rig(jack_server, root=disk / "store")
    with rig.client() as client:
        create(client)
        client.call("stream_start", uris=[URI])
        filler = fill(disk, 0)
        waiting = wait_for(lambda: status_of(client), lambda seen: seen["chunks"]["staging"] > 6, "chunks that wait")
        assert waiting["status"] == "recording"
        assert f"too full for the catalog {disk}/store/catalog.db" in waiting["error"]
        assert "make room" in waiting["error"]
        status = client.call("status")
        assert status["store"]["disk_low"]
        assert any(f"{disk}/store lasts for 0 s" in warning for warning in status["warnings"])
        create_refused = pytest.raises(StorageFullError, match=r"too full for the catalog .*; make room there")
        with create_refused:
            create(client, "stream://test/other")
        filler.unlink()
        wait_for(lambda: status_of(client), lambda seen: seen["error"] is None, "rows")
        assert client.call("stream_stop", uris=[URI])[0]["gap_count"] == 0
        check_take(rig, client)
        create(client, "stream://test/other")


def test_full_shared_memory_refuses_a_stream_and_takes_nothing_from_the_others(
    small_disk: SmallDisk, jack_server: JackServer, frame_source: StartSource, start_rig: StartRig, tmp_path: Path
) -> None:
    frame_source(jack_server)
    disk = small_disk(5 << 19)  # of rings of 1 MiB and a head
    settings = settings_file(tmp_path, ring_directory=str(disk / "rings"), ring_seconds=1.0)
    rig = start_rig(jack_server, environment=settings)
    other, third = "stream://test/other", "stream://test/third"
    with rig.client() as client:
        create(client)
        create(client, other)
        client.call("stream_start", uris=[URI])
        engine = client.call("status")["engine"]["pid"]
        rings = {name for name in os.listdir(disk / "rings") if name.endswith(".ring")}
        with pytest.raises(
            StorageFullError, match=r"the ring of 2 channels needs \d+ bytes of shared memory"
        ) as refused:
            create(client, third)
        assert refused.value.details["bytes_free"] < refused.value.details["bytes_needed"]
        assert {stream["uri"] for stream in client.streams()} == {URI, other}
        assert {name for name in os.listdir(disk / "rings") if name.endswith(".ring")} == rings
        assert not [port for port in client.call("ports") if "test-third" in port["name"]]
        # Every page of the rings was there before: none of them can be missing now.
        filler = fill(disk, 0)
        rig.wait_until_recorded(client, URI, 2 * RATE)
        assert client.call("status")["engine"]["pid"] == engine
        assert client.call("stream_stop", uris=[URI])[0]["gap_count"] == 0
        check_take(rig, client)
    assert rig.stop() == 0
    filler.unlink()
    fill(disk, 3 << 19)  # for one ring

    rig.start()
    with rig.client() as client:
        with pytest.raises(StorageFullError, match=r"make it larger or shorten ring_seconds"):
            client.call("stream_start", uris=[URI, other])
        streams = {stream["uri"]: stream for stream in client.streams()}
        assert not [uri for uri, stream in streams.items() if stream["status"] == "recording"]
        works = next(uri for uri, stream in streams.items() if stream["connections"])
        client.call("stream_start", uris=[works])
        head = streams[works]["head_sample"]
        rig.wait_until_recorded(client, works, head + RATE // 2)
        client.call("stream_stop", uris=[works])
        check_take(rig, client, works)
    assert rig.staging_files() == []
