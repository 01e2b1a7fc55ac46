"""Where a take's content comes from: a stream's ring, asked in 64-bit JACK frames. Writer thread only."""

from dataclasses import dataclass
from typing import Protocol

from jackcapture.engine._rt import ffi, lib
from jackcapture.engine.chunks import ChunkFile
from jackcapture.engine.overview import OverviewWriter
from jackcapture.engine.ring import START_MARGIN_FRAMES, Ring, RingGap
from jackcapture.engine.timeline import Timeline
from jackcapture.model.streams import AudioFormat, StreamDefinition
from jackcapture.model.takes import MidiClock


@dataclass(frozen=True, slots=True)
class Moved:
    """What came into a chunk: frames, the bytes that they take, samples that were clipped; whether it is full now."""

    frames: int
    bytes: int
    clipped_samples: int
    is_full: bool


class Feed(Protocol):
    """What a recorder asks of a ring."""

    ring: Ring

    def refresh(self) -> int:
        """Look at what has come; give the frame before which all is known."""

    def rest(self, settled_frame: int) -> None:
        """Nobody records: drop what no start in the past may ask for."""

    def hold(self, frame: int) -> int:
        """Keep what there is from a frame on, and what comes: a take is to start; give the frame from which."""

    def is_nearly_full(self) -> bool:
        """Whether what is held leaves so little room that, in real time, it should be let go."""

    def take_over(self) -> int:
        """Keep all that is there, or that was held, for a take that starts; give the oldest frame at which it may."""

    def let_go(self) -> None:
        """No take runs any more, and none is to start."""

    def seek(self, frame: int) -> None:
        """Drop what is before a frame, at which the take goes on."""

    def resume(self) -> int:
        """Go on in a take of an engine that died; give the frame before which all is in chunks."""

    def gaps_between(self, frame: int, end_frame: int) -> list[RingGap]:
        """Give the gaps that begin in `[frame, end_frame)`."""

    def gap_at(self, frame: int) -> RingGap | None:
        """Give the gap in which a frame lies."""

    def next_gap(self, frame: int) -> int | None:
        """Give the frame at which the next gap after `frame` begins."""

    def move(self, frame: int, frames: int, position: int, chunk: ChunkFile, at_byte: int, *, lost: bool) -> Moved:
        """Move frames into a chunk, whose `at_byte` bytes are written; fewer frames if it is full before.

        `position` is the sample position of `frame`. The frames lie all in a gap (`lost`), or none.
        """

    def midi_clock(self) -> MidiClock:
        """Give MIDI clock as far as it was moved in this take."""


def make_feed(ring: Ring, definition: StreamDefinition, ring_seconds: float, *, adopted: bool = False) -> Feed:
    """Give the feed of a stream's ring, which has seen its first cycle; `adopted`: under an engine that died."""
    feed: AudioFeed | MidiFeed
    if isinstance(definition.format, AudioFormat):
        feed = AudioFeed(ring, definition.format)
    else:
        feed = MidiFeed(ring, int(ring_seconds * definition.sample_rate))
    if adopted:
        feed.learn_gaps()
    return feed


