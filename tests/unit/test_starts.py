"""When a take begins: now, before now, as far as the rings reach, or at a frame."""

import pytest

from jackcapture.errors import ConflictError
from jackcapture.model.starts import AsFarAs, AtFrame, BeforeNow, StartMoment, frames_before, resolve_start

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("start", "oldest", "frame"),
    [
        (BeforeNow(0), 0, 100_000),
        (BeforeNow(SECOND), 70_000, 52_000),  # what the ring does not hold is the engine's to refuse
        (AtFrame(7), 70_000, 7),
        (AsFarAs(SECOND), 0, 52_000),
        (AsFarAs(SECOND), 52_001, 52_001),
        (AsFarAs(SECOND), 51_999, 52_000),
        (AsFarAs(SECOND, not_before=60_000), 52_001, 60_000),
        (AsFarAs(SECOND, not_before=60_000), 61_000, 61_000),
        (AsFarAs(SECOND, not_before=200_000), 0, 100_000),  # never after now
        (AsFarAs(10 * SECOND), 0, 0),  # before JACK began to count
    ],
)
def test_a_start_is_where_it_is_wanted_or_as_far_as_the_rings_reach(
    start: StartMoment, oldest: int, frame: int
) -> None:
    assert resolve_start(start, frame=100_000, sample_rate=48_000, oldest_frame=oldest) == frame


def test_a_start_before_jack_began_is_refused_unless_it_may_be_later() -> None:
    with pytest.raises(ConflictError, match="goes back to frame 0"):
        resolve_start(BeforeNow(10 * SECOND), frame=100_000, sample_rate=48_000)


def test_what_is_to_be_held_is_known_before_now_is() -> None:
    assert frames_before(AsFarAs(SECOND, not_before=99), 48_000) == frames_before(BeforeNow(SECOND), 48_000) == 48_000
    assert frames_before(AtFrame(99), 48_000) is None
