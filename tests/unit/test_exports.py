"""Exports of a session: what is in them opens, lies where it should, and is the same each time, or not there at all."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mido
import numpy as np
import pytest
import rpp
import soundfile
import wavinfo
from blake3 import blake3

from jackcapture.control.exports.exporter import Exporter
from jackcapture.control.exports.parts import PartWriter
from jackcapture.control.exports.plan import ExportFormat, parse_export_format, plan_export
from jackcapture.control.maintenance.offline import rebuild_offline
from jackcapture.control.operations.exports import check_sealed
from jackcapture.errors import ConflictError, InvalidValueError, OperationCancelledError, StorageError, StorageFullError
from jackcapture.formats.reaper import ReaperItem, ReaperTrack, render_reaper_project
from jackcapture.model.export_results import ExportResult
from jackcapture.model.sessions import Segment, SegmentClock, SegmentRange, Session, SessionMode, SessionStatus
from jackcapture.model.takes import ClockReason
from jackcapture.settings import Settings
from parts.disks import memory_disk
from parts.kept_session import (
    FIRST_FRAME,
    FORMATS,
    GAP,
    ID,
    KEYS,
    LENGTHS,
    MAIN,
    MONO,
    NOTES,
    KeptSession,
    clock,
    make_session_store,
    opened_session,
    snapshot,
)
from parts.tape import RATE, definition, new_tape

SECOND_POSITION = 3 * RATE
PARTS = {
    (1, MAIN): "audio/segment-01_stream-01_desk_main.wav",
    (1, MONO): "audio/segment-01_stream-03_desk_mono.wav",
    (2, MAIN): "audio/segment-02_stream-01_desk_main.wav",
    (2, MONO): "audio/segment-02_stream-03_desk_mono.wav",
    (1, KEYS): "midi/segment-01_stream-02_desk_keys.mid",
    (2, KEYS): "midi/segment-02_stream-02_desk_keys.mid",
}
DOCUMENTS = {"README.txt", "provenance.json", "session.json", "timeline.json"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store, which no test changes."""
    made = tmp_path_factory.mktemp("session") / "store"
    make_session_store(made)
    return made


@pytest.fixture
def kept(root: Path) -> Iterator[KeptSession]:
    """The store, open."""
    with opened_session(root) as opened:
        yield opened


def nothing(*_: object) -> None:
    """Take no note, and do not cancel."""


def export(
    kept: KeptSession, path: Path, output_format: str = "folder", progress: Callable[[int, int, str], None] = nothing
) -> ExportResult:
    exporter = Exporter(kept.store, kept.catalog, kept.contents)
    return exporter.export(kept.plan, ExportFormat(output_format), str(path), progress, nothing)


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything(path: Path) -> dict[str, bytes]:
    return {"": path.read_bytes()} if path.is_file() else tree(path)


# --- what is in it


def test_a_folder_has_a_file_for_each_part_and_its_documents(kept: KeptSession, tmp_path: Path) -> None:
    result = export(kept, tmp_path / "out")
    files = tree(tmp_path / "out")
    assert files.keys() == {*PARTS.values(), *DOCUMENTS}
    assert {it.path: (it.bytes, it.content_hash) for it in result.files} == {
        name: (len(data), blake3(data).hexdigest()) for name, data in files.items()
    }
    assert result.bytes == sum(map(len, files.values()))
    assert (result.session_id, result.path, result.format) == (ID, str(tmp_path / "out"), "folder")
    assert (result.sample_rate, result.frames) == (RATE, SECOND_POSITION + LENGTHS[1])
    assert {
        (it.segment, it.stream_uri): (it.path, it.position, it.sample_range, it.gap_count) for it in result.parts
    } == {
        (number, uri): (
            path,
            0 if number == 1 else SECOND_POSITION,
            (0, 1000) if number == 1 else (1000, 1500),
            int((number, uri) == (1, MAIN)),
        )
        for (number, uri), path in PARTS.items()
    }
    assert {path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()} == {
        kept.plan.ended_at_ns
    }


