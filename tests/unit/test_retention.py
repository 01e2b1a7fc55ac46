"""Retention: what is beyond the limits goes, and nothing that is held, read or needed by another row."""

import itertools
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jackcapture.catalog import Catalog
from jackcapture.control.contents import Contents
from jackcapture.control.garbage import collect as collect_garbage
from jackcapture.control.garbage import plan
from jackcapture.control.retention_words import parse_retention
from jackcapture.control.slices.excerpts import check_range, collect, extent
from jackcapture.control.slices.requests import SliceOptions, SliceRequest
from jackcapture.control.slices.slicer import Slicer
from jackcapture.control.tidying import discard_orphans
from jackcapture.errors import ConflictError, InvalidValueError, NotFoundError, StorageError
from jackcapture.model.addresses import Content, Staging
from jackcapture.model.artifacts import Artifact
from jackcapture.model.durations import SECOND_NS
from jackcapture.model.retention import KEEP_ALL, Hold, HolderKind, RemovalReason, Retention
from jackcapture.model.streams import AudioFormat, SampleFormat
from jackcapture.store import Files, Sealed, Store
from parts.tape import BEGIN_NS, RATE, Tape, moment, new_tape

MONO = AudioFormat(RATE, 1, SampleFormat.I16)


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    with new_tape(tmp_path / "store", MONO) as made:
        made.has_overviews = True
        made.begin()
        yield made


def contents_of(tape: Tape) -> Contents:
    return Contents(tape.store, tape.catalog)


def record(tape: Tape, *lengths: int) -> None:
    """Seal a chunk of each length in frames, each with a clock snapshot at its first one."""
    for length in lengths:
        at = moment(tape.frames)
        tape.seal(tape.full(os.urandom(length * tape.frame_bytes), clocks=[at]))


def keep(tape: Tape, retention: Retention) -> None:
    tape.catalog.keeping.set_retention(tape.stream.uri, retention)
    tape.stream.record = replace(tape.stream.record, retention=retention)


def pin(tape: Tape, name: str, first: int, last: int) -> None:
    tape.catalog.keeping.add_pin(Hold(tape.stream.uri, HolderKind.PIN, name, first, last, BEGIN_NS))


def kept(tape: Tape) -> list[int]:
    return [sealed.chunk.first_sample for sealed in tape.catalog.chunks(tape.stream.uri, 0, 1 << 60)]


def files(tape: Tape) -> set[Content]:
    return set(tape.store.iterate_content())


