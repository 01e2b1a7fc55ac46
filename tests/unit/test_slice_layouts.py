"""Slices of random takes: their bytes are those of the truth, virtual or written, whole or in part."""

import io
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jackcapture.catalog import SealedChunk
from jackcapture.control.contents import Contents
from jackcapture.control.slices.artifact_files import read_file
from jackcapture.control.slices.requests import (
    SLICE_TYPE,
    BetweenTakes,
    SliceOptions,
    SliceRequest,
    parse_between_takes,
    parse_chase,
)
from jackcapture.control.slices.slicer import Slicer
from jackcapture.errors import ConflictError, InvalidValueError, StorageDamagedError
from jackcapture.formats.bext import BROADCAST_HEADER_BYTES
from jackcapture.formats.midi_chase import ChaseKind
from jackcapture.formats.samples import convert_samples
from jackcapture.model.addresses import Content
from jackcapture.model.artifacts import Artifact
from jackcapture.model.results import SliceResult
from jackcapture.model.streams import AudioFormat, MidiFormat, SampleFormat
from jackcapture.model.takes import Chunk, Gap, GapCause
from parts.tape import BEGIN_NS, RATE, Tape, moment, new_tape

RAW, WAV = SliceOptions("raw"), SliceOptions("wav")


def quiet(done: int, total: int, unit: str) -> None:
    """Take no note of the progress."""


def slicer_of(tape: Tape) -> Slicer:
    return Slicer(tape.store, tape.catalog, Contents(tape.store, tape.catalog))


def cut(tape: Tape, first: int, last: int, options: SliceOptions) -> tuple[SliceResult, Artifact]:
    return slicer_of(tape).cut(SliceRequest(tape.stream, tape.state, first, last, options, ""), quiet)


def content(tape: Tape, artifact: Artifact) -> bytes:
    return Path(tape.store.path(Content(artifact.content_hash))).read_bytes()


def noise(tape: Tape, frames: int) -> bytes:
    audio = tape.stream.definition.audio
    if audio.sample_format is SampleFormat.F32:
        samples = np.random.default_rng(tape.frames).uniform(-1.2, 1.2, frames * audio.channels)
        return samples.astype("<f4").tobytes()
    return os.urandom(frames * audio.frame_bytes)


def record(tape: Tape, lengths: list[int]) -> None:
    """Record a take: the last chunk is in progress, the one before it full and not sealed."""
    tape.begin()
    for number, length in enumerate(lengths):
        gaps = [Gap(tape.frames, 1, GapCause.XRUN)] if number % 3 == 1 else []
        full = tape.full(noise(tape, length), gaps=gaps, clocks=[moment(tape.frames, tape.number)])
        if number < len(lengths) - 1:
            tape.seal(full)


lengths = st.lists(st.integers(1, 50), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    takes=st.lists(lengths, min_size=1, max_size=3),
    audio=st.builds(AudioFormat, st.just(RATE), st.integers(1, 3), st.sampled_from(SampleFormat)),
    data=st.data(),
)
def test_a_slice_is_the_range_of_the_truth(
    tmp_path_factory: pytest.TempPathFactory, takes: list[list[int]], audio: AudioFormat, data: st.DataObject
) -> None:
    """Written or virtual, in any format, in any part."""
    with new_tape(tmp_path_factory.mktemp("store") / "store", audio) as tape:
        for number, chunks in enumerate(takes):
            if number:
                tape.end()
            record(tape, chunks)
        first = data.draw(st.integers(0, tape.frames - 1))
        last = data.draw(st.integers(first + 1, tape.frames))
        truth = bytes(tape.truth[first * audio.frame_bytes : last * audio.frame_bytes])
        result, raw = cut(tape, first, last, RAW)
        assert content(tape, raw) == truth
        assert (result.bytes, result.rendered_bytes) == (len(truth), len(truth))
        _, wav = cut(tape, first, last, WAV)
        written = content(tape, wav)
        assert written[BROADCAST_HEADER_BYTES:] == truth + bytes(len(truth) % 2)
        assert soundfile.info(io.BytesIO(written)).frames == last - first

        virtual_result, virtual = cut(tape, first, last, replace(WAV, is_virtual=True))
        assert virtual.mime_type == SLICE_TYPE
        assert (virtual_result.rendered_bytes, virtual_result.rendered_type) == (len(written), "audio/vnd.wave")
        begin = data.draw(st.integers(0, len(written) + 5))
        length = data.draw(st.integers(0, len(written) + 5))
        assert read_file(tape.store, tape.catalog, virtual, begin, length) == (
            written[begin : begin + length],
            len(written),
            "audio/vnd.wave",
        )
        made = slicer_of(tape).materialise(virtual.id, quiet)
        assert (made.content_hash, made.mime_type) == (wav.content_hash, wav.mime_type)

        target = data.draw(st.sampled_from(SampleFormat))
        converted = b"".join(convert_samples([truth], audio.sample_format, target))
        other, artifact = cut(tape, first, last, replace(RAW, sample_format=target))
        assert content(tape, artifact) == converted
        assert other.sample_format == target.value
        _, flac = cut(tape, first, last, SliceOptions("flac"))
        kept = SampleFormat.I16 if audio.sample_format is SampleFormat.I16 else SampleFormat.I24
        found, _ = soundfile.read(io.BytesIO(content(tape, flac)), dtype="int32", always_2d=True)
        exact = b"".join(convert_samples([truth], audio.sample_format, kept))
        width = kept.sample_bytes
        upper = np.ascontiguousarray(found, "<i4").reshape(-1, 1).view(np.uint8)[:, 4 - width :]
        assert upper.tobytes() == exact


