"""What a MIDI feed keeps of the past: a take may begin before the end of the one before it, as it may with audio."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from jackcapture.engine.chunks import ChunkFile
from jackcapture.engine.feeds import MidiFeed
from parts.core_harness import Attached, CoreHarness, record_bytes

NOTE = bytes([0x90, 60, 100])
KEEP = 1000
CAPACITY = 4096


@pytest.fixture
def harness() -> Iterator[CoreHarness]:
    with CoreHarness() as harness:
        yield harness


def run(harness: CoreHarness, stream: Attached, cycles: int, notes: int = 1) -> None:
    """Run cycles of 64 frames, with notes in the first frame of each."""
    for _ in range(cycles):
        stream.events = [(0, NOTE)] * notes
        harness.cycle(64)


class Take:
    """A take of a feed, which moves all that comes into one chunk; without a start frame, that of a dead engine."""

    def __init__(self, feed: MidiFeed, folder: Path, start_frame: int | None) -> None:
        path = folder / f"chunk-{start_frame}"
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 1 << 16)
        if start_frame is None:
            self.oldest = start_frame = feed.resume()
        else:
            self.oldest = feed.take_over()
            feed.seek(start_frame)
        self._feed, self._path, self._frame, self._bytes = feed, path, start_frame, 0
        self._chunk = ChunkFile(str(path), 1 << 16)

    def move(self) -> list[int]:
        """Move what there is; gives the frames of all records of the take."""
        settled = self._feed.refresh()
        moved = self._feed.move(self._frame, settled - self._frame, self._frame, self._chunk, self._bytes, lost=False)
        assert moved.frames == settled - self._frame
        self._frame, self._bytes = settled, self._bytes + moved.bytes
        data, step = self._path.read_bytes()[: self._bytes], 12 + len(NOTE)
        return [struct.unpack_from("<Q", data, at)[0] for at in range(0, len(data), step)]

    def end(self) -> None:
        self._chunk.close()
        self._feed.let_go()


def test_a_take_begins_before_the_end_of_the_one_before(harness: CoreHarness, tmp_path: Path) -> None:
    stream = harness.attach(0, CAPACITY)
    run(harness, stream, 4)
    feed = MidiFeed(stream.ring, KEEP)
    first = Take(feed, tmp_path, 1064)
    run(harness, stream, 6)
    assert first.move() == list(range(1064, 1640, 64))
    first.end()
    second = Take(feed, tmp_path, 1320)
    assert second.oldest == 1064
    assert second.move() == list(range(1320, 1640, 64))
    run(harness, stream, 2)
    assert second.move() == list(range(1320, 1768, 64))
    second.end()


def test_no_more_is_kept_than_was_asked_for(harness: CoreHarness, tmp_path: Path) -> None:
    stream = harness.attach(0, CAPACITY)
    run(harness, stream, 1)
    feed = MidiFeed(stream.ring, KEEP)
    take = Take(feed, tmp_path, 1000)
    run(harness, stream, 30)
    take.move()
    take.end()
    assert feed.take_over() == 1000 + 31 * 64 - KEEP
    kept = KEEP // 64
    assert stream.ring.delivered - stream.ring.consumed == kept * record_bytes(NOTE)


def test_notes_that_come_too_fast_are_not_kept_at_the_cost_of_those_to_come(
    harness: CoreHarness, tmp_path: Path
) -> None:
    stream = harness.attach(0, CAPACITY)
    run(harness, stream, 1)
    feed = MidiFeed(stream.ring, KEEP)
    take = Take(feed, tmp_path, 1000)
    run(harness, stream, 3, notes=CAPACITY // 3 // record_bytes(NOTE))
    take.move()
    assert stream.ring.fill == 0
    assert take.move()
    take.end()
    assert feed.take_over() == 1000 + 4 * 64


def test_a_feed_goes_on_where_a_dead_engine_had_moved_to(harness: CoreHarness, tmp_path: Path) -> None:
    stream = harness.attach(0, CAPACITY)
    run(harness, stream, 1)
    take = Take(MidiFeed(stream.ring, KEEP), tmp_path, 1000)
    run(harness, stream, 3)
    take.move()
    run(harness, stream, 2)  # nobody moves them
    rest = Take(MidiFeed(stream.ring, KEEP), tmp_path, None)
    assert rest.oldest == 1000 + 4 * 64
    assert rest.move() == [1256, 1320]
    rest.end()
    take.end()
