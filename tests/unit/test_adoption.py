"""A take after its engine's death, at whatever place in the callback it died: every settled frame, and one hole."""

from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.engine import _rt
from jackcapture.engine import feeds as feeds_module
from jackcapture.engine.feeds import make_feed
from jackcapture.engine.recorder import Recorder
from jackcapture.model.streams import SampleFormat
from jackcapture.model.takes import GapCause, StreamStatus
from parts.core_harness import as_stored, samples_at
from parts.recorder_rig import MARGIN, Rig

ffi, lib = _rt.ffi, _rt.lib

STORED = (
    *("gaps_pushed", "lost_pending", "delivered", "settled_frame"),
    *("cycle_usecs", "cycle_frames", "next_frame32", "next_frame", "cycles"),
)
"""What the callback writes into the ring's head in a cycle, in this order."""

SETTLED = STORED.index("settled_frame") + 1

Steps = list[tuple[int, int, bool]]
"""(frames skipped, frames of the cycle, whether the writer looks after it)"""

steps = st.lists(
    st.tuples(st.integers(0, 1).flatmap(lambda lost: st.just(0) if lost else st.integers(0, 30)), st.integers(1, 96),
              st.booleans()),
    min_size=1, max_size=12,
)  # fmt: skip


def supply(rig: Rig, recorder: Recorder) -> None:
    """Give a recorder spares, as control would."""
    while recorder.state.status in (StreamStatus.RECORDING, StreamStatus.STARVED) and len(recorder.state.spares) < 3:
        recorder.add_spare(rig.chunk())


def run(rig: Rig, recorder: Recorder, cycles: Steps, lost: list[tuple[int, int, GapCause]]) -> None:
    """Run cycles, and note what they skip."""
    for skipped, frames, is_seen in cycles:
        if skipped:
            lost.append((rig.harness.frame, rig.harness.frame + skipped, GapCause.XRUN))
        rig.harness.cycle(frames, skipped=skipped)
        if is_seen or recorder is not rig.recorder:
            supply(rig, recorder)
            recorder.advance()


@given(
    before=steps,
    after=steps,
    hole=st.integers(1, 5000),
    stage=st.integers(0, len(STORED)),
    sample_format=st.sampled_from(SampleFormat),
    first_frame=st.sampled_from([1000, (1 << 32) - 300]),
)
@settings(max_examples=150)
def test_the_next_engine_goes_on_where_the_callback_died(
    before: Steps, after: Steps, hole: int, stage: int, sample_format: SampleFormat, first_frame: int
) -> None:
    """The engine died in the last cycle of `before`, when the callback had stored the first `stage` fields."""
    with mock.patch.object(feeds_module, "START_MARGIN_FRAMES", MARGIN):
        rig = Rig(2, sample_format, 4096, first_frame)
        try:
            rig.start()
            start = rig.recorder.state.start_frame
            lost: list[tuple[int, int, GapCause]] = []
            run(rig, rig.recorder, before[:-1], lost)
            head = rig.attached.ring.pointer
            values = {name: getattr(head, name) for name in STORED}
            last = rig.harness.frame
            run(rig, rig.recorder, [(*before[-1][:2], False)], lost)
            for name in STORED[stage:]:
                setattr(head, name, values[name])
            is_kept = stage >= SETTLED
            if not is_kept and before[-1][0]:
                lost.pop()  # it is the beginning of the hole
            begin = rig.harness.frame if is_kept else last

            shared = ffi.new("jc_stream *")
            rig.attached.ring.adopt(shared)
            rig.attached.ring.lost = sum(gap.frames for gap in rig.attached.ring.known_gaps())
            shared.ports = rig.attached.ports
            rig.attached.shared = shared
            lib.jc_set_stream(rig.harness.core, rig.attached.slot, shared)
            recorder = Recorder(rig.definition, rig.events.append)
            feed = make_feed(rig.attached.ring, rig.definition, 1.0, adopted=True)
            recorder.adopt(feed, rig.kept.append, rig.kept[-1])
            assert recorder.state.status in (StreamStatus.RECORDING, StreamStatus.STARVED)
            recorder.resume(rig.harness.clock)
            lost.append((begin, rig.harness.frame + hole, GapCause.ENGINE_DIED))
            rig.harness.frame += hole
            run(rig, recorder, [(0, *after[0][1:]), *after[1:]], lost)
            supply(rig, recorder)
            recorder.stop(rig.harness.frame, lambda: rig.stopped.append(True))
            assert rig.stopped == [True]

            state = recorder.state
            position, data = 0, b""
            for index, full in enumerate(state.chunks_done):
                assert (full.chunk_index, full.first_sample) == (index, position)
                written = Path(full.path).read_bytes()
                assert not any(written[full.bytes_written :])
                data += written[: full.bytes_written]
                position += full.samples_written
            truth = samples_at(start, rig.harness.frame - start, 2)
            for at, end, _ in lost:
                truth[at - start : end - start] = 0
            assert data == as_stored(truth, sample_format)
            gaps = [gap for full in state.chunks_done for gap in full.gaps]
            assert [(start + gap.position, start + gap.position + gap.frames, gap.cause) for gap in gaps] == lost
            assert (state.gap_count, state.lost_frames) == (len(lost), sum(end - at for at, end, _ in lost))
            recorder.unplug("the end")
        finally:
            rig.close()
