"""The judge of a storm: what follows for a take from the calls that JACK made."""

import numpy as np
import pytest

from parts.sources import expected_samples
from parts.witness import Call, expected_take

RATE = 48_000


def call(frame: int, frames: int = 64, *, client: int = 1, usecs: int = 0, taken: bool = True) -> Call:
    """A call that brought the samples of its frames, or that was left alone."""
    return Call(client, frame, frames, usecs, expected_samples(frame, frames, 2) if taken else None)


def test_what_was_delivered_stands_at_its_frame_and_the_rest_is_a_gap() -> None:
    calls = [call(0, taken=False), call(64), call(128), call(320), call(384)]
    take = expected_take(calls, 100, 300, 2, RATE)
    assert take.gaps == [(92, 128, "xrun")]
    assert take.calls == calls[1:]
    truth = expected_samples(100, 300, 2)
    truth[92:220] = 0
    np.testing.assert_array_equal(take.samples, truth)


def test_a_second_call_in_a_cycle_brings_nothing() -> None:
    take = expected_take([call(0), call(64), call(64, taken=False), call(64), call(128)], 0, 192, 2, RATE)
    assert (take.gaps, take.second_calls) == ([], 2)
    np.testing.assert_array_equal(take.samples, expected_samples(0, 192, 2))


def test_a_counter_that_falls_back_is_counted_on_from_where_we_are() -> None:
    take = expected_take([call(0, 256), call(64), call(130)], 0, 386, 2, RATE)
    assert take.gaps == [(320, 2, "xrun")]
    parts = [
        expected_samples(0, 256, 2),
        expected_samples(64, 64, 2),
        np.zeros((2, 2), np.float32),
        expected_samples(130, 64, 2),
    ]
    np.testing.assert_array_equal(take.samples, np.concatenate(parts))


def test_the_counter_wraps() -> None:
    last = (1 << 32) - 64
    take = expected_take([call(last), call(64)], last, 192, 2, RATE)
    assert take.gaps == [(64, 64, "xrun")]


def test_under_another_server_frames_go_on_by_time() -> None:
    calls = [
        call(1000, usecs=1_000_000),
        call(7, client=2, usecs=1_500_000, taken=False),  # the stream has no ports yet
        call(71, client=2, usecs=1_600_000),
    ]
    take = expected_take(calls, 1000, 24_128, 2, RATE)
    assert take.gaps == [(64, 24_000, "server_down")]
    np.testing.assert_array_equal(take.samples[-64:], expected_samples(71, 64, 2))


def test_what_the_engine_leaves_alone_is_no_gap_of_jacks() -> None:
    with pytest.raises(AssertionError, match="frame 64 of client 1 was left alone"):
        expected_take([call(0), call(64, taken=False), call(128)], 0, 192, 2, RATE)


def test_a_take_does_not_go_beyond_what_jack_delivered() -> None:
    with pytest.raises(AssertionError, match="nothing after position 64 of 65"):
        expected_take([call(0)], 0, 65, 2, RATE)
