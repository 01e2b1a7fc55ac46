"""The process callback, run on fake ports: each frame is in its place, or in a gap that says where and how long."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.engine import _rt
from jackcapture.engine.ring import Ring, ring_capacity
from jackcapture.model.streams import SampleFormat
from jackcapture.model.takes import GapCause
from parts.core_harness import CoreHarness, as_stored, read, read_samples, samples_at, taken

ffi, lib = _rt.ffi, _rt.lib
WRAP = 1 << 32


@pytest.fixture
def harness() -> Iterator[CoreHarness]:
    with CoreHarness() as harness:
        yield harness


# --- what goes in ---


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_every_frame_of_every_channel_is_kept(harness: CoreHarness, channels: int) -> None:
    ring = harness.attach(channels).ring
    assert ring.cycles == 0
    for frames in (64, 1, 63, 100):
        harness.cycle(frames)
    assert (ring.cycles, ring.first_frame, ring.delivered, ring.next_frame) == (4, 1000, 228, 1228)
    np.testing.assert_array_equal(read_samples(ring, 0, 228), samples_at(1000, 228, channels))
    np.testing.assert_array_equal(read_samples(ring, 100, 50), samples_at(1100, 50, channels))
    assert taken(ring) == []


@pytest.mark.parametrize("period", [64, 96, 256])
def test_an_attached_ring_keeps_the_newest_frames(harness: CoreHarness, period: int) -> None:
    ring = harness.attach(2, capacity=256).ring
    for _ in range(23):
        harness.cycle(period)
    newest = ring.delivered
    assert newest == 23 * period
    np.testing.assert_array_equal(read_samples(ring, newest - 256, 256), samples_at(1000 + newest - 256, 256, 2))
    assert taken(ring) == []
    assert ring.fill == 0


def test_a_guarded_ring_is_never_overwritten_and_the_rest_is_a_gap(harness: CoreHarness) -> None:
    ring = harness.attach(capacity=256).ring
    for _ in range(5):
        harness.cycle(64)
    ring.guard(100)
    for _ in range(4):
        harness.cycle(64)
    # 100 + 256 = 356: 320 were delivered, and a period of 64 does not fit in 36.
    assert ring.delivered == 320
    assert ring.next_frame == 1000 + 9 * 64
    np.testing.assert_array_equal(read_samples(ring, 100, 220), samples_at(1100, 220, 1))
    assert ring.fill == pytest.approx(220 / 256)
    assert taken(ring) == []  # it has not ended yet
    assert ring.pointer.lost_pending == 4 * 64

    ring.consume(320)
    harness.cycle(64)
    assert taken(ring) == [(320, 4 * 64, GapCause.RING_OVERFLOW)]
    assert ring.pointer.lost_pending == 0
    np.testing.assert_array_equal(read_samples(ring, 320, 64), samples_at(1000 + 9 * 64, 64, 1))

    ring.unguard()
    for _ in range(50):
        harness.cycle(64)
    assert ring.delivered == 320 + 51 * 64
    assert taken(ring) == []


def test_the_last_place_of_a_guarded_ring_is_used(harness: CoreHarness) -> None:
    ring = harness.attach(capacity=256).ring
    ring.guard(0)
    for _ in range(4):
        harness.cycle(64)
    assert (ring.delivered, ring.fill) == (256, 1.0)
    harness.cycle(64)
    assert ring.delivered == 256


def test_skipped_frames_are_an_xrun_gap(harness: CoreHarness) -> None:
    ring = harness.attach().ring
    harness.cycle(64)
    harness.cycle(64, skipped=1)
    harness.cycle(64)
    harness.cycle(64, skipped=1000)
    assert taken(ring) == [(64, 1, GapCause.XRUN), (192, 1000, GapCause.XRUN)]
    assert taken(ring) == []
    assert ring.next_frame == harness.frame


def test_frames_lost_in_a_row_are_one_gap_named_by_what_began_it(harness: CoreHarness) -> None:
    first, second = harness.attach(capacity=256), harness.attach(capacity=256)
    first.ring.guard(0)
    for skipped in (0, 0, 0, 10, 0, 20):
        harness.cycle(100, skipped=skipped)
    first.ring.consume(200)
    harness.cycle(100)
    assert taken(first.ring) == [(200, 430, GapCause.RING_OVERFLOW)]
    assert taken(second.ring) == [(300, 10, GapCause.XRUN), (500, 20, GapCause.XRUN)]

    first.ring.consume(250)
    harness.cycle(100)  # fills up to 400
    harness.cycle(150, skipped=7)  # lost, but what began it was the skip
    first.ring.consume(400)
    harness.cycle(100)
    assert taken(first.ring) == [(400, 157, GapCause.XRUN)]


def test_when_there_is_no_place_for_more_gaps_the_timeline_stays_whole(harness: CoreHarness) -> None:
    stream = harness.attach(capacity=1 << 13)
    harness.cycle(1)
    for _ in range(lib.JC_GAP_SLOTS + 10):
        harness.cycle(2, skipped=3)
    ring = stream.ring
    assert ring.delivered == 1 + lib.JC_GAP_SLOTS * 2
    gaps = taken(ring)
    assert len(gaps) == lib.JC_GAP_SLOTS
    assert gaps == [(1 + 2 * n, 3, GapCause.XRUN) for n in range(lib.JC_GAP_SLOTS)]
    harness.cycle(2)
    gaps += taken(ring)
    assert gaps[-1] == (1 + lib.JC_GAP_SLOTS * 2, 10 * 5, GapCause.XRUN)
    assert ring.first_frame + ring.delivered + sum(frames for _, frames, _ in gaps) == ring.next_frame == harness.frame
    assert stream.lost == [(1003 + 5 * n - 2, frames, cause) for n, (_, frames, cause) in enumerate(gaps)]


def test_a_period_longer_than_the_ring_is_lost_and_nothing_else(harness: CoreHarness) -> None:
    ring = harness.attach(capacity=256).ring
    harness.cycle(64)
    harness.cycle(300)
    harness.cycle(64)
    assert taken(ring) == [(64, 300, GapCause.RING_OVERFLOW)]
    np.testing.assert_array_equal(read_samples(ring, 64, 64), samples_at(1364, 64, 1))


def test_a_port_without_a_buffer_is_silent(harness: CoreHarness) -> None:
    ring = harness.attach().ring
    for _ in range(4):
        harness.cycle(64)
    harness.core.port_get_buffer = nothing = ffi.callback("void *(void *, uint32_t)", lambda port, frames: ffi.NULL)
    assert lib.jc_process(64, harness.core) == 0
    assert nothing is not None
    assert not read_samples(ring, 256, 64).any()
    np.testing.assert_array_equal(read_samples(ring, 64, 192), samples_at(1064, 192, 1))


# --- frames ---


@pytest.mark.parametrize("skipped", [0, 5, 100_000])
def test_the_wrap_of_jacks_frame_counter_cannot_be_seen(skipped: int) -> None:
    with CoreHarness(WRAP - 100) as harness:
        ring = harness.attach(capacity=1024).ring
        for cycle in range(6):
            harness.cycle(64, skipped=skipped if cycle == 2 else 0)
        assert (ring.first_frame, ring.next_frame) == (WRAP - 100, WRAP - 100 + 6 * 64 + skipped)
        assert taken(ring) == ([(128, skipped, GapCause.XRUN)] if skipped else [])
        assert harness.core.backward_jumps == 0
        assert lib.jc_next_frame(harness.core) == ring.next_frame
        observed = harness.clock.observe()
        assert observed is not None
        assert observed.frame == ring.next_frame - 64
        np.testing.assert_array_equal(read_samples(ring, 128, 256), samples_at(WRAP + 28 + skipped, 256, 1))


def test_a_second_wrap() -> None:
    with CoreHarness(WRAP - 32) as harness:
        ring = harness.attach(capacity=1024).ring
        harness.cycle(64)
        for _ in range(3):
            harness.cycle(64, skipped=(1 << 31) - 65)  # the most that one cycle may skip is below 2^31
        assert ring.next_frame == harness.frame > 2 * WRAP
        assert harness.core.backward_jumps == 0


def test_a_counter_that_goes_back_records_no_frame_twice(harness: CoreHarness) -> None:
    """As jackd's does when its period is shortened: what comes after it is counted on from where we are."""
    ring = harness.attach().ring
    harness.cycle(64)
    harness.cycle(64, jack_frame=1063)
    harness.cycle(64, jack_frame=1127)
    assert harness.core.backward_jumps == 1
    assert (ring.delivered, ring.next_frame) == (192, 1192)
    harness.frame += 5
    harness.cycle(64, jack_frame=1196)
    assert taken(ring) == [(192, 5, GapCause.XRUN)]  # a skip after it is seen
    assert ring.next_frame == 1261