def test_audio_is_what_was_recorded_and_says_where_it_is_from(kept: KeptSession, tmp_path: Path) -> None:
    export(kept, tmp_path / "out")
    for number, uri in ((1, MAIN), (1, MONO), (2, MAIN), (2, MONO)):
        path = tmp_path / "out" / PARTS[number, uri]
        first = sum(LENGTHS[: number - 1])
        chunks = kept.catalog.chunks(uri, first, first + LENGTHS[number - 1])
        stored = b"".join(kept.store.read(it.content, 0, it.chunk.bytes) for it in chunks)
        assert path.read_bytes()[4096:].rstrip(b"\0") == stored.rstrip(b"\0")
        sound = soundfile.info(path)
        assert (sound.frames, sound.channels, sound.samplerate) == (LENGTHS[number - 1], FORMATS[uri].channels, RATE)
        broadcast = wavinfo.WavInfoReader(str(path)).bext
        last = first + LENGTHS[number - 1]
        assert broadcast.description == (
            f"{uri}, {ID} segment {number}, store {kept.store.uuid}, samples {first} to {last}"
        )


def test_midi_opens_with_its_notes(kept: KeptSession, tmp_path: Path) -> None:
    export(kept, tmp_path / "out")
    first = mido.MidiFile(tmp_path / "out" / PARTS[1, KEYS])
    assert [bytes(message.bytes()) for message in first if not message.is_meta] == [data for _, data in NOTES]
    assert [message for message in mido.MidiFile(tmp_path / "out" / PARTS[2, KEYS]) if not message.is_meta] == []


def test_documents_tell_where_all_lies_and_comes_from(kept: KeptSession, tmp_path: Path) -> None:
    export(kept, tmp_path / "out")
    timeline, provenance = (
        json.loads((tmp_path / "out" / f"{it}.json").read_text()) for it in ("timeline", "provenance")
    )
    assert [(it["position"], it["frames"], it["placed_by"]) for it in timeline["segments"]] == [
        (0, 1000, "jack_frame"), (SECOND_POSITION, 500, "jack_frame"),
    ]  # fmt: skip
    assert [(it["name"], it["position"]) for it in timeline["marks"]] == [
        ("solo", 400), ("the-end", SECOND_POSITION + 500),
    ]  # fmt: skip
    assert {(it["segment"], it["stream_uri"]): it["path"] for it in timeline["items"]} == PARTS
    (document,) = kept.catalog.artifacts(kind="session")
    session = (tmp_path / "out" / "session.json").read_bytes()
    assert blake3(session).hexdigest() == document.content_hash  # what was sealed when it was closed

    parts = {(it["segment"], it["stream_uri"]): it for it in provenance["parts"]}
    main = parts[1, MAIN]
    assert [it["content_hash"] for it in main["chunks"]] == [
        it.content.hash for it in kept.catalog.chunks(MAIN, 0, 1000)
    ]
    assert main["blake3"] == blake3((tmp_path / "out" / PARTS[1, MAIN]).read_bytes()).hexdigest()
    assert main["gaps"] == [{"position": 300, "frames": 50, "cause": "xrun", "frame_in_file": 300}]
    assert main["capture_latency"] == [{"min": 64, "max": 128}] * 2
    assert [it["sample_position"] for it in main["clocks"]] == [0, GAP.position, 999]
    assert (parts[1, KEYS]["events"], parts[1, KEYS]["chased_from"]) == (4, 0)
    assert [it["uri"] for it in provenance["streams"]] == [MAIN, KEYS, MONO]
    for it in provenance["streams"]:
        definition = kept.catalog.artifact(kept.catalog.stream(it["uri"]).definition_artifact)
        assert it["definition_hash"] == definition.content_hash
        assert it["definition"]["uri"] == it["uri"]
    readme = (tmp_path / "out" / "README.txt").read_text()
    for said in (
        "A recorded session: Night patch",
        *PARTS.values(),
        *DOCUMENTS - {"README.txt"},
        "solo",
        "1 gap",
        MONO,
    ):
        assert said in readme