def test_a_chunk_in_progress_is_followed_to_its_content(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        tape.begin()
        tape.seal(tape.full(noise(tape, 30), clocks=[moment(0)]))
        full = tape.full(noise(tape, 40))
        tape.progress(noise(tape, 20), done=[full])
        result, virtual = cut(tape, 10, 85, replace(WAV, is_virtual=True))
        before = read_file(tape.store, tape.catalog, virtual, 0, 1 << 20)
        assert len(result.source_chunks) == 3
        tape.end()
        tape.state = None
        assert list(tape.store.iterate_staging()) == []
        assert read_file(tape.store, tape.catalog, virtual, 0, 1 << 20) == before
        _, written = cut(tape, 10, 85, WAV)
        assert content(tape, written) == before[0]


def test_the_same_range_gives_the_same_file_whatever_is_observed_later(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        tape.begin()
        full = tape.full(noise(tape, 100), clocks=[moment(0)])
        _, early = cut(tape, 50, 100, WAV)
        tape.seal(full)
        drifted = replace(moment(100), wall_clock_ns=moment(100).wall_clock_ns + 500_000)
        tape.seal(tape.full(noise(tape, 50), clocks=[drifted]))
        _, late = cut(tape, 50, 100, WAV)
        assert early.content_hash == late.content_hash


@pytest.mark.parametrize("between", list(BetweenTakes))
def test_what_is_between_takes(tmp_path: Path, between: BetweenTakes) -> None:
    with new_tape(tmp_path / "store", AudioFormat(RATE, 1, SampleFormat.I16)) as tape:
        record(tape, [40])
        tape.end()
        tape.begin()
        # The takes follow each other in JACK's frames by as much as in their positions, but for 25 frames.
        assert tape.take is not None
        tape.full(noise(tape, 30))
        with tape.catalog._connections.write() as db:
            db.execute("UPDATE takes SET start_frame = start_frame + 25 WHERE number = 2")
        options = replace(RAW, between_takes=between)
        if between is BetweenTakes.ERROR:
            with pytest.raises(ConflictError, match="takes 1, 2"):
                cut(tape, 10, 60, options)
            cut(tape, 10, 40, options)
            return
        _, artifact = cut(tape, 10, 60, options)
        silence = bytes(2 * 25) if between is BetweenTakes.SILENCE else b""
        truth = bytes(tape.truth)
        assert content(tape, artifact) == truth[20:80] + silence + truth[80:120]
        _, virtual = cut(tape, 10, 60, replace(options, is_virtual=True))
        assert read_file(tape.store, tape.catalog, virtual, 0, 1 << 20)[0] == truth[20:80] + silence + truth[80:120]


def test_a_document_that_is_none_is_refused(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        record(tape, [40])
        _, virtual = cut(tape, 0, 40, replace(WAV, is_virtual=True))
        for wrong in (b"{}", b"[]", b"no JSON", content(tape, virtual).replace(b'"version": 1', b'"version": 2')):
            sealed = tape.store.put(wrong)
            damaged = replace(virtual, content_hash=sealed.content.hash, bytes=sealed.bytes)
            with pytest.raises(StorageDamagedError, match="no virtual slice"):
                read_file(tape.store, tape.catalog, damaged, 0, 10)


def test_a_file_is_not_materialised(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        record(tape, [40])
        _, written = cut(tape, 0, 40, WAV)
        with pytest.raises(ConflictError, match="a file already"):
            slicer_of(tape).materialise(written.id, quiet)


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, -1), (0, (1 << 20) + 1)])
def test_bytes_that_one_message_cannot_give_are_refused(tmp_path: Path, offset: int, length: int) -> None:
    with new_tape(tmp_path / "store") as tape:
        record(tape, [40])
        _, written = cut(tape, 0, 40, WAV)
        with pytest.raises(InvalidValueError, match=f"{length} bytes from byte {offset}"):
            read_file(tape.store, tape.catalog, written, offset, length)


F32, MIDI = AudioFormat(RATE, 2), MidiFormat(RATE)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (F32, SliceOptions("mid"), "'mid'.*wav, flac, raw"),
        (MIDI, SliceOptions("wav"), "'wav'.*mid, raw"),
        (MIDI, SliceOptions("raw", sample_format=SampleFormat.I16), "MIDI has no samples"),
        (F32, SliceOptions("flac", sample_format=SampleFormat.F32), "FLAC has integers"),
        (AudioFormat(RATE, 9), SliceOptions("flac"), "9 channels"),
        (F32, SliceOptions("flac", is_virtual=True), "virtual slice as flac"),
        (MIDI, SliceOptions("mid", is_virtual=True), "virtual slice as mid"),
        (F32, SliceOptions("wav", sample_format=SampleFormat.I16, is_virtual=True), "virtual slice of f32 as i16"),
    ],
)
def test_what_a_stream_cannot_be_written_as_is_refused(
    tmp_path: Path, kind: Any, options: SliceOptions, message: str
) -> None:
    with new_tape(tmp_path / "store") as tape:
        definition = replace(tape.stream.definition, format=kind, chunk_size_bytes=1 << 18)
        with pytest.raises(InvalidValueError, match=message):
            options.check_for(definition)


