"""How long the disks last, and when that is told: arithmetic, and the reading of a disk that may have stalled."""

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jackcapture.catalog import SealedChunk
from jackcapture.control.disk_space import Space
from jackcapture.control.disk_watch import DiskWatch, Rates, manifest_bytes, rates_of, seconds_until_full
from jackcapture.control.documents import render_manifest
from jackcapture.control.managed_stream import LiveTake, ManagedStream
from jackcapture.control.patient_reads import PatientReads
from jackcapture.control.unsealed import UnsealedNotes
from jackcapture.errors import StorageError
from jackcapture.model.addresses import Content, staging_of
from jackcapture.model.streams import AudioFormat, MidiFormat, StreamDefinition
from jackcapture.model.takes import NO_TRANSPORT, Chunk, StreamStatus, Transport, TransportState
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol.messages import DiskLow, Event, StreamState
from parts.tape import RATE, Tape, moment, new_tape

MIB = 1 << 20


def space(device: int, left: int, reserve: int = MIB) -> Space:
    return Space(f"/disk{device}", device, left + reserve, reserve)


def times(staging: Space, content: Space, catalog: Space, rates: Rates) -> list[tuple[str, float]]:
    return [(found.path, seconds) for found, seconds in seconds_until_full(staging, content, catalog, rates)]


def test_one_disk_for_all_fills_with_chunks_and_rows() -> None:
    one = space(1, 1000)
    assert times(one, one, one, Rates(90, 10)) == [("/disk1", 10)]
    assert times(one, one, one, Rates()) == [("/disk1", float("inf"))]
    assert times(space(1, 0), space(1, 0), space(1, 0), Rates()) == [("/disk1", 0)]


def test_behind_full_content_staging_fills() -> None:
    content, staging = space(1, 1000), space(2, 400)
    assert times(staging, content, content, Rates(90, 10)) == [("/disk1", 10), ("/disk2", 10 + 400 / 90)]
    full = space(1, 0)
    assert times(staging, full, full, Rates(90, 10)) == [("/disk1", 0), ("/disk2", 400 / 90)]


def test_a_catalog_on_a_disk_of_its_own_is_one_of_those_that_fill() -> None:
    tape, catalog = space(1, 1000), space(3, 50)
    assert times(tape, tape, catalog, Rates(100, 10)) == [("/disk3", 5), ("/disk1", 10)]
    assert times(space(2, 300), tape, catalog, Rates(100, 10)) == [("/disk1", 10), ("/disk3", 5), ("/disk2", 8)]


def stream_of(definition: StreamDefinition, **state: Any) -> ManagedStream:
    stream = ManagedStream(record=None)  # type: ignore[arg-type]  # set below
    stream.record = type("Record", (), {"definition": definition})()
    stream.take = LiveTake(1, 0, 0, "engine", head_sample=state.get("head_sample", 0))
    stream.engine_state = StreamState(definition.uri, StreamStatus.RECORDING, definition, **state)
    return stream


def test_rates_are_of_samples_and_overviews_and_of_midi_as_it_came() -> None:
    audio = StreamDefinition(parse_stream_uri("stream://a/b"), "a", AudioFormat(RATE, 2), 1 << 20)
    found = rates_of([stream_of(audio)])
    assert found.chunks == pytest.approx(RATE * (8 + 2 * 12 / 256), rel=1e-3)
    midi = StreamDefinition(parse_stream_uri("stream://a/m"), "a", MidiFormat(RATE), 1 << 18)
    assert rates_of([stream_of(midi, head_sample=10 * RATE, head_bytes=5000)]).chunks == 500
    ended = stream_of(audio)
    assert ended.take is not None
    ended.take.ended_samples = 5
    assert rates_of([ended]) == Rates()


def test_the_manifest_of_a_long_take_is_not_longer_than_was_thought(tmp_path: Path) -> None:
    """Also if the transport rolls with bars and beats, which makes a clock snapshot as long as it may be."""
    for transport, least in ((NO_TRANSPORT, 0.5), (Transport(TransportState.ROLLING, 1 << 31, 9, 4, 959, 4, 4), 0.7)):
        with new_tape(tmp_path / f"store-{least}") as tape:
            tape.begin()
            samples = enter_chunks(tape, transport)
            length = len(json.dumps(render_manifest(tape.store, tape.catalog, tape.stream.record), indent=1))
            assert least < length / manifest_bytes(tape.stream.definition, samples) < 1