def test_a_reaper_project_has_all_at_its_place(kept: KeptSession, tmp_path: Path) -> None:
    export(kept, tmp_path / "out", "reaper")
    project = rpp.loads((tmp_path / "out" / "session.rpp").read_text())
    assert project.find("SAMPLERATE")[1] == str(RATE)
    tracks = project.findall("TRACK")
    assert [track.find("NAME")[1] for track in tracks] == ["desk/main", "desk/keys", "desk/mono"]
    assert [track.find("NCHAN")[1] for track in tracks] == ["2", "2", "2"]

    def frame(line: list[str]) -> int:
        frames = float(line[1]) * RATE
        assert abs(frames - round(frames)) < 1e-6
        return round(frames)

    for track in tracks:
        items = track.findall("ITEM")
        assert [frame(item.find("POSITION")) for item in items] == [0, SECOND_POSITION]
        assert [frame(item.find("LENGTH")) for item in items] == list(LENGTHS)
    for number, uri, track in ((0, MAIN, tracks[0]), (1, MONO, tracks[2])):
        files = [item.find("SOURCE").find("FILE")[1] for item in track.findall("ITEM")]
        assert files == [PARTS[1, uri], PARTS[2, uri]], number
        assert all((tmp_path / "out" / name).exists() for name in files)
    assert [(frame(["", it[2]]), it[3]) for it in project.findall("MARKER")] == [
        (400, "solo"), (SECOND_POSITION + 500, "the-end"),
    ]  # fmt: skip

    source = tracks[1].findall("ITEM")[0].find("SOURCE")
    _, _, ticks, _ = source.find("HASDATA")
    _, ignores, tempo, *_ = source.find("IGNTEMPO")
    assert (ignores, int(ticks) * float(tempo) / 60) == ("1", RATE)  # a tick is a frame
    at, found = 0, []
    for line in source:
        if isinstance(line, rpp.Element):
            at += int(line.attrib[0])
            found.append((at, line.tag))
        elif line[0] == "E":
            at += int(line[1])
            found.append((at, "".join(line[2:])))
    assert found == [(10, "903c40"), (700, "803c00"), (800, "X"), (900, "c00500"), (1000, "b07b00")]


@pytest.mark.parametrize("rate", [11_025, 44_100, 48_000, 48_001, 96_000, 192_000])
def test_at_any_rate_a_tick_of_a_reaper_item_is_a_frame(rate: int) -> None:
    item = ReaperItem("x", 10**12 + 1, 7, events=[(3, b"\x90\x3c\x40")])
    project = rpp.loads(render_reaper_project(rate, 0, [ReaperTrack("a 'b' \"c\"", 3, [item])], []).decode())
    assert project.find("TRACK").find("NCHAN")[1] == "4"
    assert round(float(project.find(".//POSITION")[1]) * rate) == 10**12 + 1
    ticks, tempo = int(project.find(".//HASDATA")[2]), float(project.find(".//IGNTEMPO")[2])
    assert ticks <= 32_767
    assert ticks * tempo / 60 == pytest.approx(rate, rel=1e-14)


# --- archives