def collect_now(tape: Tape, contents: Contents | None = None) -> int:
    found = collect_garbage(tape.catalog, contents or contents_of(tape), [tape.stream.record])
    return sum(run.end_index - run.first_index for run in found)


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(keep_chunks=2), [300, 400]),
        (Retention(keep_ns=200 * SECOND_NS // RATE), [300, 400]),
        (Retention(keep_ns=201 * SECOND_NS // RATE), [200, 300, 400]),
        (Retention(keep_bytes=2 * (200 + 12)), [300, 400]),
        (Retention(keep_bytes=2 * (200 + 12) + 1), [300, 400]),
        (Retention(keep_chunks=4, keep_bytes=3 * (200 + 12), keep_ns=10**12), [200, 300, 400]),
        (KEEP_ALL, [0, 100, 200, 300, 400]),
    ],
)
def test_each_limit_counts_back_from_the_newest_chunk(tape: Tape, retention: Retention, left: list[int]) -> None:
    record(tape, 100, 100, 100, 100, 100)
    keep(tape, retention)
    before = kept(tape)
    planned = plan(tape.catalog)
    assert kept(tape) == before, "a plan removes nothing"
    assert collect_now(tape) == 5 - len(left) == sum(run.end_index - run.first_index for run in planned)
    assert kept(tape) == left
    assert collect_now(tape) == 0
    named = {sealed.content for sealed in tape.catalog.chunks(tape.stream.uri, 0, 1000)}
    overviews = {sealed.overview for sealed in tape.catalog.chunks(tape.stream.uri, 0, 1000)}
    definition = Content(tape.catalog.artifact(tape.stream.record.definition_artifact).content_hash)
    assert files(tape) == named | overviews | {definition}
    totals = tape.catalog.totals(tape.stream.uri)
    assert (totals.kept_chunks, totals.kept_bytes) == (len(left), len(left) * (200 + 12))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    takes=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=5), min_size=1, max_size=4),
    limits=st.tuples(*(st.none() | st.integers(1, high) for high in (300, 1500, 12))),
    pins=st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60)), max_size=3),
    read=st.none() | st.tuples(st.integers(0, 200), st.integers(1, 60)),
)
def test_what_goes_is_what_the_limits_say(
    tmp_path_factory: pytest.TempPathFactory,
    takes: list[list[int]],
    limits: tuple[int | None, int | None, int | None],
    pins: list[tuple[int, int]],
    read: tuple[int, int] | None,
) -> None:
    """Against a count by hand: newest first, until a limit is passed; the rest goes, but for pins and readers."""
    frames, size, count = limits
    retention = Retention(None if frames is None else frames * SECOND_NS // RATE, size, count)
    with new_tape(tmp_path_factory.mktemp("store") / "store", MONO) as tape:
        for number, lengths in enumerate(takes):
            if number:
                tape.end()
            tape.begin()
            record(tape, *lengths)
        keep(tape, retention)
        ends = [0]
        for length in (length for lengths in takes for length in lengths):
            ends.append(ends[-1] + length)
        chunks = list(itertools.pairwise(ends))
        boundary, total = -1, 0
        for number, (first, last) in enumerate(reversed(chunks)):
            total += 2 * (last - first)
            if (count is not None and number >= count) or (size is not None and total > size):
                boundary = last
                break
        if frames is not None:
            boundary = max(boundary, ends[-1] - frames)
        held = [(at, at + length) for at, length in pins]
        for number, (first, last) in enumerate(held):
            pin(tape, f"pin-{number}", first, last)
        held += [(read[0], read[0] + read[1])] if read else []
        expected = [
            first
            for first, last in chunks
            if last > boundary or any(begin < last and end > first for begin, end in held)
        ]
        contents = contents_of(tape)
        if read is None:
            collect_now(tape, contents)
        else:
            with contents.reading(tape.stream.uri, read[0], read[0] + read[1]):
                collect_now(tape, contents)
        assert kept(tape) == expected
        removed = [
            (it.first_sample, it.end_sample) for it in tape.catalog.keeping.removals(tape.stream.uri, 0, 1 << 60)
        ]
        gone = [chunk for chunk in chunks if chunk[0] not in expected]
        assert sum(last - first for first, last in removed) == sum(last - first for first, last in gone)
        assert all(any(begin <= first and last <= end for begin, end in removed) for first, last in gone)


def test_content_that_another_row_needs_stays(tape: Tape) -> None:
    data = os.urandom(100 * tape.frame_bytes)
    for _ in range(3):
        tape.seal(tape.full(data))
    keep(tape, Retention(keep_chunks=1))
    before = files(tape)
    assert collect_now(tape) == 2
    assert files(tape) == before
    assert kept(tape) == [200]


def test_a_slice_holds_its_chunks_until_it_is_deleted(tape: Tape) -> None:
    record(tape, 100, 100, 100, 100)
    contents = contents_of(tape)
    request = SliceRequest(tape.stream, None, 110, 120, SliceOptions("wav"), "")
    result, artifact = Slicer(tape.store, tape.catalog, contents).cut(request, lambda *_: None)
    keep(tape, Retention(keep_chunks=1))
    assert [run.held_by for run in plan(tape.catalog)] == [None, (HolderKind.ARTIFACT, artifact.id), None]
    collect_now(tape)
    assert kept(tape) == [100, 300]
    tape.catalog.keeping.mark_artifact(artifact.id)
    contents.remove_marked()
    assert not tape.store.exists(Content(result.content_hash))
    with pytest.raises(NotFoundError):
        tape.catalog.artifact(artifact.id)
    collect_now(tape)
    assert kept(tape) == [300]


def test_what_an_artifact_was_made_from_is_not_deleted(tape: Tape) -> None:
    child = Artifact("made", "slice", "ab" * 32, "text/plain", 1, 1, parents=(tape.stream.record.definition_artifact,))
    tape.catalog.add_artifact(child)
    with pytest.raises(ConflictError, match="made"):
        tape.catalog.keeping.mark_artifact(tape.stream.record.definition_artifact)


def test_a_range_says_what_of_it_is_not_kept_any_more(tape: Tape) -> None:
    record(tape, 100, 100, 100, 100)
    pin(tape, "intro", 0, 10)
    keep(tape, Retention(keep_chunks=1))
    collect_now(tape)
    found = extent(tape.catalog, tape.stream, None)
    assert (found.first_sample, found.head_sample) == (0, 400)
    with pytest.raises(NotFoundError, match=r"50 to 350 .* 100 to 300 \(keep_chunks\)") as caught:
        collect(tape.catalog, tape.stream, None, 50, 350)
    assert caught.value.details["removed"] == [[100, 300, "keep_chunks"]]
    tape.catalog.keeping.remove_holds(tape.stream.uri, HolderKind.PIN, "intro")
    collect_now(tape)
    found = extent(tape.catalog, tape.stream, None)
    assert found.first_sample == 300
    with pytest.raises(NotFoundError, match="positions 300 to 400; what was before is not kept any more"):
        check_range(tape.stream.uri, 10, 350, found)


def test_the_time_of_what_is_kept_is_still_known(tape: Tape) -> None:
    record(tape, 100, 100, 100, 100)
    keep(tape, Retention(keep_chunks=2))
    collect_now(tape)
    clocks = tape.catalog.clocks(tape.stream.uri, 1, 0, 1 << 60)
    assert [at.sample_position for at in clocks] == [200, 300]


def test_a_pin_over_what_is_gone_is_refused(tape: Tape) -> None:
    record(tape, 100, 100)
    keep(tape, Retention(keep_chunks=1))
    collect_now(tape)
    with pytest.raises(ConflictError, match="just removed"):
        pin(tape, "late", 50, 150)
    pin(tape, "right", 100, 200)
    with pytest.raises(ConflictError, match="'right' already"):
        pin(tape, "right", 100, 120)


class Interrupted(Files):
    """Files of which the call number `at` to unlink or to fsync a directory fails, and all after it."""

    def __init__(self, at: int) -> None:
        self.left = at

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(5, "Input/output error")

    def unlink(self, path: str) -> None:
        self._count()
        super().unlink(path)

    def fsync_directory(self, path: str) -> None:
        self._count()
        super().fsync_directory(path)


@pytest.mark.parametrize("at", range(12))
def test_an_interrupted_removal_is_taken_up_again(tape: Tape, at: int) -> None:
    record(tape, 100, 100, 100, 100)
    keep(tape, Retention(keep_chunks=1))
    files_of_store = Interrupted(1000)
    broken = Contents(Store.create_or_open(tape.store.root, files=files_of_store), tape.catalog)
    files_of_store.left = at
    with pytest.raises(StorageError):
        collect_garbage(tape.catalog, broken, [tape.stream.record])
    assert kept(tape) == [300], "what is marked is seen by nobody"
    collect_now(tape)
    assert tape.catalog.keeping.marked(10) is None
    assert len(files(tape)) == 3
    (gone,) = tape.catalog.keeping.removals(tape.stream.uri, 0, 400)
    assert (gone.first_index, gone.end_index, gone.first_sample, gone.end_sample) == (0, 3, 0, 300)
    assert gone.reason is RemovalReason.KEEP_CHUNKS


def test_equal_bytes_are_sealed_and_removed_at_once(tape: Tape) -> None:
    """The row that is entered last finds its content, whatever is removed meanwhile."""
    contents = contents_of(tape)
    keep(tape, Retention(keep_chunks=1))
    data = [bytes([value]) * 200 for value in range(3)]
    fulls = [tape.full(data[number % 3]) for number in range(60)]
    over = threading.Event()
    wrong: list[BaseException] = []

    def seal() -> None:
        try:
            for full in fulls:
                with contents.entering():
                    tape.seal(full)
        except BaseException as error:
            wrong.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=seal)
    thread.start()
    while not over.is_set():
        collect_now(tape, contents)
        for sealed in tape.catalog.chunks(tape.stream.uri, 0, 1 << 60)[-1:]:
            assert sealed.content in files(tape) or sealed.chunk.first_sample not in kept(tape)
    thread.join()
    collect_now(tape, contents)
    assert not wrong
    (last,) = tape.catalog.chunks(tape.stream.uri, 0, 1 << 60)
    assert tape.store.read(last.content, 0, 200) == data[59 % 3]
    assert last.overview is not None
    assert tape.store.exists(last.overview)


