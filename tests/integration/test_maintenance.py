"""The check and the rebuild of a store that really recorded, by the command line, with control and without."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from jackcapture import Client
from jackcapture.processes.children import is_alive
from parts.jackd import JackServer
from parts.midi import StartMidiSource
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, frames_of

MAIN = "stream://desk/main"
SHORT = "stream://desk/short"
KEYS = "stream://desk/keys"
STREAMS = (MAIN, SHORT, KEYS)
CHECKS = 20


def record(rig: RigProcess, client: Client, midi_port: str) -> None:
    """Start two audio streams, one of which keeps little, and a MIDI stream."""
    sources = ["source:out_1", "source:out_2"]
    client.call("stream_create", uri=MAIN, channels=2, sources=sources, chunk_size_bytes=65536)
    client.call("stream_create", uri=SHORT, channels=2, sources=sources, chunk_size_bytes=16384, keep_chunks=5)
    client.call("stream_create", uri=KEYS, midi=True, sources=[midi_port], chunk_size_bytes=65536)
    wait_for(
        client.streams,
        lambda streams: all(port["connections"] for stream in streams for port in stream["connections"]),
        "the connections",
    )
    client.call("stream_start", uris=list(STREAMS))
    rig.wait_until_recorded(client, MAIN, RATE)


def check_while_slicing(rig: RigProcess, client: Client) -> None:
    """Check again and again while slices are cut, and deleted; nothing may be invented."""
    over = threading.Event()
    cut: list[str] = []
    wrong: list[BaseException] = []

    def work() -> None:
        try:
            with rig.client() as slicer:
                while not over.is_set():
                    piece = slicer.slice(MAIN, "-500ms", "head")["artifact_id"]
                    cut.append(piece)
                    if len(cut) % 2:
                        slicer.call("artifact_delete", artifact_id=piece)
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(CHECKS):
            result = client.call("store_check", read_data=number % 4 == 0)
            assert result["problems"] == []
            assert result["ok"]
            assert result["checked"]["chunks"] > 0
    finally:
        over.set()
        thread.join()
    assert not wrong
    assert len(cut) > 1


def one_slice(client: Client, uri: str) -> Any:
    return client.call("stream_slice", uri=uri, from_place="sample:20000", to_place="sample:40000")["content_hash"]


@pytest.mark.timeout(180)
def test_check_and_rebuild_of_what_was_recorded(
    jack_server: JackServer, frame_source: StartSource, midi_source: StartMidiSource, start_rig: StartRig
) -> None:
    frame_source(jack_server)
    events = midi_source(jack_server, rate=300)
    rig = start_rig(jack_server)
    with rig.client() as client:
        assert client.call("store_check")["checked"] == {"content": 0, "chunks": 0, "artifacts": 0}
        record(rig, client, events.port)
        check_while_slicing(rig, client)
        refused = rig.cli("store", "rebuild", "--force", status=4)
        assert refused["error"]["details"]["pid"] == client.call("status")["control"]["pid"]

        # Everybody but the engine is killed: the takes that run are no damage.
        client.call("stream_keep", uri=SHORT)
        victims = [rig.ready["pid"], client.call("status")["control"]["pid"]]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        rig.wait_killed()
        wait_for(lambda: is_alive(victims[1]), lambda alive: not alive, "control's end")
        assert rig.cli("store", "check", "--read-data")["problems"] == []
    rig.start()
    with rig.client() as client:
        wait_for(
            lambda: client.call("stream_status", uri=MAIN)["status"], lambda it: it == "recording", "the take goes on"
        )
        wait_for(
            lambda: client.call("stream_status", uri=SHORT)["chunks"]["staging"],
            lambda staging: staging <= 1,
            "what was in staging is sealed",
        )
        client.call("stream_keep", uri=SHORT, keep_chunks=5)
        heads = {stream["uri"]: stream["head_sample"] for stream in client.call("stream_stop", uris=list(STREAMS))}
        assert client.call("store_check", read_data=True)["problems"] == []
        slices = {uri: one_slice(client, uri) for uri in (MAIN, KEYS)}
    rig.stop()
    done = rig.run("store", "check", "--read-data")
    assert done.returncode == 0, done.stdout
    assert f"checked {len(rig.content_files())} files" in done.stdout
    assert "nothing is wrong" in done.stdout

    # The catalog is lost.
    (rig.root / "catalog.db").unlink()
    done = rig.run("up", "--json")
    assert done.returncode == 6
    assert "store rebuild" in json.loads(done.stdout)["error"]["message"]
    rebuilt = rig.cli("store", "rebuild")
    assert (rebuilt["streams"], rebuilt["takes"], rebuilt["lost"]) == (3, 3, [])
    assert {item["content_hash"] for item in rebuilt["recovered"]} >= {*slices.values()}

    rig.start()
    with rig.client() as client:
        assert {uri: one_slice(client, uri) for uri in (MAIN, KEYS)} == slices
        assert {stream["uri"]: stream["head_sample"] for stream in client.streams()} == heads
        started = client.call("stream_start", uris=list(STREAMS))
        assert {stream["uri"]: stream["takes"][-1]["first_sample"] for stream in started} == heads
        rig.wait_until_recorded(client, MAIN, heads[MAIN] + RATE // 2)
        client.call("stream_stop", uris=list(STREAMS))
        frames_of(client.slice(MAIN, f"sample:{heads[MAIN]}", "head").array())
        assert client.call("store_check", read_data=True)["problems"] == []
        damage(rig, rig.content(slices[MAIN]))


def damage(rig: RigProcess, victim: Path) -> None:
    """Damage the store while control runs: the check names it, with status 6, and the document is the result."""
    address = str(victim.relative_to(rig.root))
    data = bytearray(victim.read_bytes())
    data[1234] ^= 1
    victim.chmod(0o600)
    victim.write_bytes(data)
    found = rig.cli("store", "check", "--read-data", status=6)
    assert sorted((problem["kind"], problem["address"]) for problem in found["problems"]) == [
        ("content_damaged", address),
        ("content_mode", address),
    ]
    assert set(found) == {"ok", "checked", "problems", "problem_count", "read_data"}