def test_a_tar_archive_is_the_folder(kept: KeptSession, tmp_path: Path) -> None:
    result = export(kept, tmp_path / "out.tar", "tar")
    export(kept, tmp_path / "out")
    with tarfile.open(tmp_path / "out.tar", "r:") as archive:
        members = archive.getmembers()
        assert [it.name for it in members] == sorted(it.name for it in members)
        assert {(it.uid, it.gid, it.uname, it.gname) for it in members} == {(0, 0, "", "")}
        assert {int(it.mtime) for it in members} == {kept.plan.ended_at_ns // 10**9}
        assert {it.mode for it in members} == {0o644, 0o755}
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert tree(tmp_path / "unpacked" / ID) == tree(tmp_path / "out")
    assert {it.path for it in result.files} == tree(tmp_path / "out").keys()
    done = subprocess.run(["tar", "--list", "--file", tmp_path / "out.tar"], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [it.name + "/" * it.isdir() for it in members]


def test_a_bag_proves_itself(kept: KeptSession, tmp_path: Path) -> None:
    bag = tmp_path / "out"
    result = export(kept, bag, "bagit")
    export(kept, tmp_path / "folder")
    in_folder = {f"data/{name}": data for name, data in tree(tmp_path / "folder").items()}
    del in_folder["data/README.txt"]
    files = tree(bag)
    assert in_folder.items() <= files.items()
    assert {it.path for it in result.files} == files.keys()
    assert b"Bagging-Date: 2023-11-14\n" in files["bag-info.txt"]
    assert b"sha512sum" in files["data/README.txt"]

    def validate() -> int:
        command = [sys.executable, "-m", "bagit", "--validate", str(bag)]
        return subprocess.run(command, check=False, capture_output=True).returncode

    assert validate() == 0
    done = subprocess.run(["sha512sum", "--check", "--quiet", "manifest-sha512.txt"], cwd=bag, check=False)
    assert done.returncode == 0
    changed = bag / "data" / PARTS[1, MAIN]
    data = changed.read_bytes()
    changed.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert validate() != 0
    changed.write_bytes(data)
    (bag / "data" / PARTS[2, KEYS]).unlink()
    assert validate() != 0


# --- the same bytes


@pytest.mark.parametrize("output_format", list(ExportFormat))
def test_the_same_session_gives_the_same_bytes(kept: KeptSession, tmp_path: Path, output_format: str) -> None:
    export(kept, tmp_path / "one", output_format)
    (tmp_path / "elsewhere").mkdir()
    before = os.umask(0o077)
    try:
        export(kept, tmp_path / "elsewhere" / "another name", output_format)
    finally:
        os.umask(before)
    assert everything(tmp_path / "one") == everything(tmp_path / "elsewhere" / "another name")


def test_also_from_a_catalog_that_was_made_anew(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "store")
    with opened_session(tmp_path / "store") as kept:
        export(kept, tmp_path / "before", "reaper")
    rebuild_offline(Settings(root=str(tmp_path / "store"), runtime=str(tmp_path / "run")), nothing, force=True)
    with opened_session(tmp_path / "store") as kept:
        export(kept, tmp_path / "after", "reaper")
    assert tree(tmp_path / "before") == tree(tmp_path / "after")


# --- places


def placed(*starts: tuple[int, int], frames: int = RATE) -> list[tuple[int, bool]]:
    """Where segments lie that begin at (a JACK frame, seconds of the wall clock)."""
    segments = tuple(
        Segment(
            number,
            SegmentClock(frame, seconds * 10**9),
            SegmentClock(frame + frames, seconds * 10**9 + frames * 10**9 // RATE),
            (SegmentRange(MONO, number, 0, frames, True, frame, 0),),
        )
        for number, (frame, seconds) in enumerate(starts, 1)
    )
    plan = plan_export(_session(streams=(MONO,), segments=segments), {MONO: definition(FORMATS[MONO], MONO)})
    assert [part.position for part in plan.parts] == [segment.position for segment in plan.segments]
    return [(it.position, it.is_by_jack) for it in plan.segments]


def _session(**fields: Any) -> Session:
    made = Session(ID, ID, SessionMode.PASSIVE, SessionStatus.STOPPED, 0, None, (MAIN, KEYS, MONO))
    return replace(made, **fields)


def test_segments_lie_as_far_apart_as_jack_counted_or_else_the_wall_clock() -> None:
    assert placed((5000, 100), (5000 + 10 * RATE + 3, 110), (5000 + 20 * RATE, 120)) == [
        (0, True), (10 * RATE + 3, True), (20 * RATE, True),
    ]  # fmt: skip
    # The server was started anew: its counter begins again.
    assert placed((5000, 100), (700, 160), (700 + 5 * RATE, 165)) == [
        (0, True), (60 * RATE, False), (65 * RATE, True),
    ]  # fmt: skip
    # The wall clock was set back meanwhile, too: they do not overlap.
    assert placed((10**9, 100), (700, 50)) == [(0, True), (RATE, False)]


def test_what_cannot_be_exported_is_refused() -> None:
    running = Segment(2, clock(FIRST_FRAME), None, ())
    for session, said in (
        (_session(), "not been played yet"),
        (_session(segments=(running,)), "is playing its segment 2; stop it first"),
    ):
        with pytest.raises(ConflictError, match=said):
            plan_export(session, {})
    with pytest.raises(InvalidValueError, match="'zip' is not a format of an export: it must be folder, tar"):
        parse_export_format("zip")


def test_what_is_not_sealed_yet_is_not_exported(tmp_path: Path) -> None:
    """Its hashes and its gaps would be others later."""
    with new_tape(tmp_path, FORMATS[MAIN]) as tape:
        uri = tape.stream.uri
        tape.begin()
        tape.seal(tape.full(bytes(100 * 8)))
        pending = tape.full(bytes(100 * 8))
        tape.progress(bytes(50 * 8))
        services: Any = SimpleNamespace(streams={uri: tape.stream}, catalog=tape.catalog)

        def check(to_sample: int) -> None:
            ranges = (SegmentRange(uri, 1, 20, to_sample, False, 1000, 0),)
            segment = Segment(3, clock(1020), clock(1000 + to_sample), ranges)
            check_sealed(
                services, plan_export(_session(streams=(uri,), segments=(segment,)), {uri: tape.stream.definition})
            )

        check(100)
        with pytest.raises(ConflictError, match=f"{uri} records on, and the end of segment 3 .* may last"):
            check(101)
        tape.seal(pending)
        check(200)
        with pytest.raises(ConflictError):
            check(201)
        tape.end()
        check(250)


def test_what_recorded_nothing_is_told_and_has_no_file(kept: KeptSession, tmp_path: Path) -> None:
    session = kept.session
    (first, second) = session.segments
    empty = replace(first.ranges[0], to_sample=first.ranges[0].from_sample)
    changed = replace(session, segments=(replace(first, ranges=(empty, *first.ranges[1:])), second))
    plan = plan_export(changed, {it.uri: it for it in kept.plan.definitions})
    exporter = Exporter(kept.store, kept.catalog, kept.contents)
    result = exporter.export(plan, ExportFormat.REAPER, str(tmp_path / "out"), nothing, nothing)
    assert result.parts[0].path is None
    assert (tmp_path / "out" / PARTS[2, MAIN]).exists()
    assert not (tmp_path / "out" / PARTS[1, MAIN]).exists()
    assert f"(nothing of {MAIN} in segment 1)" in (tmp_path / "out" / "README.txt").read_text()


def test_of_many_clock_snapshots_those_are_told_that_say_something(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "store")
    with opened_session(tmp_path / "store") as kept:
        hour = 3600 * RATE
        observed = [snapshot(at, FIRST_FRAME + at) for at in range(2000, hour + RATE, RATE // 2)]
        observed[100] = replace(observed[100], reasons=(ClockReason.TAKE,))
        observed[777] = replace(observed[777], reasons=(ClockReason.TRANSPORT,))
        kept.catalog.add_clocks(MAIN, 1, observed)
        part = replace(kept.plan.parts[0], to_sample=hour)
        told = list(PartWriter(kept.store, kept.catalog, ID, nothing)._clocks(part))
    positions = [at.sample_position for at in told]
    assert positions == sorted(set(positions))
    assert observed[777] in told
    assert observed[100] not in told
    assert hour - RATE // 2 < positions[-1] <= hour
    assert max(np.diff(positions)) <= 61 * RATE
    assert len(told) < 70


# --- all or nothing


@pytest.mark.parametrize("output_format", list(ExportFormat))
def test_an_export_that_is_cancelled_leaves_nothing(kept: KeptSession, tmp_path: Path, output_format: str) -> None:
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    export(kept, tmp_path / "whole", output_format, count)
    shutil.rmtree(tmp_path / "whole", ignore_errors=True)
    (tmp_path / "whole").unlink(missing_ok=True)
    assert steps > 8
    for last in (1, steps // 2, steps):
        left = last

        def cancel(*_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise OperationCancelledError("enough")

        with pytest.raises(OperationCancelledError):
            export(kept, tmp_path / "out", output_format, cancel)
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("output_format", list(ExportFormat))
def test_what_is_there_is_not_replaced_also_if_it_comes_meanwhile(
    kept: KeptSession, tmp_path: Path, output_format: str
) -> None:
    out = tmp_path / "out"
    for make in (out.mkdir, out.touch):

        def come(*_: object, make: Callable[[], None] = make) -> None:
            if not out.exists():
                make()

        with pytest.raises(ConflictError, match="out exists already; name a f"):
            export(kept, out, output_format, come)
        with pytest.raises(ConflictError, match="out exists already"):
            export(kept, out, output_format)
        assert everything(out) in ({}, {"": b""})
        assert os.listdir(tmp_path) == ["out"]
        if out.is_dir():
            out.rmdir()


@pytest.mark.parametrize("output_format", ["folder", "tar"])
def test_a_disk_that_gets_full_is_left_empty(kept: KeptSession, tmp_path: Path, output_format: str) -> None:
    with memory_disk(tmp_path / "disk", 5 * 4096) as disk:
        with pytest.raises(StorageFullError, match="no space left; nothing was left there"):
            export(kept, disk / "out", output_format)
        assert os.listdir(disk) == []


def test_a_chunk_that_is_damaged_is_told(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "store")
    with opened_session(tmp_path / "store") as kept:
        path = Path(kept.store.path(kept.catalog.chunks(MONO, 0, 1000)[1].content))
        path.chmod(0o600)
        path.write_bytes(b"short")
        with pytest.raises(StorageError, match="ends"):
            export(kept, tmp_path / "out")
    assert os.listdir(tmp_path) == ["store"]


def test_its_parts_enter_nothing_into_the_store(kept: KeptSession, tmp_path: Path) -> None:
    before = [it.id for it in kept.catalog.artifacts()]
    export(kept, tmp_path / "out", "bagit")
    assert [it.id for it in kept.catalog.artifacts()] == before