def test_a_second_call_in_a_cycle_changes_nothing(harness: CoreHarness) -> None:
    """As an asynchronous server makes them when a client before us was late: positions stay JACK's frames."""
    ring = harness.attach().ring
    harness.cycle(64)
    harness.cycle(64, skipped=128)
    harness.frame -= 64
    for _ in range(2):
        assert lib.jc_process(64, harness.core) == 0
    harness.frame += 64
    assert (ring.delivered, ring.next_frame, ring.cycles) == (128, 1256, 2)
    harness.cycle(64)
    assert taken(ring) == [(64, 128, GapCause.XRUN)]
    assert (ring.delivered, ring.next_frame, harness.core.backward_jumps) == (192, 1320, 0)
    np.testing.assert_array_equal(read_samples(ring, 64, 128), samples_at(1192, 128, 1))


# --- one client after another ---


@pytest.mark.parametrize("late_us", [0, 1, 10_417, 3_000_000])
def test_frames_run_on_by_time_under_another_server(late_us: int) -> None:
    with CoreHarness(10 * 48_000) as harness:
        core = harness.core
        core.resume_frame, core.resume_usecs = WRAP + 5, harness.microseconds() - late_us
        stream = harness.attach()
        stream.shared.skip_cause = lib.JC_GAP_SERVER_DOWN
        pointer = stream.ring.pointer
        pointer.cycles, pointer.next_frame, pointer.first_frame = 1, WRAP + 5, WRAP + 5
        passed = round(late_us * 48_000 / 1e6)
        harness.cycle(64)
        assert lib.jc_next_frame(core) == WRAP + 5 + passed + 64
        expected = [(0, passed, GapCause.SERVER_DOWN)] if passed else []
        assert taken(stream.ring) == expected