def fail(sealed: Sealed) -> None:
    raise StorageError(f"no row for {sealed.content.hash}")


def test_content_whose_row_cannot_be_entered_is_not_left(tape: Tape) -> None:
    before = files(tape)
    with pytest.raises(StorageError, match="no row"):
        contents_of(tape).enter_document(b"half", fail)
    assert files(tape) == before
    assert list(tape.store.iterate_staging()) == []


def test_content_that_others_need_stays_when_a_row_fails(tape: Tape) -> None:
    record(tape, 100)
    (sealed,) = tape.catalog.chunks(tape.stream.uri, 0, 1000)
    data = tape.store.read(sealed.content, 0, 200)
    with pytest.raises(StorageError, match="no row"):
        contents_of(tape).enter_document(data, fail)
    assert tape.store.exists(sealed.content)


@pytest.mark.parametrize("is_needed", [True, False])
def test_what_a_killed_control_had_entered_without_a_row_goes(tape: Tape, is_needed: bool) -> None:
    """Its staging name tells of it."""
    record(tape, 100)
    (sealed,) = tape.catalog.chunks(tape.stream.uri, 0, 1000)
    data = tape.store.read(sealed.content, 0, 200) if is_needed else b"a slice"
    staging = tape.store.stage(data)
    entered = tape.store.enter(staging, tape.store.make_ready(staging, len(data)), len(data), keep_name=True)
    spare = tape.store.create_staging(10)
    in_use = tape.store.create_staging(10)
    discard_orphans(tape.store, contents_of(tape), {in_use}, 1 << 62)
    assert tape.store.exists(entered.content) is is_needed
    assert list(tape.store.iterate_staging()) == [in_use]
    assert not tape.store.exists(Staging(spare.id))


