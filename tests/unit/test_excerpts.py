"""What a range of a stream consists of, while its chunks are sealed, pending or in progress."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.catalog import SealedChunk
from jackcapture.control.slices.excerpts import Excerpt, Extent, check_range, collect, extent, open_piece
from jackcapture.errors import InvalidValueError, NotFoundError, StorageDamagedError
from jackcapture.model.addresses import Content, Staging
from jackcapture.model.takes import Chunk, Gap, GapCause
from parts.tape import Tape, new_tape

FRAME = 4  # two channels of 16 bits
URI = "stream://desk/main"


@pytest.fixture
def tape(tmp_path: Path) -> Iterator[Tape]:
    with new_tape(tmp_path / "store") as made:
        yield made


def noise(frames: int) -> bytes:
    return os.urandom(frames * FRAME)


def read(tape: Tape, excerpt: Excerpt) -> bytes:
    data = b""
    for piece in excerpt.pieces:
        descriptor = open_piece(tape.store, tape.catalog, excerpt, piece)
        try:
            data += os.pread(descriptor, piece.length, piece.offset)
        finally:
            os.close(descriptor)
    return data


def collected(tape: Tape, first: int, last: int) -> Excerpt:
    return collect(tape.catalog, tape.stream, tape.state, first, last)


# --- extent and check_range


def test_a_stream_without_a_take_has_no_extent(tape: Tape) -> None:
    with pytest.raises(NotFoundError, match="recorded nothing"):
        extent(tape.catalog, tape.stream, None)


def test_extent_reaches_to_the_head_that_the_engine_tells(tape: Tape) -> None:
    tape.begin()
    tape.seal(tape.full(noise(10)))
    tape.full(noise(5))
    assert extent(tape.catalog, tape.stream, None) == Extent(0, 15)
    tape.progress(noise(3))
    assert extent(tape.catalog, tape.stream, tape.state) == Extent(0, 18)


def test_extent_after_the_end_is_over_all_takes(tape: Tape) -> None:
    for frames in (10, 20):
        tape.begin()
        tape.full(noise(frames))
        tape.end()
    assert extent(tape.catalog, tape.stream, None) == Extent(0, 30)


def test_a_state_of_an_older_take_does_not_set_the_head(tape: Tape) -> None:
    tape.begin()
    tape.progress(noise(3))
    old = tape.state
    tape.end()
    tape.begin()
    tape.full(noise(7))
    assert extent(tape.catalog, tape.stream, old).head_sample == 10


@pytest.mark.parametrize(
    ("first", "last", "error"),
    [
        (20, 10, InvalidValueError),
        (15, 15, InvalidValueError),
        (9, 15, NotFoundError),
        (15, 31, NotFoundError),
        (40, 50, NotFoundError),
    ],
)
def test_a_range_that_is_none_or_not_there_is_refused_with_what_exists(
    first: int, last: int, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"{URI} has the positions 10 to 30"):
        check_range(URI, first, last, Extent(10, 30))


@pytest.mark.parametrize(("first", "last"), [(10, 30), (10, 11), (29, 30)])
def test_a_range_within_is_accepted(first: int, last: int) -> None:
    check_range(URI, first, last, Extent(10, 30))


# --- collect


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_range_gives_the_bytes_that_were_recorded(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, new_tape(Path(folder, "store")) as tape:
        takes = data.draw(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=6), min_size=1, max_size=3))
        for number, chunks in enumerate(takes, 1):
            tape.begin()
            fulls = [tape.full(noise(frames)) for frames in chunks]
            if number < len(takes):
                tape.end()
        # The last take runs on: any of its chunks is sealed, pending, or held by the engine only.
        held = []
        for full in fulls:
            kind = data.draw(st.sampled_from(["sealed", "pending", "held", "sealed but still held"]))
            if kind.startswith("sealed"):
                tape.seal(full)
            if "held" in kind:
                held.append(full)
            if kind == "held":
                assert tape.stream.take is not None
                del tape.stream.take.pending[full.chunk_index]
        tape.progress(noise(data.draw(st.integers(0, 40))), done=held)
        first = data.draw(st.integers(0, tape.frames - 1))
        last = data.draw(st.integers(first + 1, tape.frames))
        excerpt = collected(tape, first, last)
        assert read(tape, excerpt) == tape.truth[first * FRAME : last * FRAME]
        assert excerpt.frames == last - first


def test_without_the_engine_what_is_pending_is_found(tape: Tape) -> None:
    tape.begin()
    tape.seal(tape.full(noise(10)))
    tape.full(noise(10))
    excerpt = collected(tape, 5, 20)
    assert [type(piece.address) for piece in excerpt.pieces] == [Content, Staging]
    assert read(tape, excerpt) == tape.truth[5 * FRAME :]


def test_takes_and_gaps_of_the_range_are_told_once_and_in_order(tape: Tape) -> None:
    inside, across, outside = (Gap(at, 4, GapCause.XRUN) for at in (12, 28, 2))
    tape.begin()
    tape.seal(tape.full(noise(20), gaps=[outside, inside]))
    tape.end()
    tape.begin()
    full = tape.full(noise(20), gaps=[across])
    tape.progress(noise(0), done=[full])  # known twice: pending, and held by the engine
    excerpt = collected(tape, 10, 30)
    assert excerpt.gaps == (inside, across)
    assert excerpt.takes == (1, 2)


def test_positions_that_no_chunk_holds_are_damage(tape: Tape) -> None:
    tape.begin()
    tape.full(noise(10))
    lost = tape.full(noise(10))
    tape.full(noise(10))
    assert tape.stream.take is not None
    del tape.stream.take.pending[lost.chunk_index]
    assert read(tape, collected(tape, 0, 10)) == tape.truth[: 10 * FRAME]
    for first, last in ((5, 15), (5, 25), (15, 25)):
        with pytest.raises(StorageDamagedError, match=f"positions from {max(first, 10)} on"):
            collected(tape, first, last)


# --- open_piece


def test_a_piece_that_was_sealed_since_it_was_found_is_opened(tape: Tape) -> None:
    tape.begin()
    full = tape.full(noise(10))
    excerpt = collected(tape, 2, 9)
    tape.seal(full)
    assert read(tape, excerpt) == tape.truth[2 * FRAME : 9 * FRAME]


def test_the_chunk_in_progress_that_was_sealed_since_is_opened(tape: Tape) -> None:
    tape.begin()
    tape.progress(noise(8))
    excerpt = collected(tape, 1, 7)
    assert tape.state is not None
    # It grew by four frames before it was full and sealed.
    more = noise(4)
    with Path(tape.state.chunk.path).open("r+b") as file:
        file.seek(8 * FRAME)
        file.write(more)
    tape.truth += more
    content = tape.store.seal(Staging(os.path.basename(tape.state.chunk.path)), 12 * FRAME).content
    tape.catalog.add_chunk(tape.stream.uri, SealedChunk(1, Chunk(0, 0, 12, 12 * FRAME, 0), content))
    assert read(tape, excerpt) == tape.truth[1 * FRAME : 7 * FRAME]


def test_content_that_is_missing_is_damage(tape: Tape) -> None:
    tape.begin()
    sealed = tape.seal(tape.full(noise(10)))
    excerpt = collected(tape, 0, 10)
    Path(tape.store.path(sealed.content)).unlink()
    with pytest.raises(StorageDamagedError, match=sealed.content.hash):
        read(tape, excerpt)


def test_a_staging_file_that_is_missing_and_was_never_sealed_is_damage(tape: Tape) -> None:
    tape.begin()
    full = tape.full(noise(10))
    excerpt = collected(tape, 0, 10)
    Path(full.path).unlink()
    with pytest.raises(StorageDamagedError, match=os.path.basename(full.path)):
        read(tape, excerpt)