def test_words_are_read_or_refused() -> None:
    assert parse_chase(["notes"]) == {ChaseKind.NOTES}
    assert parse_chase([]) == frozenset()
    assert parse_chase(None) == frozenset(ChaseKind)
    with pytest.raises(InvalidValueError, match=r"'tempo' cannot be chased: .*notes, controllers"):
        parse_chase(["notes", "tempo"])
    with pytest.raises(InvalidValueError, match=r"'gap'.*join, silence, error"):
        parse_between_takes("gap")


def test_beyond_4_gib_it_is_rf64(tmp_path: Path) -> None:
    """Five chunks of 1 GiB that are one sparse file: equal content is stored once."""
    chunk_bytes = 1 << 30
    with new_tape(tmp_path / "store") as tape:
        tape.begin()
        staging = tape.store.create_staging(0)
        os.truncate(tape.store.path(staging), chunk_bytes)
        content = tape.store.seal(staging, chunk_bytes).content
        frames = chunk_bytes // tape.frame_bytes
        for index in range(5):
            chunk = Chunk(index, index * frames, frames, chunk_bytes, BEGIN_NS, clocks=(moment(index * frames),))
            tape.catalog.add_chunk(tape.stream.uri, SealedChunk(1, chunk, content))
        tape.catalog.end_take(tape.stream.uri, 1, 5 * frames, BEGIN_NS, "")
        tape.stream.take = None
        result, virtual = cut(tape, 10, 5 * frames - 10, replace(WAV, is_virtual=True))
        data_bytes = (5 * frames - 20) * tape.frame_bytes
        assert result.rendered_bytes == BROADCAST_HEADER_BYTES + data_bytes > 1 << 32
        head, total, _ = read_file(tape.store, tape.catalog, virtual, 0, BROADCAST_HEADER_BYTES)
        assert (head[:4], head[8:16]) == (b"RF64", b"WAVEds64")
        assert struct.unpack_from("<QQQ", head, 20) == (total - 8, data_bytes, 5 * frames - 20)
        tail, _, _ = read_file(tape.store, tape.catalog, virtual, total - 1000, 5000)
        assert tail == bytes(1000)
