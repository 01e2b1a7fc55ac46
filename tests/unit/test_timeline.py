"""Delivered frames and JACK's frames: every way from one to the other and back leads to the same place."""

from hypothesis import given
from hypothesis import strategies as st

from jackcapture.engine.ring import RingGap
from jackcapture.engine.timeline import Timeline
from jackcapture.model.takes import GapCause

# (frames delivered since the gap before, frames lost); only the first gap may lie before all frames
Steps = list[tuple[int, int]]
steps = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=8)
first_frames = st.sampled_from([0, 1000, (1 << 32) - 5])


def gaps_of(steps: Steps, *, begins_lost: bool = False) -> list[RingGap]:
    """Turn steps into gaps; with `begins_lost`, the first one comes before any frame."""
    gaps: list[RingGap] = []
    delivered = -steps[0][0] if begins_lost and steps else 0
    for step, lost in steps:
        delivered += step
        gaps.append(RingGap(delivered, lost, GapCause.XRUN))
    return gaps


def places_of(gaps: list[RingGap], delivered: int) -> list[tuple[int, RingGap | None, int]]:
    """What `locate` must say of each frame from the first on, up to `delivered` delivered ones: one by one."""
    at = {gap.delivered: gap for gap in gaps}
    places: list[tuple[int, RingGap | None, int]] = []
    for count in range(delivered + 1):
        gap = at.get(count)
        if gap is not None:
            places.extend((count, gap, left) for left in range(gap.frames, 0, -1))
        places.append((count, None, 0))
    return places


@given(steps=steps, first=first_frames, after=st.integers(0, 20), begins_lost=st.booleans())
def test_every_frame_is_found_where_it_was_counted(steps: Steps, first: int, after: int, begins_lost: bool) -> None:
    gaps = gaps_of(steps, begins_lost=begins_lost)
    timeline = Timeline(first)
    timeline.add(gaps)
    newest = (gaps[-1].delivered if gaps else 0) + after
    places = places_of(gaps, newest)
    assert [timeline.locate(first + index) for index in range(len(places))] == places
    for delivered in range(newest + 1):
        frame = timeline.frame_after(delivered)
        assert timeline.locate(frame) == (delivered, None, 0)
        assert places.index((delivered, None, 0)) == frame - first
    assert timeline.frame_after(newest) == first + len(places) - 1
    for delivered in range(newest + 2):
        assert timeline.gaps_after(delivered) == [gap for gap in gaps if gap.delivered > delivered]


@given(steps=steps, first=first_frames, forget=st.integers(-5, 60), split=st.integers(0, 8))
def test_what_is_forgotten_moves_nothing_after_it(steps: Steps, first: int, forget: int, split: int) -> None:
    gaps = gaps_of(steps)
    whole, short = Timeline(first), Timeline(first)
    whole.add(gaps)
    short.add(gaps[:split])
    if split < len(gaps):
        forget = min(forget, gaps[split].delivered)  # what comes is never older than what is forgotten
    short.forget_before(forget)
    short.add(gaps[split:])
    newest = (gaps[-1].delivered if gaps else 0) + 10
    for delivered in range(max(0, forget), newest):
        assert short.frame_after(delivered) == whole.frame_after(delivered)
        assert short.gaps_after(delivered) == whole.gaps_after(delivered)
    kept = whole.gaps_after(forget - 1)
    begin = whole.frame_after(max(0, forget)) - (kept[0].frames if kept and kept[0].delivered == forget else 0)
    for frame in range(begin, whole.frame_after(newest)):
        assert short.locate(frame) == whole.locate(frame)