def test_a_stream_goes_with_its_chunks_and_what_was_cut_out_stays(tape: Tape, tmp_path: Path) -> None:
    record(tape, 100, 100)
    contents = contents_of(tape)
    result, artifact = Slicer(tape.store, tape.catalog, contents).cut(
        SliceRequest(tape.stream, None, 10, 20, SliceOptions("wav"), ""), lambda *_: None
    )
    tape.end()
    pin(tape, "mine", 0, 10)
    with pytest.raises(ConflictError, match="pin mine"):
        tape.catalog.keeping.mark_stream(tape.stream.uri)
    tape.catalog.keeping.remove_holds(tape.stream.uri, HolderKind.PIN, "mine")
    tape.catalog.keeping.mark_stream(tape.stream.uri)
    contents.remove_stream(tape.stream.uri)
    assert tape.catalog.streams() == []
    assert tape.catalog.artifact(artifact.id).parents == (tape.stream.record.definition_artifact,)
    definition = Content(tape.catalog.artifact(tape.stream.record.definition_artifact).content_hash)
    assert files(tape) == {Content(result.content_hash), definition}
    again = Catalog(str(tmp_path / "store" / "catalog.db"), tape.store.uuid)
    assert again.streams() == []
    again.close()


def test_a_stream_that_nothing_was_cut_out_of_leaves_nothing(tape: Tape) -> None:
    record(tape, 100, 100)
    tape.end()
    tape.catalog.keeping.mark_stream(tape.stream.uri)
    contents_of(tape).remove_stream(tape.stream.uri)
    assert files(tape) == set()
    assert tape.catalog.artifacts() == []


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (("24h", None, None), Retention(keep_ns=86_400 * SECOND_NS)),
        ((None, "50GB", 3), Retention(keep_bytes=50 * 10**9, keep_chunks=3)),
        ((None, "2GiB", None), Retention(keep_bytes=2 << 30)),
        ((None, 4096, None), Retention(keep_bytes=4096)),
        ((None, None, None), KEEP_ALL),
    ],
)
def test_a_retention_is_read(written: tuple[str | None, str | int | None, int | None], read: Retention) -> None:
    assert parse_retention(*written) == read


@pytest.mark.parametrize(
    "written",
    [("1 day", None, None), ("0s", None, None), (None, "50 parsecs", None), (None, "-1GB", None), (None, 0, None),
     (None, 1 << 70, None), (None, None, 0), (None, None, -3)],
)  # fmt: skip
def test_a_retention_that_is_none_is_refused(written: tuple[str | None, str | int | None, int | None]) -> None:
    with pytest.raises(InvalidValueError):
        parse_retention(*written)


def test_a_stream_keeps_at_least_one_chunk(tape: Tape) -> None:
    with pytest.raises(InvalidValueError, match=r"4095 bytes .* one chunk of 4096"):
        Retention(keep_bytes=4095).check_for(tape.stream.definition)
    Retention(keep_bytes=4096).check_for(tape.stream.definition)


def test_what_went_with_the_power_is_noted_as_lost(tape: Tape) -> None:
    """Chunks are sealed side by side: of five, the second and third never came to be."""
    fulls = [tape.full(os.urandom(200)) for _ in range(5)]
    for number in (0, 3, 4):
        tape.seal(fulls[number])
    for _ in range(2):
        tape.catalog.keeping.note_lost(tape.stream.uri, 1)
    (lost,) = tape.catalog.keeping.removals(tape.stream.uri, 0, 1000)
    assert (lost.first_index, lost.end_index, lost.first_sample, lost.end_sample) == (1, 3, 100, 300)
    assert lost.reason is RemovalReason.LOST
    assert tape.stream.take is not None
    tape.stream.take.pending.clear()
    with pytest.raises(NotFoundError, match=r"100 to 300 \(lost\)"):
        collect(tape.catalog, tape.stream, None, 50, 350)
