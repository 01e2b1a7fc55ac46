"""What the writer thread does for one attached stream: takes, chunks, gaps and clock snapshots.

A sample position is `frame - start frame + first sample` of its take, always: what JACK lost is left as silence in
the chunk (staging files are preallocated and so read as zero) and kept as a gap.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from jackcapture.engine.chunks import ChunkFile
from jackcapture.engine.clock import EngineClock, Observation
from jackcapture.engine.overview import OverviewWriter
from jackcapture.engine.ring import START_MARGIN_FRAMES, Ring, RingGap
from jackcapture.engine.timeline import Timeline
from jackcapture.errors import ConflictError, JackCaptureError, UnreachableError
from jackcapture.model.overviews import overview_room
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.takes import ClockSnapshot, Gap, StreamStatus
from jackcapture.protocol.messages import (
    AT_ONCE,
    ChunkInProgress,
    Event,
    StreamChunkFull,
    StreamError,
    StreamGap,
    StreamState,
)

SNAPSHOT_INTERVAL_NS = 1_000_000_000
STOP_PATIENCE = 2.0
"""Seconds that a stop waits for a spare chunk, or for a JACK server that has stalled, before it ends the take."""


@dataclass(slots=True)
class _Take:
    """The take that runs: where the writer stands in it."""

    number: int
    start_frame: int
    first_sample: int
    consumed: int  # delivered frames taken from the ring
    position: int  # sample position of the next frame to write
    gaps_ahead: deque[RingGap] = field(default_factory=deque)
    silence_left: int = 0  # of the gap at `position`
    begun: bool = False  # the start frame has been delivered
    stop_position: int | None = None
    stop_deadline: float = math.inf  # on time.monotonic
    on_stopped: list[Callable[[], None]] = field(default_factory=list)
    chunk_index: int = 0
    lost_frames: int = 0
    gap_count: int = 0
    snapshot_due_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Input:
    """Where frames come from while there is a JACK server."""

    ring: Ring
    clock: EngineClock
    timeline: Timeline


@dataclass(slots=True)
class _OpenChunk:
    file: ChunkFile
    overview: OverviewWriter
    first_sample: int
    gaps: list[Gap] = field(default_factory=list)
    clocks: list[ClockSnapshot] = field(default_factory=list)


class Recorder:
    """Records one stream. Writer thread only, but for `state`, which is replaced as a whole: read it anywhere."""

    def __init__(self, definition: StreamDefinition, publish: Callable[[Event], None]) -> None:
        self._definition = definition
        self._publish = publish
        self._input: _Input | None = None
        self._take: _Take | None = None
        self._chunk: _OpenChunk | None = None
        self._spares: deque[ChunkFile] = deque()
        self._done: list[StreamChunkFull] = []
        self.state = StreamState(definition.uri, StreamStatus.STOPPED, definition)

    # --- requests ---

    def start(self, path: str, start_frame: int, take_number: int, first_sample: int) -> None:
        """Begin a take at a 64-bit JACK frame; raises `ConflictError` if one runs or the ring does not reach so far."""
        if self._take is not None:
            raise ConflictError(f"{self._definition.uri} is recording already", uri=self._definition.uri)
        if self._input is None:
            raise UnreachableError(f"{self._definition.uri} cannot start: there is no JACK server")
        ring = self._input.ring
        reach = max(0, ring.delivered - ring.capacity + START_MARGIN_FRAMES)
        ring.guard(reach)  # first of all: what is judged to be there must not be overwritten meanwhile
        try:
            start_frame = self._check_start(self._input, start_frame, reach)
            self._add_spare(path)
        except JackCaptureError:
            ring.unguard()
            raise
        self._take = _Take(take_number, start_frame, first_sample, 0, first_sample)
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
        if take.stop_position is None:
            if stop_frame == AT_ONCE:
                stop_frame = self._newest_frame(take)
            take.stop_position = max(take.position, take.first_sample + stop_frame - take.start_frame)
            wait = (take.stop_position - take.position) / self._definition.audio.sample_rate + STOP_PATIENCE
            take.stop_deadline = time.monotonic() + wait
        take.on_stopped.append(on_stopped)
        self.advance()

    def release(self, path: str) -> None:
        """Forget a finished chunk: control has sealed it."""
        self._done = [done for done in self._done if done.path != path]
        self._update_state()

    def plug(self, ring: Ring, clock: EngineClock) -> None:
        """Take frames from this ring, which has seen its first cycle."""
        self._input = _Input(ring, clock, Timeline(ring.first_frame))

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
        delivered = source.ring.delivered  # read first: all gaps before it are then visible
        self._take_gaps(source, take)
        # What the ring still holds, also of an earlier take, may be asked for by a start in the past.
        source.timeline.forget_before(delivered - source.ring.capacity)
        if take is None:
            return
        if not take.begun:
            self._begin(source, take, delivered)
        self._observe(source, take)
        starved = False
        while (frames := self._run_length(take, delivered)) > 0:
            if self._chunk is None and not self._open_chunk(take):
                starved = True
                break
            self._move(source, take, frames)
        if take.position == take.stop_position:
            self._finish_take("")
        elif time.monotonic() > take.stop_deadline:
            self._finish_take(
                f"the take ends at position {take.position}: no chunk came for the rest" if starved else ""
            )
        else:
            self._update_state(StreamStatus.STARVED if starved else StreamStatus.RECORDING)

    def _check_start(self, source: _Input, start_frame: int, reach: int) -> int:
        """Give the frame to start at; the ring is guarded from `reach` on, if it held that when it was asked to."""
        ring, timeline = source.ring, source.timeline
        delivered = ring.delivered
        timeline.add(ring.take_gaps())
        now = timeline.frame_after(delivered)
        if start_frame == AT_ONCE:
            return now
        oldest_delivered = max(reach, delivered - ring.capacity + START_MARGIN_FRAMES)
        oldest = ring.first_frame if oldest_delivered == 0 else timeline.frame_after(oldest_delivered)
        if start_frame < oldest:
            raise ConflictError(
                f"{self._definition.uri} cannot start at frame {start_frame}: its ring goes back to frame {oldest}, "
                f"{now - oldest} frames ({(now - oldest) / self._definition.audio.sample_rate:.2f} s) before now",
                oldest_frame=oldest,
                frame=now,
            )
        return start_frame

    def _take_gaps(self, source: _Input, take: _Take | None) -> None:
        gaps = source.ring.take_gaps()
        source.timeline.add(gaps)
        if take is not None and take.begun:
            take.gaps_ahead.extend(gaps)

    def _newest_frame(self, take: _Take) -> int:
        """Give the 64-bit JACK frame after the newest that was delivered."""
        if self._input is None:
            return take.start_frame + take.position - take.first_sample
        delivered = self._input.ring.delivered
        self._take_gaps(self._input, take)
        return self._input.timeline.frame_after(delivered)

    def _begin(self, source: _Input, take: _Take, delivered: int) -> None:
        """Begin to take frames from the ring, once the start frame has come."""
        if source.timeline.frame_after(delivered) <= take.start_frame:
            take.consumed = delivered
            source.ring.consume(delivered)
            return
        take.consumed, gap, left = source.timeline.locate(take.start_frame)
        source.ring.consume(take.consumed)
        take.begun = self._open_chunk(take)
        # A gap right at `consumed` is the one in which the start frame lies, or one that ends before it.
        take.gaps_ahead.extend(source.timeline.gaps_after(take.consumed))
        if gap is not None and take.position != take.stop_position:
            self._enter_gap(take, replace(gap, frames=left))

    def _enter_gap(self, take: _Take, ring_gap: RingGap) -> None:
        assert self._chunk is not None
        frames = ring_gap.frames
        if take.stop_position is not None:
            frames = min(frames, take.stop_position - take.position)
        gap = Gap(take.position, frames, ring_gap.cause)
        take.silence_left = frames
        take.lost_frames += frames
        take.gap_count += 1
        self._chunk.gaps.append(gap)
        self._publish(StreamGap(self._definition.uri, gap))

    def _run_length(self, take: _Take, delivered: int) -> int:
        """Frames that can be written in one go: up to the next gap, its end, the stop or the newest frame."""
        if take.position == take.stop_position:
            return 0  # not even a gap that begins here belongs to the take
        if take.silence_left == 0 and take.gaps_ahead and take.gaps_ahead[0].delivered == take.consumed:
            if self._chunk is None and not self._open_chunk(take):
                return 1  # starved; the gap belongs to the chunk that is still to come
            self._enter_gap(take, take.gaps_ahead.popleft())
        if take.silence_left:
            frames = take.silence_left
        elif take.gaps_ahead:
            frames = min(take.gaps_ahead[0].delivered, delivered) - take.consumed
        else:
            frames = delivered - take.consumed
        if take.stop_position is not None:
            frames = min(frames, take.stop_position - take.position)
        return frames

    def _move(self, source: _Input, take: _Take, frames: int) -> None:
        assert self._chunk is not None
        audio = self._definition.audio
        written = take.position - self._chunk.first_sample
        frames = min(frames, self._definition.chunk_frames - written)
        if take.silence_left:
            take.silence_left -= frames
            self._chunk.overview.add_silence(frames)
        else:
            address = self._chunk.file.address + written * audio.frame_bytes
            source.ring.read(take.consumed, frames, audio.sample_format, address)
            self._chunk.overview.add(source.ring, take.consumed, frames)
            take.consumed += frames
            source.ring.consume(take.consumed)
        take.position += frames
        if written + frames == self._definition.chunk_frames:
            self._finish_chunk(take)

    def _add_spare(self, path: str) -> None:
        known = [spare.path for spare in self._spares] + [done.path for done in self._done]
        if path in known or (self._chunk is not None and path == self._chunk.file.path):
            raise ConflictError(f"chunk {path} is in use by {self._definition.uri} already", path=path)
        self._spares.append(ChunkFile(path, self._definition.chunk_size_bytes, overview_room(self._definition)))

    def _open_chunk(self, take: _Take) -> bool:
        if not self._spares:
            return False
        file = self._spares.popleft()
        overview = OverviewWriter(file.overview_address, self._definition.audio.channels)
        self._chunk = _OpenChunk(file, overview, take.position)
        return True

    def _finish_chunk(self, take: _Take) -> None:
        chunk = self._chunk
        assert chunk is not None
        observation = None if self._input is None else self._input.clock.observe()
        if observation is not None:
            chunk.clocks.append(observation.snapshot(take.start_frame, take.first_sample))
        samples = take.position - chunk.first_sample
        chunk.file.close()
        self._chunk = None
        full = StreamChunkFull(
            stream_uri=self._definition.uri,
            path=chunk.file.path,
            bytes_written=samples * self._definition.audio.frame_bytes,
            samples_written=samples,
            wall_clock_ns=self._wall_clock(take, observation),
            take_number=take.number,
            chunk_index=take.chunk_index,
            first_sample=chunk.first_sample,
            gaps=tuple(chunk.gaps),
            clocks=tuple(chunk.clocks),
        )
        take.chunk_index += 1
        self._done.append(full)
        self._publish(full)

    def _finish_take(self, error: str) -> None:
        take = self._take
        assert take is not None
        take.lost_frames -= take.silence_left  # a gap that was entered and that the take does not reach to the end of
        if self._input is not None:
            self._input.ring.unguard()
        if self._chunk is not None:
            if take.position > self._chunk.first_sample:
                self._finish_chunk(take)
            else:
                self._chunk.file.close()
                self._chunk = None
        self._take = None
        self.close()  # the spares; control discards what it finds unused
        self._update_state(StreamStatus.ERROR if error else StreamStatus.STOPPED, take, error)
        if error:
            self._publish(StreamError(self._definition.uri, error, recoverable=False))
        for stopped in take.on_stopped:
            stopped()

    def _observe(self, source: _Input, take: _Take) -> None:
        """Keep about one clock snapshot a second."""
        now = time.monotonic_ns()
        if now < take.snapshot_due_ns or self._chunk is None:
            return
        observation = source.clock.observe()
        if observation is None:
            return
        take.snapshot_due_ns = now + SNAPSHOT_INTERVAL_NS
        self._chunk.clocks.append(observation.snapshot(take.start_frame, take.first_sample))

    def _wall_clock(self, take: _Take, observation: Observation | None) -> int:
        if observation is None:
            return 0
        return observation.wall_clock_of(take.start_frame + take.position - take.first_sample)

    def _update_state(
        self, status: StreamStatus | None = None, ended: _Take | None = None, error: str | None = None
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
            frame_bytes = self._definition.audio.frame_bytes
            state = replace(
                state,
                head_sample=take.position,
                head_bytes=(take.position - take.first_sample) * frame_bytes,
                lost_frames=take.lost_frames,
                gap_count=take.gap_count,
            )
            if chunk is not None:
                samples = take.position - chunk.first_sample
                state = replace(
                    state,
                    chunk=ChunkInProgress(
                        chunk.file.path, take.chunk_index, chunk.first_sample, samples, samples * frame_bytes
                    ),
                    gaps=tuple(chunk.gaps),
                    clocks=tuple(chunk.clocks),
                )
        self.state = state
