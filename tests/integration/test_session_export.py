"""A session that was really recorded, exported: it opens elsewhere, and every stream lies at its frame."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import rpp
import soundfile

from jackcapture import Client
from jackcapture.catalog import Catalog
from jackcapture.control.copying import UNFINISHED
from jackcapture.errors import (
    ConflictError,
    InvalidValueError,
    NotFoundError,
    OperationCancelledError,
    UnreachableError,
)
from jackcapture.model.sessions import Segment, SegmentClock, SegmentRange, Session, SessionMode, SessionStatus
from jackcapture.model.uris import parse_stream_uri
from jackcapture.processes.children import is_alive
from jackcapture.store import Store
from parts.jackd import JackServer
from parts.long_tape import URI as LONG
from parts.long_tape import record_long_take
from parts.midi import StartMidiSource
from parts.rig import COMMAND, RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples

MAIN, SECOND, KEYS = "stream://desk/main", "stream://desk/second", "stream://desk/keys"
CHUNK_BYTES = 65536
LONG_CHUNK_BYTES = 60 * RATE * 8  # longer than anything here


def create_streams(client: Client) -> None:
    """Define two stereo streams of the frame source and one of MIDI."""
    for uri, chunk_bytes in ((MAIN, CHUNK_BYTES), (SECOND, LONG_CHUNK_BYTES)):
        client.call(
            "stream_create", uri=uri, channels=2, chunk_size_bytes=chunk_bytes, sources=["source:out_1", "source:out_2"]
        )
    client.call("stream_create", uri=KEYS, midi=True, sources=["midi_source:out"])


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_recorded_session_is_exported_whole(
    jack_server: JackServer,
    frame_source: StartSource,
    midi_source: StartMidiSource,
    start_rig: StartRig,
    tmp_path: Path,
) -> None:
    frame_source(jack_server)
    source = midi_source(jack_server, rate=20)
    rig = start_rig(jack_server)
    with rig.client() as client:
        create_streams(client)
        client.call("stream_start", uris=[SECOND])  # one of them records on, before and after
        rig.wait_until_recorded(client, SECOND, RATE // 10)
        made = client.call("session_create", streams=[MAIN, KEYS, SECOND], name="Take")
        session_id = made["id"]
        out = tmp_path / "out"
        out.mkdir()
        with pytest.raises(ConflictError, match="not been played yet"):
            client.call("session_export", session_id=session_id, out=str(out / "a"))
        head = 0
        for number in (1, 2):
            client.call("session_play", session_id=session_id)
            head = client.call("stream_status", uri=MAIN)["head_sample"]
            rig.wait_until_recorded(client, MAIN, head + RATE // 2)
            client.call("session_mark", session_id=session_id, name=f"mark-{number}")
            if number == 1:
                with pytest.raises(ConflictError, match="is playing its segment 1; stop it first"):
                    client.call("session_export", session_id=session_id, out=str(out / "a"))
            client.call("session_stop", session_id=session_id)
        with pytest.raises(ConflictError, match=f"{SECOND} records on, and the end of segment 1"):
            client.call("session_export", session_id=session_id, out=str(out / "a"))
        client.call("stream_stop", uris=[SECOND])
        client.call("stream_start", uris=[SECOND])
        source.stop_emitting()
        exported = client.call("session_export", session_id=session_id, out=str(out / "bag"), output_format="bagit")
        status = client.call("session_close", session_id=session_id)
        check_refusals(client, session_id, out)

        command = ("session", "export", session_id, "--out", "relative", "--format", "reaper")
        done = subprocess.run(
            [*COMMAND, *command, "--json"], cwd=out, check=True, capture_output=True, env=rig.environment, timeout=60
        )
        assert json.loads(done.stdout)["path"] == str(out / "relative")
        client.call("stream_stop", uris=[SECOND])
        client.call("session_export", session_id=session_id, out=str(out / "again"), output_format="reaper")
        assert tree(out / "again") == tree(out / "relative")
        shown = rig.run("session", "export", session_id, "--out", str(out / "t.tar"), "--format", "tar").stdout
        assert shown.startswith(f"{out / 't.tar'}: {session_id} as tar")
        assert client.call("store_check")["ok"]
    assert {path.name for path in out.iterdir()} == {"bag", "relative", "again", "t.tar"}
    assert exported["format"] == "bagit"
    assert subprocess.run([sys.executable, "-m", "bagit", "--validate", out / "bag"], check=False).returncode == 0
    check_files(out / "relative", status, source.events())


def check_refusals(client: Client, session_id: str, out: Path) -> None:
    """Check that what cannot be is refused, and why."""
    (out / "there").mkdir()
    refused: tuple[tuple[type[Exception], str, dict[str, Any]], ...] = (
        (ConflictError, "there exists already; name a folder", {"out": str(out / "there")}),
        (ConflictError, "there exists already; name a file", {"out": str(out / "there"), "output_format": "tar"}),
        (InvalidValueError, "not an absolute path", {"out": "here"}),
        (InvalidValueError, "none is not a directory", {"out": str(out / "none" / "x")}),
        (InvalidValueError, "'zip' is not a format", {"out": str(out / "x"), "output_format": "zip"}),
        (NotFoundError, "no session 'none'", {"out": str(out / "x"), "session_id": "none"}),
    )
    for kind, said, arguments in refused:
        with pytest.raises(kind, match=said):
            client.call("session_export", **({"session_id": session_id} | arguments))
    (out / "there").rmdir()


def check_files(folder: Path, session: dict[str, Any], emitted: list[tuple[int, bytes]]) -> None:
    """Check with other people's programs that all opens, and with the source's frames that all is where it says."""
    timeline = json.loads((folder / "timeline.json").read_text())
    provenance = json.loads((folder / "provenance.json").read_text())
    rate = timeline["sample_rate"]
    first = session["segments"][0]["started_at"]["jack_frame"]
    positions = {(it["segment"], it["stream_uri"]): it for it in timeline["items"]}
    assert len(positions) == 6
    for segment in session["segments"]:
        start, end = segment["started_at"]["jack_frame"], segment["ended_at"]["jack_frame"]
        for uri in (MAIN, SECOND):
            item = positions[segment["id"], uri]
            path = folder / item["path"]
            told = subprocess.run(["soxi", "-s", path], check=True, capture_output=True, text=True)
            assert int(told.stdout) == item["frames"] == end - start
            # Each sample is the JACK frame at which it was recorded: exactly where the timeline has it.
            assert item["position"] == start - first
            np.testing.assert_array_equal(
                soundfile.read(path, dtype="float32")[0], expected_samples(first + item["position"], item["frames"], 2)
            )
        notes = mido.MidiFile(folder / positions[segment["id"], KEYS]["path"])
        assert notes.length == pytest.approx((end - start) / rate, abs=0.001)
    project = rpp.loads((folder / "session.rpp").read_text())
    markers = [(round(float(it[2]) * rate), it[3]) for it in project.findall("MARKER")]
    assert markers == [(mark["jack_frame"] - first, mark["name"]) for mark in session["marks"]]
    for track, uri in zip(project.findall("TRACK"), (MAIN, KEYS, SECOND), strict=True):
        places = [round(float(item.find("POSITION")[1]) * rate) for item in track.findall("ITEM")]
        assert places == [positions[number, uri]["position"] for number in (1, 2)]
    check_notes(project, session, emitted)
    assert all(chunk["content_hash"] for part in provenance["parts"] for chunk in part["chunks"])
    assert all(part["clocks"] and not part["gaps"] for part in provenance["parts"])


def check_notes(project: Any, session: dict[str, Any], emitted: list[tuple[int, bytes]]) -> None:
    """Check that the project has every event that the source sent, at the very frame."""
    for segment, item in zip(session["segments"], project.findall("TRACK")[1].findall("ITEM"), strict=True):
        start, end = segment["started_at"]["jack_frame"], segment["ended_at"]["jack_frame"]
        at, found = start, []
        for line in item.find("SOURCE"):
            if line[0] == "E":
                at += int(line[1])
                found.append((at, bytes.fromhex("".join(line[2:]))))
        sent = [(frame, data) for frame, data in emitted if start <= frame < end]
        assert len(sent) > 5
        assert at == end
        # What sounds at the end is ended there, besides.
        assert found[: len(sent)] == sent
        assert all(frame == end for frame, _ in found[len(sent) :])


# --- a long export that does not come to its end


@pytest.fixture
def long_session(start_rig: StartRig, tmp_path: Path) -> tuple[RigProcess, str]:
    """A rig, without a JACK server, with a session of a gigabyte of samples; and the session's id."""
    root = tmp_path / "store"
    frames = record_long_take(root, 256)
    uri, session_id = parse_stream_uri(LONG), "session-000000000001"
    store = Store.create_or_open(str(root))
    with contextlib.closing(Catalog(str(root / "catalog.db"), store.uuid)) as catalog:
        take = catalog.takes(uri)[0].take
        clocks = [SegmentClock(take.start_frame + at, take.started_at_ns + at) for at in (0, frames)]
        catalog.sessions.add(Session(session_id, "long", SessionMode.PASSIVE, SessionStatus.CREATED, 1, None, (uri,)))
        found = SegmentRange(uri, 1, 0, None, True, take.start_frame, 0)
        catalog.sessions.begin_segment(session_id, Segment(1, clocks[0], None, (found,)), 1)
        catalog.sessions.end_segment(session_id, 1, clocks[1], {uri: frames})
    return start_rig("jct-none", root=root), session_id