def enter_chunks(tape: Tape, transport: Transport) -> int:
    """Enter a few seconds of chunks as a recording does: a snapshot a second, one at each end; give their frames."""
    frames = tape.stream.definition.chunk_frames
    chunks = 5 * RATE // frames
    for index in range(chunks):
        first = index * frames
        at = [first + frames - 1, *([first] if first // RATE != (first + frames) // RATE else [])]
        clocks = [replace(moment(position), period=1024, transport=transport) for position in at]
        chunk = Chunk(index, first, frames, frames * 4, moment(first).wall_clock_ns, clocks=tuple(clocks))
        content, overview = (Content(f"{kind}{index:063x}") for kind in "ab")
        tape.catalog.add_chunk(tape.stream.uri, SealedChunk(1, chunk, content, overview))
    return chunks * frames


class Disk:
    """Stands for the supply of a watch: one disk whose room a test sets."""

    def __init__(self) -> None:
        self.left = 0
        self.promised_bytes = 0
        self.space = self

    def staging(self) -> Space:
        return space(1, self.left)

    content = catalog = staging

    def busy_seconds(self) -> float:
        return 0.0


def test_low_space_is_told_once_and_taken_back_when_there_is_clearly_more(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []
    disk = Disk()
    audio = StreamDefinition(parse_stream_uri("stream://a/b"), "a", AudioFormat(RATE, 2), 1 << 20)
    stream = stream_of(audio)
    rates = rates_of([stream])
    rate = rates.chunks + rates.rows

    async def look(seconds: float) -> tuple[int | None, bool]:
        disk.left = int(seconds * rate)
        report = await watch.look()
        return None if report.seconds_left is None else round(report.seconds_left), report.low is not None

    async def scenario() -> None:
        assert await look(700) == (700, False)
        assert await look(599) == (599, True)
        assert await look(610) == (610, True)
        assert await look(590) == (590, True)
        assert len(watch.warnings()) == 1
        assert stream.take is not None
        stream.take.ended_samples = 1
        assert await look(1) == (None, True)  # a disk is not less full because a take has ended of it
        stream.take.ended_samples = None
        assert await look(751) == (751, False)
        assert watch.warnings() == ()
        assert await look(0) == (0, True)

    reads = PatientReads()
    watch = DiskWatch(600.0, disk, reads, lambda: [stream], told.append)  # type: ignore[arg-type]
    asyncio.run(scenario())
    reads.close()
    assert [(event.is_low, round(event.seconds_left)) for event in told if isinstance(event, DiskLow)] == [
        (True, 599),
        (False, 751),
        (True, 0),
    ]
    assert disk.promised_bytes > 0
    assert sum("make room or stop a stream" in record.message for record in caplog.records) == 2


def test_a_read_that_stalls_is_answered_with_the_last_and_not_begun_again() -> None:
    gate = threading.Event()
    begun: list[int] = []

    def stalled() -> int:
        begun.append(1)
        gate.wait()
        return 2

    async def scenario() -> None:
        reads = PatientReads()
        assert await reads.read("a", lambda: 1) == 1
        assert reads.stalled_seconds() == 0
        assert await asyncio.gather(*(reads.read("a", stalled) for _ in range(2))) == [1, 1]
        assert await reads.read("a", stalled) == 1
        assert len(begun) == 2
        assert reads.stalled_seconds() >= 1
        assert await reads.read("b", lambda: 5) == 5
        first = asyncio.create_task(reads.read("c", stalled))  # nothing to fall back on
        await asyncio.wait([first], timeout=1.2)
        assert not first.done()
        gate.set()
        assert await first == 2
        async with asyncio.timeout(20):
            while reads.stalled_seconds():  # the reads of "a" are ending, each on its thread
                await asyncio.sleep(0.01)
        assert await reads.read("a", lambda: 3) == 3
        with pytest.raises(ZeroDivisionError):
            await reads.read("a", lambda: 1 // 0)
        reads.close()

    asyncio.run(scenario())


def test_a_chunk_that_waits_is_noted_until_it_is_sealed(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        tape.begin()
        notes = UnsealedNotes(tape.store.staging_directory)
        fulls = [tape.full(bytes(400)) for _ in range(3)]
        for full in reversed(fulls):
            notes.write(full)
            notes.write(full)
        assert UnsealedNotes(tape.store.staging_directory).of_take(tape.stream.uri, 1) == fulls
        assert notes.of_take(tape.stream.uri, 2) == []
        notes.remove(fulls[0].path)
        Path(fulls[1].path).unlink()  # sealed by one who died before the note was removed
        (tmp_path / "store/staging/unsealed/other").write_bytes(b"x")
        assert notes.read() == fulls[2:]
        assert notes.chunks() == {staging_of(fulls[2].path)}
        assert list(tape.store.iterate_foreign()) == []


def test_a_note_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        tape.begin()
        full = tape.full(bytes(400))
        notes = UnsealedNotes(tape.store.staging_directory)
        (tmp_path / "store/staging/unsealed").write_bytes(b"in the way")
        with pytest.raises(StorageError, match="make room, and do not end jackcapture before"):
            notes.write(full)
