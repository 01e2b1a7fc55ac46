"""A recorder on the ring of a core harness, with chunks as control would send them, and the judge of its takes."""

import os
from pathlib import Path
from typing import Any

from jackcapture.engine.feeds import make_feed
from jackcapture.engine.recorder import Recorder
from jackcapture.model.overviews import overview_bytes, overview_path, overview_room
from jackcapture.model.streams import AudioFormat, SampleFormat, StreamDefinition
from jackcapture.model.takes import StreamStatus
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol.messages import AT_ONCE, Event, StreamChunkFull, StreamGap, StreamState
from parts.core_harness import RATE, Attached, CoreHarness, as_stored
from parts.overviews import check_overview_bytes

CAPACITY = 1024
"""Frames of the ring."""

MARGIN = 256
"""In place of START_MARGIN_FRAMES: more than the callback does between two looks of the writer."""


class Rig:
    """A recorder, its ring on a harness, its chunks, and the judge of its takes."""

    def __init__(self, channels: int, sample_format: SampleFormat, chunk_bytes: int, first_frame: int) -> None:
        uri = parse_stream_uri("stream://rig/main")
        audio = AudioFormat(RATE, channels, sample_format)
        self.definition = StreamDefinition(uri, "a rig", audio, chunk_bytes)
        self.harness = CoreHarness(first_frame)
        self.events: list[Event] = []
        self.kept: list[StreamState] = []
        self.recorder = Recorder(self.definition, self.events.append)
        self.attached: Attached = self.harness.attach(channels, CAPACITY)
        self.harness.cycle(1)
        self.recorder.plug(make_feed(self.attached.ring, self.definition, 1.0), self.harness.clock, self.kept.append)
        self.take_events = 0  # events before the present take
        self.stopped: list[bool] = []
        self.may_be_held = False  # since the last take
        self._files = 0

    def close(self) -> None:
        """Remove everything."""
        self.recorder.abandon("the rig is taken down")
        self.harness.__exit__(None, None, None)

    def chunk(self, size: int | None = None) -> str:
        """A fresh staging chunk, with its overview."""
        self._files += 1
        path = str(self.harness.folder / f"chunk{self._files}")
        room = self.definition.chunk_size_bytes if size is None else size
        for name, length in ((path, room), (overview_path(path), overview_room(self.definition))):
            with open(name, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, length)
        return path

    def hold(self, frames: int) -> None:
        """Have the ring held for a start."""
        self.may_be_held = True
        self.recorder.hold(frames)

    def start(self, start_frame: int = AT_ONCE, take_number: int = 1, first_sample: int = 0) -> None:
        """Begin a take in a fresh chunk."""
        self.take_events = len(self.events)
        self.stopped = []
        self.may_be_held = False
        self.recorder.start(self.chunk(), start_frame, take_number, first_sample)

    @property
    def status(self) -> StreamStatus:
        """What the stream does."""
        return self.recorder.state.status

    def stop(self, stop_frame: int = AT_ONCE) -> None:
        """End the take."""
        self.recorder.stop(stop_frame, lambda: self.stopped.append(True))

    def told(self, kind: type) -> list[Any]:
        """The events of a kind since the take began."""
        return [event for event in self.events[self.take_events :] if isinstance(event, kind)]

    def check_state(self) -> None:
        """What the state says agrees with itself and with the events."""
        state = self.recorder.state
        chunks = self.told(StreamChunkFull)
        frame_bytes = self.definition.audio.frame_bytes
        kept = sum(chunk.samples_written for chunk in chunks) + state.chunk.samples
        assert state.head_sample == state.first_sample + kept
        assert state.head_bytes == kept * frame_bytes
        assert state.chunk.bytes == state.chunk.samples * frame_bytes
        if state.chunk.path:
            assert state.chunk.index == len(chunks)
            assert state.chunk.first_sample + state.chunk.samples == state.head_sample
        else:
            assert (state.gaps, state.clocks, state.chunk.samples) == ((), (), 0)
        gaps = [gap for chunk in chunks for gap in chunk.gaps] + list(state.gaps)
        assert [event.gap for event in self.told(StreamGap)] == gaps
        assert state.gap_count == len(gaps)
        if state.status is StreamStatus.RECORDING:
            assert state.lost_frames == sum(gap.frames for gap in gaps)
        if state.status is StreamStatus.STARVED:
            assert (state.chunk.path, state.spares) == ("", ())

    def check_take(self, *, overviews: bool = True) -> tuple[int, int]:
        """Judge the take that has ended, and its overviews; returns its frames [start, end)."""
        self.check_state()
        state, audio = self.recorder.state, self.definition.audio
        assert state.chunk.path == ""
        assert state.spares == ()
        assert self.may_be_held or not self.attached.ring.pointer.guarded
        position, data = state.first_sample, b""
        chunks: list[StreamChunkFull] = self.told(StreamChunkFull)
        for index, chunk in enumerate(chunks):
            assert (chunk.chunk_index, chunk.take_number) == (index, state.take_number)
            assert chunk.first_sample == position
            assert chunk.bytes_written == chunk.samples_written * audio.frame_bytes > 0
            if index < len(chunks) - 1:
                assert chunk.samples_written == self.definition.chunk_frames
            for gap in chunk.gaps:
                assert position <= gap.position < position + chunk.samples_written
            for clock in chunk.clocks:
                assert clock.sample_position - state.first_sample == clock.jack_frame - state.start_frame
            assert chunk.clocks
            written = Path(chunk.path).read_bytes()
            assert not any(written[chunk.bytes_written :])
            data += written[: chunk.bytes_written]
            if overviews:
                self._check_overview(chunk)
            position += chunk.samples_written
        assert position == state.head_sample
        start, end = state.start_frame, state.start_frame + state.head_sample - state.first_sample
        assert data == as_stored(self.attached.truth(start, end), audio.sample_format)
        true_gaps = self.attached.gaps(start, end)
        gaps = [gap for chunk in chunks for gap in chunk.gaps]
        place = state.start_frame - state.first_sample
        assert [(place + gap.position, gap.cause) for gap in gaps] == [(at, cause) for at, _, cause in true_gaps]
        for gap, (_, frames, _) in zip(gaps[:-1], true_gaps[:-1], strict=True):
            assert gap.frames == frames
        if gaps:  # one that had begun when the stop came may reach beyond it
            assert min(gaps[-1].frames, position - gaps[-1].position) == true_gaps[-1][1]
        assert state.lost_frames == sum(frames for _, frames, _ in true_gaps)
        return start, end

    def _check_overview(self, chunk: StreamChunkFull) -> None:
        """The overview beside a chunk is that of the frames before they were converted."""
        start = chunk.first_sample - self.recorder.state.first_sample + self.recorder.state.start_frame
        samples = self.attached.truth(start, start + chunk.samples_written)
        size = overview_bytes(*samples.shape)
        written = Path(overview_path(chunk.path)).read_bytes()
        check_overview_bytes(written[:size], samples)
        assert not any(written[size:])