def test_a_long_export_that_is_cut_short_leaves_nothing_that_looks_whole(
    long_session: tuple[RigProcess, str], tmp_path: Path
) -> None:
    rig, session_id = long_session
    out = tmp_path / "out"
    out.mkdir()

    def enough(done: int, total: int, unit: str) -> None:
        assert (unit, total >= done) == ("bytes", True)
        raise OperationCancelledError("enough")

    for output_format in ("bagit", "tar"):
        with rig.client() as client, pytest.raises(OperationCancelledError):
            client.call(
                "session_export",
                session_id=session_id,
                out=str(out / "x"),
                output_format=output_format,
                progress=enough,
            )
        wait_for(lambda: os.listdir(out), lambda names: names == [], "the end of the cancelled export")

    # Control is killed: what is left bears the name of what is not finished.
    command = ("session", "export", session_id, "--out", str(out / "x"), "--format", "bagit", "--json")
    asking = subprocess.Popen(
        [*COMMAND, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=rig.environment,
    )  # fmt: skip
    wait_for(lambda: os.listdir(out), lambda names: names != [], "the beginning of the export")
    with rig.client() as client:
        killed = client.call("status")["control"]["pid"]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: is_alive(killed), lambda alive: not alive, "control's end")
    said, _ = asking.communicate(timeout=60)
    assert asking.returncode == 5, said
    assert [name.startswith(UNFINISHED) for name in os.listdir(out)] == [True]
    for name in os.listdir(out):
        assert not (out / name / "bagit.txt").exists()
        shutil.rmtree(out / name)

    # The next one is whole, in one go.
    wait_for(lambda: answers(rig), bool, "a new control")
    with rig.client() as client:
        result = client.call("session_export", session_id=session_id, out=str(out / "x"))
    assert os.listdir(out) == ["x"]
    (part,) = result["parts"]
    sound = soundfile.info(out / "x" / part["path"])
    assert (sound.format, sound.frames) == ("WAV", result["frames"])


def answers(rig: RigProcess) -> bool:
    """Whether control answers."""
    with contextlib.suppress(UnreachableError), rig.client() as client:
        return bool(client.call("session_list"))
    return False