class _Gaps:
    """What both feeds know of their ring's gaps."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self._timeline = Timeline(ring.first_frame)

    def learn_gaps(self) -> None:
        self._timeline.add(self.ring.known_gaps())

    def gaps_between(self, frame: int, end_frame: int) -> list[RingGap]:
        return self._timeline.gaps_between(frame, end_frame)

    def gap_at(self, frame: int) -> RingGap | None:
        return self._timeline.gap_at(frame)

    def next_gap(self, frame: int) -> int | None:
        return self._timeline.next_gap(frame)


class AudioFeed(_Gaps):
    """Frames of audio, which leave no room in the ring for those that were lost."""

    def __init__(self, ring: Ring, audio: AudioFormat) -> None:
        super().__init__(ring)
        self._audio = audio
        self._held: tuple[int, int] | None = None  # from where on the ring is held for a start: delivered, frame
        self._overview = OverviewWriter(None, audio.channels)

    def refresh(self) -> int:
        """Look at what has come; give the frame before which all is known."""
        settled_frame = self.ring.settled_frame  # first: all gaps before it are then visible
        self._timeline.add(self.ring.take_gaps())
        # What the ring still holds, also of an earlier take, may be asked for by a start in the past.
        self._timeline.forget_before(self.ring.delivered - self.ring.capacity)
        return settled_frame

    def rest(self, settled_frame: int) -> None:
        """Do nothing: the callback overwrites the oldest frames by itself."""

    def hold(self, frame: int) -> int:
        """Keep what there is from a frame on, and what comes: a take is to start; give the frame from which.

        Nothing before it: what is kept of the past is room that the callback lacks.
        """
        self.refresh()
        frame = max(frame, self.ring.first_frame)
        wanted = self._timeline.delivered_before(frame)
        reach = max(wanted, self._reach())
        self.ring.guard(reach)
        oldest = max(reach, self._reach())  # the callback may have been there before the guard
        # Not only what follows the delivered frames: a gap may begin at the very frame that is asked for.
        held_frame = frame if oldest == wanted else self._timeline.frame_after(oldest)
        self._held = oldest, held_frame
        return held_frame

    def is_nearly_full(self) -> bool:
        """Whether what is held leaves no more room than a start must leave alone."""
        return self._held is not None and self._held[0] < self._reach()

    def take_over(self) -> int:
        """Keep all that is there, or that was held, for a take that starts; give the oldest frame at which it may."""
        held, self._held = self._held, None
        reach = self._reach() if held is None else min(held[0], self._reach())
        self.ring.guard(reach)  # first of all: what is judged to be there must not be overwritten meanwhile
        self.refresh()
        oldest = max(reach, self._reach())
        if held is not None and held[0] <= oldest:
            return held[1]
        return self.ring.first_frame if oldest == 0 else self._timeline.frame_after(oldest)

    def let_go(self) -> None:
        """No take runs any more, and none is to start."""
        self._held = None
        self.ring.unguard()

    def seek(self, frame: int) -> None:
        """Drop what is before a frame, at which the take goes on."""
        self.ring.consume(self._timeline.delivered_before(frame), frame)

    def resume(self) -> int:
        """Go on in a take of an engine that died; give the frame before which all is in chunks."""
        frame = self.ring.moved_frame
        self.ring.guard(self._timeline.delivered_before(frame))
        return frame

    def move(self, frame: int, frames: int, position: int, chunk: ChunkFile, at_byte: int, *, lost: bool) -> Moved:
        """Move frames into a chunk; those that were lost stay silence, as which a preallocated chunk reads."""
        del position
        frame_bytes = self._audio.frame_bytes
        frames = min(frames, (chunk.size - at_byte) // frame_bytes)
        written = at_byte + frames * frame_bytes
        clipped = 0
        if at_byte == 0:
            self._overview = OverviewWriter(chunk.overview_address, self._audio.channels)
        if lost:
            self._overview.add_silence(frames)
        else:
            start = self._timeline.delivered_before(frame)
            clipped = self.ring.read(start, frames, self._audio.sample_format, chunk.address + at_byte)
            self._overview.add(self.ring, start, frames)
            self.ring.consume(start + frames, frame + frames)
        return Moved(frames, frames * frame_bytes, clipped, is_full=written + frame_bytes > chunk.size)

    def midi_clock(self) -> MidiClock:
        """Give a clock that stands: audio has none."""
        return MidiClock()

    def _reach(self) -> int:
        return max(0, self.ring.delivered - self.ring.capacity + START_MARGIN_FRAMES)


class MidiFeed(_Gaps):
    """Records of MIDI events, each with its frame. A gap of the cause `midi_lost` may hold some all the same."""

    def __init__(self, ring: Ring, keep_frames: int) -> None:
        """`keep_frames` of the past are kept for a start, moved or not, if they take no more than half of the ring."""
        super().__init__(ring)
        self._keep_frames = keep_frames
        self._oldest_frame = ring.first_frame
        self._held_frame: int | None = None  # from which on the ring is held for a start
        self._kept = 0  # where in the ring the records from the oldest frame on begin
        self._delivered = 0
        self._cursor = ffi.new("jc_midi_cursor *")

    def refresh(self) -> int:
        """Look at what has come; give the frame before which all is known."""
        settled_frame = self.ring.settled_frame
        self._timeline.add(self.ring.take_gaps())
        self._delivered = self.ring.delivered  # of whole cycles, perhaps newer ones, too
        return settled_frame

    def rest(self, settled_frame: int) -> None:
        """Drop the records that no start in the past, or the one that is to come, may ask for."""
        end = settled_frame if self._held_frame is None else min(settled_frame, self._held_frame)
        self._drop_before(min(end, settled_frame - self._keep_frames))
        while self._is_crowded() and self._oldest_frame < end:
            self._drop_before((self._oldest_frame + end + 1) // 2)

    def hold(self, frame: int) -> int:
        """Keep what there is from a frame on, and what comes: a take is to start; give the frame from which."""
        self._held_frame = max(frame, self._oldest_frame)
        return self._held_frame

    def is_nearly_full(self) -> bool:
        """Whether what is held takes more room than what nobody records may."""
        return self._is_crowded()

    def take_over(self) -> int:
        """Give the oldest frame at which a take that starts may do so; a MIDI ring keeps what is in it."""
        self.refresh()
        self._held_frame = None
        self._cursor.clock.ticks = self._cursor.clock.ticks_since_start = self._cursor.clock.is_running = 0
        return self._oldest_frame

    def let_go(self) -> None:
        """No take runs any more, and none is to start."""
        self._held_frame = None

    def seek(self, frame: int) -> None:
        """Drop what is before a frame, at which the take goes on."""
        self._drop_before(frame)
        self._cursor.taken = self._kept
        self.ring.consume(self._kept, frame)

    def resume(self) -> int:
        """Go on in a take of an engine that died; give the frame before which all is in chunks.

        MIDI clock is counted from there on anew.
        """
        frame = self.ring.moved_frame
        self.refresh()
        # The gaps before it are kept for the present: which of them the journal lacks is still to be found.
        self._oldest_frame = frame
        self._kept = int(lib.jc_midi_skip(self.ring.pointer, self.ring.consumed, self._delivered, frame))
        self._cursor.taken = self._kept
        return frame

    def move(self, frame: int, frames: int, position: int, chunk: ChunkFile, at_byte: int, *, lost: bool) -> Moved:
        """Move the records of some frames into a chunk; it is full before the first frame that does not fit."""
        del lost
        cursor = self._cursor
        cursor.written = at_byte
        target = ffi.cast("uint8_t *", chunk.address)
        to_position = (position - frame) % (1 << 64)
        lib.jc_midi_move(self.ring.pointer, cursor, self._delivered, frame + frames, to_position, target, chunk.size)
        end = int(cursor.full_frame) if cursor.is_full else frame + frames
        self._keep_until(end)
        self.ring.consume(self._kept, end)
        return Moved(end - frame, int(cursor.written) - at_byte, 0, is_full=bool(cursor.is_full))

    def midi_clock(self) -> MidiClock:
        """Give MIDI clock as far as it was moved in this take."""
        clock = self._cursor.clock
        return MidiClock(int(clock.ticks), int(clock.ticks_since_start), bool(clock.is_running))

    def _keep_until(self, moved_frame: int) -> None:
        """Drop of what is moved what no next take may begin with, or all of it where records come too fast."""
        self._forget_before(moved_frame if self._is_crowded() else moved_frame - self._keep_frames)

    def _is_crowded(self) -> bool:
        return self._delivered - self._kept > self.ring.capacity // 2

    def _drop_before(self, frame: int) -> None:
        self._forget_before(frame)
        self.ring.consume(self._kept, self.ring.moved_frame)

    def _forget_before(self, frame: int) -> None:
        if frame > self._oldest_frame:
            self._oldest_frame = frame
            self._kept = int(lib.jc_midi_skip(self.ring.pointer, self._kept, self._delivered, frame))
            self._timeline.forget_ended_by(frame)
