"""A take that runs and the chunk it is in, as the recorder sees them, and both after an engine's death."""

import contextlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from jackcapture.engine.chunks import ChunkFile
from jackcapture.engine.clock import Observation
from jackcapture.engine.feeds import Feed
from jackcapture.formats.midi_records import HEAD
from jackcapture.model.overviews import overview_path
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import ClockSnapshot, Gap, MidiClock
from jackcapture.protocol.messages import StreamState


@dataclass(slots=True)
class RunningTake:
    """The take that runs: where the writer stands in it."""

    number: int
    start_frame: int
    first_sample: int
    position: int  # sample position of the next frame to write
    bytes: int = 0  # written so far
    lost_left: int = 0  # of the gap at `position`
    begun: bool = False  # the start frame has been delivered
    stop_position: int | None = None
    stop_deadline: float = math.inf  # on time.monotonic
    on_stopped: list[Callable[[], None]] = field(default_factory=list)
    chunk_index: int = 0
    lost_frames: int = 0
    gap_count: int = 0
    clipped_samples: int = 0
    unmarked_frame: int = 0  # marks before this frame were looked at
    snapshot_due_us: int = 0
    last_mark: tuple[Observation, MidiClock] | None = None  # passed, and what MIDI clock was there

    @property
    def frame(self) -> int:
        """The 64-bit JACK frame of the next frame to write."""
        return self.start_frame + self.position - self.first_sample


@dataclass(slots=True)
class OpenChunk:
    """The chunk that is being written, and what was observed meanwhile."""

    file: ChunkFile
    first_sample: int
    bytes: int = 0
    clipped_samples: int = 0
    gaps: list[Gap] = field(default_factory=list)
    clocks: list[ClockSnapshot] = field(default_factory=list)


def resumed_take(state: StreamState, frame: int) -> RunningTake:
    """Give the take of an engine that died, which has moved all before a 64-bit JACK frame into chunks."""
    begun = bool(state.chunk.path) or frame > state.start_frame
    position = state.first_sample + (frame - state.start_frame if begun else 0)
    done = [full for full in state.chunks_done if full.take_number == state.take_number]
    return RunningTake(
        number=state.take_number,
        start_frame=state.start_frame,
        first_sample=state.first_sample,
        position=position,
        bytes=state.head_bytes,
        begun=begun,
        chunk_index=state.chunk.index if state.chunk.path else max((full.chunk_index + 1 for full in done), default=0),
        lost_frames=state.lost_frames,
        gap_count=state.gap_count,
        clipped_samples=state.clipped_samples,
        unmarked_frame=max(frame, state.start_frame),
    )


def resumed_chunk(definition: StreamDefinition, state: StreamState, feed: Feed, take: RunningTake) -> OpenChunk:
    """Open the chunk in progress of an engine that died, and bring `take` and its gaps up to what is in it.

    Raises `NotFoundError` or `StorageError` if the file is gone.
    """
    chunk = OpenChunk(ChunkFile(state.chunk.path, definition.chunk_size_bytes), state.chunk.first_sample)
    # Its overview may be ahead of the chunk or behind it. Without one it is made from the samples when it is wanted.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(overview_path(state.chunk.path))
    if definition.is_audio:
        chunk.bytes = (take.position - chunk.first_sample) * definition.audio.frame_bytes
    else:
        chunk.bytes = chunk.file.cut(lambda data: _records_before(data, chunk.first_sample, take.position))
    take.bytes = state.head_bytes - state.chunk.bytes + chunk.bytes
    chunk.gaps, chunk.clocks = list(state.gaps), list(state.clocks)
    _find_gaps(chunk, feed, take)
    return chunk


def _find_gaps(chunk: OpenChunk, feed: Feed, take: RunningTake) -> None:
    """Add the gaps that the engine entered after it last told, and go on in the one that it was in."""
    known = {gap.position for gap in chunk.gaps}
    first_frame = take.start_frame + chunk.first_sample - take.first_sample
    for found in feed.gaps_between(first_frame, take.frame):
        position = take.first_sample + found.frame - take.start_frame
        if position not in known:
            chunk.gaps.append(Gap(position, found.frames, found.cause))
            take.gap_count += 1
            take.lost_frames += found.frames
    chunk.gaps.sort(key=lambda gap: gap.position)
    at = feed.gap_at(take.frame)
    if at is not None and (at.frame < take.frame or take.position in known):
        take.lost_left = at.end_frame - take.frame


def _records_before(data: memoryview, first_sample: int, end_sample: int) -> int:
    """Count the bytes of the whole records that a MIDI chunk holds, in order, before a position; zeroes end them."""
    at, last = 0, first_sample
    while at + HEAD.size <= len(data):
        position, length = HEAD.unpack_from(data, at)
        is_zero = position == 0 and length == 0
        if is_zero or not last <= position < end_sample or at + HEAD.size + length > len(data):
            break
        last = position
        at += HEAD.size + length
    return at
