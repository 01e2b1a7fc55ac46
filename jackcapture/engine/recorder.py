"""What the writer thread does for one attached stream: takes, chunks, gaps and clock snapshots.

A sample position is `frame - start frame + first sample` of its take, always: what JACK lost is silence, and kept as
a gap.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from jackcapture.engine.chunks import ChunkFile
from jackcapture.engine.clock import EngineClock, Observation
from jackcapture.engine.feeds import Feed
from jackcapture.engine.ring import RingGap
from jackcapture.engine.take import OpenChunk, RunningTake, resumed_chunk, resumed_take
from jackcapture.errors import ConflictError, InvalidValueError, JackCaptureError, UnreachableError
from jackcapture.model.overviews import overview_room
from jackcapture.model.starts import MAX_START_AHEAD_SECONDS
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import NO_MIDI_CLOCK, RUNNING, ClockReason, Gap, StreamStatus
from jackcapture.protocol.messages import (
    AT_ONCE,
    ChunkInProgress,
    Event,
    StreamChunkFull,
    StreamError,
    StreamGap,
    StreamState,
)

SNAPSHOT_INTERVAL_US = 1_000_000
KEEP_INTERVAL = 1.0
"""Seconds between two times that a running take is kept for the next engine, if its chunks are the same."""

MAX_FIRST_SAMPLE = 1 << 62  # what comes after it fits into 63 bits, as catalogs have them
MAX_STOPS = 64
"""Stops of one take that may wait for its end."""

HOLD_SECONDS = 5.0
"""How long a ring is held for a start: less than the callback waits for room while JACK freewheels (8 s)."""

MAX_HELD_FILL = 0.5
"""How full the ring of a take may become while a stop is waited for, unless JACK waits, too."""

STOP_PATIENCE = 2.0
"""Seconds that a stop waits for a spare chunk, or for a JACK server that has stalled, before it ends the take."""


@dataclass(frozen=True, slots=True)
class _Input:
    """Where frames come from while there is a JACK server."""

    feed: Feed
    clock: EngineClock | None  # None: no server yet, in a take of an engine that died
    keep: Callable[[StreamState], None]  # leaves what the next engine needs, should this one die


class Recorder:
    """Records one stream. Writer thread only, but for `state`, which is replaced as a whole: read it anywhere."""

    def __init__(self, definition: StreamDefinition, publish: Callable[[Event], None]) -> None:
        self._definition = definition
        self._publish = publish
        self._input: _Input | None = None
        self._take: RunningTake | None = None
        self._chunk: OpenChunk | None = None
        self._spares: deque[ChunkFile] = deque()
        self._done: list[StreamChunkFull] = []
        self._kept: tuple[object, ...] = ()  # what the journal says of chunks
        self._keep_due = 0.0  # on time.monotonic
        self._held_until = 0.0  # on time.monotonic; 0: nothing is held
        self._held_frame: int | None = None  # past which the take that runs moves nothing, because a stop follows
        self.state = StreamState(definition.uri, StreamStatus.STOPPED, definition)

    # --- requests ---

    def hold(self, frames: int) -> None:
        """Hold what comes, and so many frames of the past, for a start that follows; `HOLD_SECONDS` at most.

        In a take a stop follows: nothing past this moment is moved until then.
        """
        source = self._input
        if source is None or source.clock is None:
            return
        frame = source.clock.next_frame
        if self._take is None:
            oldest_frame = source.feed.hold(max(0, frame - frames))
            self.state = replace(self.state, oldest_frame=oldest_frame)
        else:
            self._held_frame = frame
        self._held_until = time.monotonic() + HOLD_SECONDS

    def start(self, path: str, start_frame: int, take_number: int, first_sample: int) -> None:
        """Begin a take at a 64-bit JACK frame; raises `ConflictError` if one runs or the ring does not reach so far."""
        if first_sample > MAX_FIRST_SAMPLE:
            raise InvalidValueError(
                f"{self._definition.uri} cannot start at sample position {first_sample}: it must be at most "
                f"{MAX_FIRST_SAMPLE}, so that there is room after it",
                first_sample=first_sample,
            )
        if self._take is not None:
            raise ConflictError(f"{self._definition.uri} is recording already", uri=self._definition.uri)
        if self._input is None:
            raise UnreachableError(f"{self._definition.uri} cannot start: there is no JACK server")
        feed = self._input.feed
        try:
            self._held_until = 0.0
            start_frame = self._check_start(feed, start_frame, feed.take_over())
            self._add_spare(path)
        except JackCaptureError:
            feed.let_go()
            raise
        self._take = RunningTake(take_number, start_frame, first_sample, first_sample, unmarked_frame=start_frame)
        self.state = replace(
            self.state,
            status=StreamStatus.RECORDING,
            take_number=take_number,
            start_frame=start_frame,
            first_sample=first_sample,
            head_sample=first_sample,
            head_bytes=0,
            lost_frames=0,
            gap_count=0,
            clipped_samples=0,
            error="",
        )
        self.advance()

    def add_spare(self, path: str) -> None:
        """Take one more spare chunk."""
        if self._take is None:
            raise ConflictError(f"{self._definition.uri} does not record, so it needs no chunk", path=path)
        self._add_spare(path)
        self.advance()

    def stop(self, stop_frame: int, on_stopped: Callable[[], None]) -> None:
        """End the take before a frame; `on_stopped` is called once its last frame is in its chunk."""
        take = self._take
        if take is None:
            raise ConflictError(f"{self._definition.uri} is not recording", uri=self._definition.uri)
        if len(take.on_stopped) >= MAX_STOPS:
            raise ConflictError(
                f"{self._definition.uri} is being stopped, and {MAX_STOPS} callers wait for that already",
                uri=self._definition.uri,
            )
        self._held_frame = None
        if take.stop_position is None:
            if stop_frame == AT_ONCE:
                stop_frame = take.frame if self._input is None else self._input.feed.refresh()
            newest_frame = self._newest_frame(take)
            self._check_ahead("stop", stop_frame, newest_frame)
            take.stop_position = max(take.position, take.first_sample + stop_frame - take.start_frame)
            ahead = max(0, stop_frame - newest_frame)
            take.stop_deadline = time.monotonic() + ahead / self._definition.sample_rate + STOP_PATIENCE
        take.on_stopped.append(on_stopped)
        self.advance()

    def release(self, path: str) -> None:
        """Forget a finished chunk: control has sealed it."""
        self._done = [done for done in self._done if done.path != path]
        self._update_state()

    def plug(self, feed: Feed, clock: EngineClock, keep: Callable[[StreamState], None]) -> None:
        """Take frames from the feed of a ring that has seen its first cycle."""
        self._input = _Input(feed, clock, keep)
        self._update_state()

    def adopt(self, feed: Feed, keep: Callable[[StreamState], None], state: StreamState) -> None:
        """Go on where an engine that died left off: with its unsealed chunks, and in its take, if one ran.

        `feed` is of its ring, made whole, and `state` what it wrote last. A take whose chunk is gone ends.
        """
        self._input = _Input(feed, None, keep)
        self._done = list(state.chunks_done)
        self.state = replace(state, ports=(), absent_sources=())
        if state.status not in RUNNING:
            feed.let_go()  # a ring that was held for a start that never came
            self._update_state()
            return
        frame = feed.resume()
        self._take = resumed_take(state, frame)
        try:
            for path in state.spares:
                self._add_spare(path)
            if state.chunk.path:
                self._chunk = resumed_chunk(self._definition, state, feed, self._take)
        except JackCaptureError as error:
            self.abandon(f"the engine died, and a chunk of its take is gone: {error.message}")
            return
        self.state = replace(self.state, error="the engine died; the take goes on when JACK is there")
        self.advance()

    def suspend(self, reason: str) -> None:
        """Take note that nothing comes for the present; a take waits."""
        self.advance()
        if self._take is not None:
            reason = f"{reason}; the take goes on when JACK is back"
            self.state = replace(self.state, error=reason)
            self._publish(StreamError(self._definition.uri, reason, recoverable=True))

    def resume(self, clock: EngineClock) -> None:
        """Go on under another server, whose frames come through the same ring."""
        assert self._input is not None
        self._input = replace(self._input, clock=clock)
        if self._take is not None:
            self.state = replace(self.state, error="")

    def unplug(self, reason: str) -> None:
        """Let go of the ring; a take ends with all that the ring holds, and with `reason` as its error."""
        self.advance()
        self.abandon(reason)
        self._input = None

    def abandon(self, reason: str) -> None:
        """End the take with what is in chunks, and report why."""
        if self._take is not None:
            self._finish_take(reason)

    def close(self) -> None:
        """Unmap everything; the take must have ended."""
        while self._spares:
            self._spares.popleft().close()

    # --- the work ---

    def advance(self) -> None:
        """Move what the ring holds to the chunks, as far as there are chunks."""
        source, take = self._input, self._take
        if source is None:
            return
        settled_frame = source.feed.refresh()
        if source.clock is not None:
            source.clock.refresh()  # later: all marks before the settled frame are then visible
        self._end_hold(source)
        if take is None:
            source.feed.rest(settled_frame)
            return
        if not take.begun:
            # Until the start frame has come, what came is dropped.
            source.feed.seek(min(settled_frame, take.start_frame))
            take.begun = settled_frame > take.start_frame
        starved = False
        while take.begun and self._has_more(source, take, settled_frame):
            if self._chunk is None and not self._open_chunk(take):
                starved = True
                break
            self._move(source, take, settled_frame)
        if take.position == take.stop_position:
            self._finish_take("")
        elif time.monotonic() > take.stop_deadline:
            self._finish_take(
                f"the take ends at position {take.position}: no chunk came for the rest" if starved else ""
            )
        else:
            self._update_state(StreamStatus.STARVED if starved else StreamStatus.RECORDING)

    def _end_hold(self, source: _Input) -> None:
        """Let go of what is held, if no start or stop came in time, or if it fills the ring and JACK does not wait."""
        if not self._held_until:
            return
        is_short = source.feed.is_nearly_full() if self._take is None else source.feed.ring.fill > MAX_HELD_FILL
        if time.monotonic() > self._held_until or (is_short and not _is_freewheeling(source)):
            self._held_until, self._held_frame = 0.0, None
            if self._take is None:
                source.feed.let_go()

    def _check_start(self, feed: Feed, start_frame: int, oldest_frame: int) -> int:
        """Give the frame to start at; all from the oldest frame on is held."""
        now = feed.refresh()
        if start_frame == AT_ONCE:
            return now
        self._check_ahead("start", start_frame, now)
        if start_frame < oldest_frame:
            seconds = (now - oldest_frame) / self._definition.sample_rate
            raise ConflictError(
                f"{self._definition.uri} cannot start at frame {start_frame}: its ring goes back to frame "
                f"{oldest_frame}, {now - oldest_frame} frames ({seconds:.2f} s) before now",
                oldest_frame=oldest_frame,
                frame=now,
            )
        return start_frame

    def _check_ahead(self, what: str, frame: int, now: int) -> None:
        if frame > now + MAX_START_AHEAD_SECONDS * self._definition.sample_rate:
            raise InvalidValueError(
                f"{self._definition.uri} cannot {what} at frame {frame}: JACK is at frame {now}, and a {what} may lie "
                f"at most {MAX_START_AHEAD_SECONDS} s after that",
                frame=now,
            )

    def _newest_frame(self, take: RunningTake) -> int:
        """Give the 64-bit JACK frame that JACK has come to, also while it does not reach the ring."""
        clock = None if self._input is None else self._input.clock
        observation = None if clock is None else clock.observe()
        return take.frame if observation is None else max(take.frame, observation.frame)

    def _has_more(self, source: _Input, take: RunningTake, settled_frame: int) -> bool:
        if take.position == take.stop_position:
            return False  # not even a gap that begins here belongs to the take
        if self._held_frame is not None and take.frame >= self._held_frame:
            return False
        return take.lost_left > 0 or take.frame < settled_frame

    def _move(self, source: _Input, take: RunningTake, settled_frame: int) -> None:
        """Move what comes next, up to the next gap, its end, the next mark, the end of the chunk, or the stop."""
        chunk, frame = self._chunk, take.frame
        assert chunk is not None
        if take.lost_left == 0 and (gap := source.feed.gap_at(frame)) is not None:
            self._enter_gap(take, chunk, gap)
        end = frame + take.lost_left
        if not take.lost_left:
            next_gap = source.feed.next_gap(frame)
            end = settled_frame if next_gap is None else min(next_gap, settled_frame)
        if take.stop_position is not None:
            end = min(end, frame + take.stop_position - take.position)
        if self._held_frame is not None:
            end = min(end, self._held_frame)
        written = take.position - chunk.first_sample
        end = min(end, frame + self._definition.chunk_frames - written)
        next_mark = self._pass_mark(source, take, chunk)
        end = end if next_mark is None else min(end, next_mark)
        is_lost = take.lost_left > 0
        moved = source.feed.move(frame, end - frame, take.position, chunk.file, chunk.bytes, lost=is_lost)
        if is_lost:
            take.lost_left -= moved.frames
        take.position += moved.frames
        take.bytes += moved.bytes
        take.clipped_samples += moved.clipped_samples
        chunk.bytes += moved.bytes
        chunk.clipped_samples += moved.clipped_samples
        if moved.is_full or take.position - chunk.first_sample == self._definition.chunk_frames:
            self._finish_chunk(take)

    def _enter_gap(self, take: RunningTake, chunk: OpenChunk, ring_gap: RingGap) -> None:
        frames = ring_gap.end_frame - take.frame
        if take.stop_position is not None:
            frames = min(frames, take.stop_position - take.position)
        gap = Gap(take.position, frames, ring_gap.cause)
        take.lost_left = frames
        take.lost_frames += frames
        take.gap_count += 1
        chunk.gaps.append(gap)
        self._publish(StreamGap(self._definition.uri, gap))

    def _pass_mark(self, source: _Input, take: RunningTake, chunk: OpenChunk) -> int | None:
        """Keep the marks up to the take's frame, those that are of use; give the frame of the next one.

        There is more than one at a server's return: what comes is moved before its clock is there.
        """
        if source.clock is None:
            return None
        mark = source.clock.mark_from(take.unmarked_frame)
        while mark is not None and mark.frame <= take.frame:
            take.unmarked_frame = mark.frame + 1
            take.last_mark = mark, source.feed.midi_clock()
            if mark.reasons or mark.monotonic_us >= take.snapshot_due_us:
                also = () if take.snapshot_due_us else (ClockReason.TAKE,)
                take.snapshot_due_us = mark.monotonic_us + SNAPSHOT_INTERVAL_US
                chunk.clocks.append(
                    mark.snapshot(take.start_frame, take.first_sample, source.feed.midi_clock(), also=also)
                )
            mark = source.clock.mark_from(take.unmarked_frame)
        return None if mark is None else mark.frame

    def _add_spare(self, path: str) -> None:
        known = [spare.path for spare in self._spares] + [done.path for done in self._done]
        if path in known or (self._chunk is not None and path == self._chunk.file.path):
            raise ConflictError(f"chunk {path} is in use by {self._definition.uri} already", path=path)
        self._spares.append(ChunkFile(path, self._definition.chunk_size_bytes, overview_room(self._definition)))

    def _open_chunk(self, take: RunningTake) -> bool:
        if not self._spares:
            return False
        file = self._spares.popleft()
        self._chunk = OpenChunk(file, take.position)
        self._update_state()  # before anything is moved to it
        return True

    def _keep(self) -> None:
        """Leave what the next engine needs, should this one die.

        At once when chunks come or go; gaps and clock snapshots at most once a second: they may be many, and the ring
        remembers more gaps than that.
        """
        state, now = self.state, time.monotonic()
        chunks = (state.status, state.take_number, state.chunk.path, len(state.chunks_done), len(state.spares))
        if self._input is not None and (chunks != self._kept or now >= self._keep_due):
            self._input.keep(state)
            self._kept, self._keep_due = chunks, now + KEEP_INTERVAL

    def _finish_chunk(self, take: RunningTake) -> None:
        chunk = self._chunk
        assert chunk is not None
        clock = None if self._input is None else self._input.clock
        observation = None if clock is None else clock.observe()
        self._note_end(take, chunk, observation)
        samples = take.position - chunk.first_sample
        chunk.file.close()
        self._chunk = None
        full = StreamChunkFull(
            stream_uri=self._definition.uri,
            path=chunk.file.path,
            bytes_written=chunk.bytes,
            samples_written=samples,
            wall_clock_ns=self._wall_clock(take, observation),
            take_number=take.number,
            chunk_index=take.chunk_index,
            first_sample=chunk.first_sample,
            gaps=tuple(chunk.gaps),
            clocks=tuple(chunk.clocks),
            clipped_samples=chunk.clipped_samples,
        )
        take.chunk_index += 1
        self._done.append(full)
        self._publish(full)

    def _note_end(self, take: RunningTake, chunk: OpenChunk, newest: Observation | None) -> None:
        """Keep a clock snapshot for the end of a chunk: of the newest cycle.

        Of MIDI, of the last mark that was passed: MIDI clock is known so far.
        """
        end = None if newest is None else (newest, NO_MIDI_CLOCK)
        if not self._definition.is_audio:
            end = take.last_mark
        if end is None:
            return
        observation, midi_clock = end
        if observation.frame < take.start_frame:
            # The take began in that cycle; or after a server's last one, and the clock of the next is not there yet.
            inside = observation.later(take.start_frame)
            if inside is None:
                return
            observation = inside
        observation = replace(observation, reasons=(*observation.reasons, ClockReason.TAKE))
        snapshot = observation.snapshot(take.start_frame, take.first_sample, midi_clock)
        if all(known.sample_position != snapshot.sample_position for known in chunk.clocks):
            chunk.clocks.append(snapshot)

    def _finish_take(self, error: str) -> None:
        take = self._take
        assert take is not None
        take.lost_frames -= take.lost_left  # a gap that was entered and that the take does not reach to the end of
        if self._input is not None:
            self._input.feed.let_go()
        if self._chunk is not None:
            if take.position > self._chunk.first_sample:
                self._finish_chunk(take)
            else:
                self._chunk.file.close()
                self._chunk = None
        self._take = self._held_frame = None
        self.close()  # the spares; control discards what it finds unused
        self._update_state(StreamStatus.ERROR if error else StreamStatus.STOPPED, take, error)
        if error:
            self._publish(StreamError(self._definition.uri, error, recoverable=False))
        for stopped in take.on_stopped:
            stopped()

    def _wall_clock(self, take: RunningTake, observation: Observation | None) -> int:
        if observation is None:
            return 0
        return observation.wall_clock_of(take.frame)

    def _update_state(
        self, status: StreamStatus | None = None, ended: RunningTake | None = None, error: str | None = None
    ) -> None:
        take, chunk = self._take or ended, self._chunk
        state = replace(
            self.state,
            status=status or self.state.status,
            chunks_done=tuple(self._done),
            spares=tuple(spare.path for spare in self._spares),
            chunk=ChunkInProgress(),
            gaps=(),
            clocks=(),
            error=self.state.error if error is None else error,
        )
        if take is not None:
            state = replace(
                state,
                head_sample=take.position,
                head_bytes=take.bytes,
                lost_frames=take.lost_frames,
                gap_count=take.gap_count,
                clipped_samples=take.clipped_samples,
            )
            if chunk is not None:
                samples = take.position - chunk.first_sample
                state = replace(
                    state,
                    chunk=ChunkInProgress(chunk.file.path, take.chunk_index, chunk.first_sample, samples, chunk.bytes),
                    gaps=tuple(chunk.gaps),
                    clocks=tuple(chunk.clocks),
                )
        self.state = state
        self._keep()


def _is_freewheeling(source: _Input) -> bool:
    observation = None if source.clock is None else source.clock.observe()
    return observation is not None and observation.is_freewheeling