@pytest.mark.parametrize(
    ("passed_us", "counted", "is_same"),
    [
        (1_000_000, 48_000, True),
        (1_000_000, 24_000, True),  # a dummy driver that falls behind
        (10_000_000, 250_000, True),
        (10_000_000, 100_000, False),  # no server falls behind as far
        (1_000_000, 200_000, False),  # nor runs ahead
        (1_000_000, -1000, False),
        (0, 0, True),
    ],
)
def test_a_counter_counts_on_under_what_may_be_the_same_server_if_the_time_agrees(
    passed_us: int, counted: int, is_same: bool
) -> None:
    with CoreHarness(48_000 * 3600) as harness:
        core = harness.core
        core.resume_frame, core.resume_usecs = WRAP + 5, harness.microseconds() - passed_us
        core.is_same_server = lib.JC_PERHAPS_SAME_SERVER
        core.resume_frame32 = (harness.frame - counted) % WRAP
        harness.cycle(64)
        assert lib.jc_next_frame(core) == WRAP + 5 + (counted if is_same else passed_us * 48 // 1000) + 64


@pytest.mark.parametrize("counted", [0, 64, 48_000, (1 << 31) - 1])
def test_frames_run_on_by_the_counter_under_the_same_server(counted: int) -> None:
    with CoreHarness(1000) as harness:
        core = harness.core
        core.resume_frame, core.resume_usecs, core.is_same_server = WRAP + 5, 1, 1
        core.resume_frame32 = (1000 - counted) % WRAP
        harness.cycle(64)
        assert lib.jc_next_frame(core) == WRAP + 5 + counted + 64


@pytest.mark.parametrize("before", [1, 500, 1 << 31])
def test_a_counter_that_begins_anew_is_not_believed(before: int) -> None:
    """As another driver's of the same PipeWire: time tells then, not four thousand million frames."""
    with CoreHarness(48_000) as harness:
        core = harness.core
        core.resume_frame, core.resume_usecs, core.is_same_server = WRAP + 5, 500_000, 1
        core.resume_frame32 = (48_000 + before) % WRAP
        harness.cycle(64)
        assert lib.jc_next_frame(core) == WRAP + 5 + 24_000 + 64


# --- freewheel ---


def test_a_freewheel_waits_for_the_writer(harness: CoreHarness) -> None:
    ring = harness.attach(capacity=256).ring
    lib.jc_freewheel(1, harness.core)
    harness.cycle(64)
    ring.guard(0)
    for _ in range(3):
        harness.cycle(64)
    assert harness.paused_us == 0
    harness.while_paused = lambda: ring.consume(64)
    harness.cycle(64)
    assert 0 < harness.paused_us < 10_000
    assert (ring.delivered, taken(ring)) == (320, [])


def test_a_freewheel_does_not_wait_for_ever(harness: CoreHarness) -> None:
    """JACK gives a client 10 s; all streams of a cycle wait together."""
    rings = [harness.attach(capacity=256).ring for _ in range(3)]
    lib.jc_freewheel(1, harness.core)
    harness.cycle(64)
    for ring in rings:
        ring.guard(0)
    for _ in range(4):
        harness.cycle(64)
    assert 8_000_000 <= harness.paused_us < 8_100_000
    harness.cycle(64)
    lib.jc_freewheel(0, harness.core)
    paused = harness.paused_us
    harness.cycle(64)
    assert harness.paused_us == paused
    for ring in rings:
        ring.consume(64)
    harness.cycle(64)
    assert [taken(ring) for ring in rings] == [[(256, 192, GapCause.RING_OVERFLOW)]] * 3


# --- streams come and go ---


def test_streams_come_and_go_while_jack_runs(harness: CoreHarness) -> None:
    first = harness.attach(1)
    harness.cycle(64)
    second = harness.attach(2)
    harness.cycle(64)
    assert (second.ring.first_frame, second.ring.delivered) == (1064, 64)
    harness.detach(first)
    harness.cycle(64)
    third = harness.attach(3, slot=first.slot)
    harness.cycle(64)
    assert (second.ring.delivered, third.ring.delivered, third.ring.first_frame) == (192, 64, 1192)
    np.testing.assert_array_equal(read_samples(second.ring, 0, 192), samples_at(1064, 192, 2))
    np.testing.assert_array_equal(read_samples(third.ring, 0, 64), samples_at(1192, 64, 3))
    assert harness.core.stream_slots == 2


def test_the_last_slot(harness: CoreHarness) -> None:
    ring = harness.attach(slot=lib.JC_MAX_STREAMS - 1).ring
    harness.cycle(64)
    assert ring.delivered == 64


# --- the clock and the flags ---


def test_the_clock(harness: CoreHarness) -> None:
    assert harness.clock.observe() is None
    harness.cycle(64)
    harness.cycle(32)
    clock = ffi.new("jc_mark *")
    assert lib.jc_read_now(harness.core, clock) == 1
    assert (clock.clock.frame, clock.clock.nframes, clock.clock.usecs) == (1064, 32, 1064 * 1_000_000 // 48_000)
    assert (lib.jc_cycles(harness.core), lib.jc_next_frame(harness.core)) == (2, 1096)
    harness.clock_fails = True
    harness.cycle(64)
    observed = harness.clock.observe()
    assert observed is not None
    assert (observed.frame, observed.monotonic_us) == (
        1096,
        1096 * 1_000_000 // 48_000,
    )  # the time now is the next best


def test_the_other_callbacks_only_count(harness: CoreHarness) -> None:
    core = harness.core
    lib.jc_xrun(core)
    lib.jc_xrun(core)
    lib.jc_port_registration(1, 1, core)
    lib.jc_port_connect(1, 2, 1, core)
    lib.jc_latency(0, core)
    assert (core.xruns, core.port_changes, core.connection_changes, core.shut_down) == (2, 1, 2, 0)
    lib.jc_info_shutdown(0, b"gone", core)
    lib.jc_discard_message(b"unheard")
    assert core.shut_down == 1


# --- what comes out ---

EDGES = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, -1e-45, 1e-38, 3.4e38, -3.4e38]


def edges(bits: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Samples at, between and beside the integers of a format: ties, full scale and its neighbours."""
    full_scale = 2.0 ** (bits - 1)
    whole = np.array([-3, -2, -1, 0, 1, 2, 3, full_scale - 2, full_scale - 1, full_scale, -full_scale])
    near = (np.concatenate([whole - 0.5, whole, whole + 0.5]) / full_scale).astype(np.float32)
    beside = [np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)]
    return np.concatenate([np.array(EDGES, np.float32), near, *beside]).astype(np.float32)


@pytest.mark.parametrize(("sample_format", "bits"), [(SampleFormat.I16, 16), (SampleFormat.I24, 24)])
def test_quantisation_is_numpys_to_the_last_bit(harness: CoreHarness, sample_format: SampleFormat, bits: int) -> None:
    generator = np.random.default_rng(bits)
    loud = generator.uniform(-1.2, 1.2, 20_000)
    ties = (generator.integers(-(2**15), 2**15, 20_000) + 0.5) / 2.0 ** (bits - 1)
    samples = np.concatenate([edges(bits), loud, ties]).astype(np.float32)
    samples = samples[: samples.size // 2 * 2].reshape(-1, 2)
    ring = harness.attach(2, capacity=1 << 15).ring
    harness.cycle(len(samples), source=samples)

    stored, clipped = read(ring, 0, len(samples), sample_format)
    assert stored == as_stored(np.where(np.isnan(samples), 0, np.clip(samples, -4, 4)), sample_format)
    whole = np.rint(np.nan_to_num(samples.astype(np.float64), posinf=9, neginf=-9) * 2.0 ** (bits - 1))
    assert clipped == np.count_nonzero((whole < -(2.0 ** (bits - 1))) | (whole > 2.0 ** (bits - 1) - 1))
    kept, clipped = read(ring, 0, len(samples))
    assert (kept, clipped) == (samples.tobytes(), 0)  # float32 is kept bit by bit, NaN and all


@given(
    capacity=st.sampled_from([64, 256]),
    channels=st.integers(1, 3),
    before=st.integers(0, 300),
    frames=st.integers(0, 64),
    back=st.integers(0, 64),
    sample_format=st.sampled_from(SampleFormat),
)
def test_any_range_is_read_across_the_end_of_the_ring(
    capacity: int, channels: int, before: int, frames: int, back: int, sample_format: SampleFormat
) -> None:
    with CoreHarness() as harness:
        ring = harness.attach(channels, capacity).ring
        for _ in range(before // 50):
            harness.cycle(50)
        harness.cycle(max(1, before % 50))
        start = max(0, ring.delivered - min(back + frames, capacity))
        frames = min(frames, ring.delivered - start)
        stored, _ = read(ring, start, frames, sample_format)
        assert stored == as_stored(samples_at(1000 + start, frames, channels), sample_format)


@given(seconds=st.floats(0, 60), rate=st.integers(1, 192_000))
def test_a_ring_holds_what_was_asked_and_the_margin_of_a_start(seconds: float, rate: int) -> None:
    capacity = ring_capacity(seconds, rate)
    assert capacity.bit_count() == 1
    assert capacity >= seconds * rate + 32768 - 1
    assert capacity <= max(2 * (seconds * rate + 32768), 65536)


def test_a_ring_lies_in_its_file(harness: CoreHarness) -> None:
    ring = harness.attach(2, capacity=256).ring
    harness.cycle(256)
    with open(ring.path, "rb") as file:
        head, samples = file.read(lib.JC_RING_HEADER_BYTES), file.read()
    assert int.from_bytes(head[:8], "little") == lib.JC_RING_MAGIC
    planar = np.frombuffer(samples, "<f4").reshape(2, 256)
    np.testing.assert_array_equal(planar.T, samples_at(1000, 256, 2))
    with pytest.raises(FileExistsError):
        Ring(ring.path, 1, 256, 48_000)
