"""What stands out is found by arithmetic: each burst once, to the sample, however the blocks come."""

import itertools
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.control.sessions.settings import TriggerSettings
from jackcapture.control.sessions.trigger_detection import Found, Rules, Source, Span, TriggerDetector, WatchState
from jackcapture.control.sessions.trigger_spans import spans_of_blocks, spans_of_events
from jackcapture.model.midi import is_activity
from jackcapture.model.suggestions import SuggestionReason
from jackcapture.model.uris import parse_stream_uri

RATE = 48_000
BLOCK = 256
START = 1 << 33
"""The JACK frame at which the segment begins."""

MAIN = Source(parse_stream_uri("stream://desk/main"), SuggestionReason.LEVEL)
ROOM = Source(parse_stream_uri("stream://desk/room"), SuggestionReason.LEVEL)
KEYS = Source(parse_stream_uri("stream://desk/keys"), SuggestionReason.MIDI)
RULES = Rules(threshold=0.01, hold=2000, pre_roll=700, least=0)
Place = tuple[int, int]


@dataclass
class Recording:
    """Samples of some streams from START on, whose blocks begin `offset` frames before that."""

    samples: dict[Source, npt.NDArray[np.float32]]
    offsets: dict[Source, int]
    asked: int = 0

    def spans(self, source: Source, first: int, stop: int, rules: Rules) -> list[Span]:
        """The spans of the blocks number `first` to before `stop`; the outer ones are cut to what there is."""
        samples = self.samples[source]
        starts = np.arange(first, stop) * BLOCK - self.offsets[source]
        ends = np.minimum(starts + BLOCK, len(samples))
        starts = np.maximum(starts, 0)
        parts = [samples[begin:end] for begin, end in zip(starts, ends, strict=True)]
        blocks = np.array([[[part.min(), part.max(), 0.0]] for part in parts]).reshape(-1, 1, 3)
        return spans_of_blocks(starts + START, ends + START, blocks, source, rules)

    def blocks(self, source: Source) -> int:
        """How many blocks there are."""
        return -(-(len(self.samples[source]) + self.offsets[source]) // BLOCK)

    def frame(self, source: Source, block: int) -> int:
        """Where a block begins."""
        return START + max(0, block * BLOCK - self.offsets[source])

    def block_at(self, source: Source, frame: int) -> int:
        """The block that has a frame."""
        return (frame - START + self.offsets[source]) // BLOCK

    def first(self, span: Span) -> int:
        self.asked += 1
        return self._loud(span.source, span.begin, span.first_end)[0]

    def last(self, span: Span) -> int:
        self.asked += 1
        return self._loud(span.source, span.last_begin, span.end)[-1]

    def _loud(self, source: Source, begin: int, end: int) -> list[int]:
        part = np.abs(self.samples[source][begin - START : end - START])
        return [begin + int(at) for at in np.flatnonzero(part >= RULES.threshold)]


def recording(bursts: Mapping[Source, Sequence[Place]], frames: int, offsets: dict[Source, int]) -> Recording:
    """Streams that are at 0.5 in their bursts and quiet, but not silent, elsewhere."""
    samples = {}
    for source, places in bursts.items():
        samples[source] = np.full(frames, 0.005, np.float32)
        for number, (begin, end) in enumerate(places):
            samples[source][begin:end] = 0.5 if number % 2 else -0.5
    return Recording(samples, offsets)


def expected(bursts: Mapping[Source, Sequence[Place]], frames: int, rules: Rules) -> list[tuple[int, int, int, int]]:
    """What is to be found: (begin, end, from, to), by a walk over the frames that stand out."""
    loud = sorted({frame for places in bursts.values() for begin, end in places for frame in range(begin, end)})
    groups: list[list[int]] = []
    for frame in loud:
        if groups and frame - groups[-1][1] - 1 < rules.hold:
            groups[-1][1] = frame
        else:
            groups.append([frame, frame])
    found, after = [], 0
    for begin, last in groups:
        if last + 1 - begin >= rules.least:
            to = min(last + 1 + rules.hold, frames)
            found.append((START + begin, START + last + 1, START + max(after, begin - rules.pre_roll), START + to))
            after = to
    return found


def places_of(found: Sequence[Found]) -> list[tuple[int, int, int, int | None]]:
    return [(it.begin, it.end, it.from_frame, it.to_frame) for it in found]


def whole(made: Recording, rules: Rules = RULES) -> list[Found]:
    """What is found if all comes at once."""
    detector = TriggerDetector(rules, WatchState(START, START))
    spans = [span for source in made.samples for span in made.spans(source, 0, made.blocks(source), rules)]
    return detector.finish(spans, START + max(map(len, made.samples.values())), made)


_FRAMES = 40_000
_bursts = st.lists(
    st.tuples(st.integers(0, _FRAMES - 1), st.integers(1, 3000)).map(lambda it: (it[0], min(it[0] + it[1], _FRAMES))),
    max_size=5,
)


@settings(max_examples=60)
@given(
    main=_bursts,
    room=_bursts,
    offset=st.integers(0, BLOCK - 1),
    hold=st.sampled_from([480, 600, 2000]),
    pre_roll=st.sampled_from([0, 700, 5000]),
    least=st.sampled_from([0, 1, 1000]),
    seed=st.integers(0, 2**32),
)
def test_any_bursts_of_any_streams_in_any_parts_are_found_once(
    main: list[Place], room: list[Place], offset: int, hold: int, pre_roll: int, least: int, seed: int
) -> None:
    """Also when the watch is dropped again and again, and begun anew from its last state."""
    chance = random.Random(seed)
    bursts = {MAIN: main, ROOM: room}
    offsets = {MAIN: 0, ROOM: offset}
    rules = replace(RULES, hold=hold, pre_roll=pre_roll, least=least)
    made = recording(bursts, _FRAMES, offsets)
    truth = expected(bursts, _FRAMES, rules)
    assert places_of(whole(made, rules)) == truth

    state = WatchState(START, START)
    detector = TriggerDetector(rules, state)
    read = dict.fromkeys(bursts, 0)
    opened: dict[int, Found] = {}
    closed: list[Found] = []
    while any(read[source] < made.blocks(source) for source in bursts):
        spans = []
        for source in bursts:
            stop = min(made.blocks(source), read[source] + chance.choice((0, 1, 2, 5, 20, 60)))
            spans += made.spans(source, read[source], stop, rules)
            read[source] = stop
        live = [made.frame(source, at) for source, at in read.items() if at < made.blocks(source)]
        if not live:
            closed += detector.finish(spans, START + _FRAMES, made)
            break
        for found in detector.take(spans, min(live), made):
            if found.to_frame is None:
                assert found.begin not in opened
                opened[found.begin] = found
            else:
                closed.append(found)
        if chance.random() < 0.5:  # the state is noted
            state = detector.state(made)
        elif chance.random() < 0.5:  # control dies; what was told since the state was noted is told again
            kept = {it.begin for it in closed if it.to_frame is not None and it.to_frame <= state.after}
            closed = [it for it in closed if it.begin in kept]
            opened = {it.begin: it for it in (*closed, *([state.open] if state.open else ()))}
            detector = TriggerDetector(rules, state)
            read = {source: made.block_at(source, state.frame) for source in bursts}
    assert places_of(closed) == truth


def test_overlapping_bursts_of_several_streams_are_one_and_the_first_names_it() -> None:
    bursts = {MAIN: [(10_100, 12_000)], ROOM: [(10_000, 11_000), (13_500, 13_501)]}
    made = recording(bursts, _FRAMES, {MAIN: 40, ROOM: 200})
    made.samples[MAIN][10_500] = 0.75
    [found] = whole(made)
    assert (found.source, found.peak) == (ROOM, 0.75)
    assert (found.begin - START, found.end - START) == (10_000, 13_501)
    assert found.from_frame == START + 10_000 - RULES.pre_roll
    assert found.to_frame == START + 13_501 + RULES.hold


@pytest.mark.parametrize(("quiet", "count"), [(RULES.hold - 1, 1), (RULES.hold, 2)])
@pytest.mark.parametrize("shift", [0, 1, 100, 255])
def test_a_quiet_of_the_hold_parts_two_to_the_sample(quiet: int, count: int, shift: int) -> None:
    begin = 5000 + shift
    bursts = {MAIN: [(begin, begin + 300), (begin + 300 + quiet, begin + 900 + quiet)]}
    found = whole(recording(bursts, _FRAMES, {MAIN: 0}))
    assert len(found) == count
    # The pre-roll of the second does not reach into the first.
    assert all(one.to_frame is not None and one.to_frame <= two.from_frame for one, two in itertools.pairwise(found))


@pytest.mark.parametrize(("decibels", "count"), [(1, 1), (-1, 0)])
def test_a_decibel_above_the_threshold_is_found_and_one_below_is_not(decibels: int, count: int) -> None:
    rules = Rules.of(TriggerSettings(threshold_db=-30), RATE)
    sine = 10 ** ((-30 + decibels) / 20) * np.sin(np.arange(RATE) * 2 * math.pi * 1000 / RATE)
    blocks = np.stack([sine.reshape(-1, 250).min(1), sine.reshape(-1, 250).max(1), np.zeros(192)], axis=1)
    starts = np.arange(192) * 250
    assert len(spans_of_blocks(starts, starts + 250, blocks[:, np.newaxis], MAIN, rules)) == count


def test_it_is_shown_while_it_goes_on_and_reading_for_it_is_rare() -> None:
    """One look at the beginning and one at the end of each, however long it is and however often it crosses."""
    made = recording({MAIN: [(at, at + 10) for at in range(8000, 32_000, 900)]}, _FRAMES, {MAIN: 0})
    detector = TriggerDetector(RULES, WatchState(START, START))
    shown = []
    for block in range(made.blocks(MAIN)):
        spans = made.spans(MAIN, block, block + 1, RULES)
        shown += [(block, it) for it in detector.take(spans, made.frame(MAIN, block + 1), made)]
    (first, opened), (last, closed) = shown
    assert (first, opened.begin, opened.to_frame) == (8000 // BLOCK, START + 8000, None)
    end = 31_400 + 10
    assert last == -(-(-(-end // BLOCK) * BLOCK + RULES.hold) // BLOCK) - 1
    assert closed == replace(opened, end=START + end, to_frame=START + end + RULES.hold)
    assert made.asked <= 4


def test_what_is_too_short_is_neither_shown_nor_found() -> None:
    rules = replace(RULES, least=1000)
    made = recording({MAIN: [(5000, 5999), (20_000, 21_600)]}, _FRAMES, {MAIN: 0})
    detector = TriggerDetector(rules, WatchState(START, START))
    seen = []
    for block in range(made.blocks(MAIN)):
        seen += detector.take(made.spans(MAIN, block, block + 1, rules), made.frame(MAIN, block + 1), made)
    assert [(it.begin - START, it.to_frame is None) for it in seen] == [(20_000, True), (20_000, False)]


def test_messages_stand_out_but_not_those_that_keep_time() -> None:
    for event in (b"\x90\x40\x40", b"\xf0\x01\x02", b"\x01\xf7", b"\xb0\x07\x00", b"\xf3\x01"):
        assert is_activity(event)
    for event in (b"\xf8", b"\xfe", b"\xfa", b"\xfc", b"\xf1\x10", b""):
        assert not is_activity(event)
    events = [(START + 100, b"\x90\x40\x40"), (START + 200, b"\xf8"), (START + 1500, b"\x80\x40\x00"),
              (START + 9000, b"\xf8"), (START + 12_000, b"\xc0\x01")]  # fmt: skip
    detector = TriggerDetector(RULES, WatchState(START, START))
    found = detector.finish(spans_of_events(iter(events), KEYS, RULES), START + _FRAMES, Recording({}, {}))
    assert [(it.begin - START, it.end - START, it.source, it.peak) for it in found] == [
        (100, 1501, KEYS, None), (12_000, 12_001, KEYS, None),
    ]  # fmt: skip


def test_a_night_of_eight_hours() -> None:
    """30 bursts of -20 dBFS over noise of -55, as blocks, in looks of a minute: all are found, and nothing else."""
    rules = Rules.of(TriggerSettings(), RATE)
    generator = np.random.default_rng(30)
    count = 8 * 3600 * RATE // BLOCK
    peaks = generator.uniform(0.0, 10 ** (-55 / 20), count).astype(np.float32)
    begins = np.sort(generator.choice(count // 400, 30, replace=False)) * 400 + 10
    for begin in begins:
        peaks[begin : begin + 200] = 0.1
    blocks = np.stack([-peaks, peaks, peaks / 2], axis=1)[:, np.newaxis]

    class Blocks:
        def first(self, span: Span) -> int:
            return span.begin

        def last(self, span: Span) -> int:
            return span.end - 1

    detector = TriggerDetector(rules, WatchState(START, START))
    found: list[Found] = []
    step = 60 * RATE // BLOCK
    began = time.process_time()
    for at in range(0, count, step):
        part = blocks[at : at + step]
        starts = START + (at + np.arange(len(part))) * BLOCK
        spans = spans_of_blocks(starts, starts + BLOCK, part, MAIN, rules)
        found += detector.take(spans, int(starts[-1]) + BLOCK, Blocks())
    print(f"a night took {time.process_time() - began:.3f} s of processor time")
    closed = [it for it in found if it.to_frame is not None]
    assert [(it.begin - START) // BLOCK for it in closed] == begins.tolist()
    assert [it.end - it.begin for it in closed] == [200 * BLOCK] * 30


def test_rules_are_the_settings_in_frames() -> None:
    rules = Rules.of(TriggerSettings(threshold_db=-20, hold_seconds=0.25, pre_roll_seconds=2, min_seconds=0.1), RATE)
    assert replace(rules, threshold=0) == Rules(0, 12_000, 96_000, 4800)
    assert rules.threshold == pytest.approx(0.1)
    assert Rules.of(TriggerSettings(hold_seconds=0.01), 44_100).join < 0  # then blocks never tell that two are one
