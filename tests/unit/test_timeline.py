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


def gaps_of(steps: Steps, first: int, *, begins_lost: bool = False) -> list[RingGap]:
    """Turn steps into gaps; with `begins_lost`, the first one comes before any frame."""
    gaps: list[RingGap] = []
    delivered, frame = (-steps[0][0], first - steps[0][0]) if begins_lost and steps else (0, first)
    for step, lost in steps:
        delivered += step
        frame += step
        gaps.append(RingGap(frame, lost, delivered, GapCause.XRUN))
        frame += lost
    return gaps


def places_of(gaps: list[RingGap], delivered: int) -> list[tuple[int, RingGap | None]]:
    """What lies at each frame from the first on, up to `delivered` delivered ones: (delivered before it, its gap)."""
    at = {gap.delivered: gap for gap in gaps}
    places: list[tuple[int, RingGap | None]] = []
    for count in range(delivered + 1):
        gap = at.get(count)
        if gap is not None:
            places.extend((count, gap) for _ in range(gap.frames))
        places.append((count, None))
    return places


def place(timeline: Timeline, frame: int) -> tuple[int, RingGap | None]:
    return timeline.delivered_before(frame), timeline.gap_at(frame)


@given(steps=steps, first=first_frames, after=st.integers(0, 20), begins_lost=st.booleans())
def test_every_frame_is_found_where_it_was_counted(steps: Steps, first: int, after: int, begins_lost: bool) -> None:
    gaps = gaps_of(steps, first, begins_lost=begins_lost)
    timeline = Timeline(first)
    timeline.add(gaps)
    newest = (gaps[-1].delivered if gaps else 0) + after
    places = places_of(gaps, newest)
    assert [place(timeline, first + index) for index in range(len(places))] == places
    for delivered in range(newest + 1):
        frame = timeline.frame_after(delivered)
        assert place(timeline, frame) == (delivered, None)
        assert places.index((delivered, None)) == frame - first
    assert timeline.frame_after(newest) == first + len(places) - 1
    for frame in range(first, first + len(places)):
        assert timeline.next_gap(frame) == min((gap.frame for gap in gaps if gap.frame > frame), default=None)


@given(steps=steps, first=first_frames, forget=st.integers(-5, 60), split=st.integers(0, 8), by_frame=st.booleans())
def test_what_is_forgotten_moves_nothing_after_it(
    steps: Steps, first: int, forget: int, split: int, by_frame: bool
) -> None:
    gaps = gaps_of(steps, first)
    whole, short = Timeline(first), Timeline(first)
    whole.add(gaps)
    short.add(gaps[:split])
    newest = (gaps[-1].delivered if gaps else 0) + 10
    if split < len(gaps):  # what comes is never older than what is forgotten
        forget = min(forget, gaps[split].delivered)
    if by_frame:
        begin = first + max(0, forget)
        short.forget_ended_by(begin)
    else:
        short.forget_before(forget)
        lost = next((gap.frames for gap in gaps if gap.delivered == forget), 0)
        begin = whole.frame_after(max(0, forget)) - lost
    short.add(gaps[split:])
    for frame in range(begin, whole.frame_after(newest)):
        assert place(short, frame) == place(whole, frame)
        assert short.next_gap(frame) == whole.next_gap(frame)
    for delivered in range(whole.delivered_before(begin) + 1, newest):
        assert short.frame_after(delivered) == whole.frame_after(delivered)
