"""MIDI clock at a position and back, against ticks whose every position is known."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.clock.midi_clock import MidiClockHistory
from jackcapture.errors import NotFoundError
from jackcapture.model.takes import ClockSnapshot, MidiClock
from parts.simulated_clock import SimulatedClock

RATE = 48_000


def history(clock: SimulatedClock) -> MidiClockHistory:
    return MidiClockHistory(clock.snapshots(), clock.rate, clock.first_sample, clock.position)


@settings(max_examples=40, deadline=None)
@given(
    tempos=st.lists(st.integers(40, 240), min_size=1, max_size=3),
    pause=st.floats(1.1, 4),
    seconds=st.floats(4, 8),
    seed=st.integers(0, 2**32),
)
def test_ticks_there_and_back_are_within_their_bound(
    tempos: list[int], pause: float, seconds: float, seed: int
) -> None:
    """The tempo changes now and then, not more than once between two snapshots."""
    clock = SimulatedClock(period=480, first_sample=1000)
    clock.play(pause)
    for tempo in tempos:
        clock.play_midi_clock(seconds, tempo)
    found, chosen = history(clock), random.Random(seed)
    last = clock.snapshots()[-1].sample_position
    for position in (chosen.randint(1000, last) for _ in range(20)):
        moment = found.at(position)
        assert abs(moment.ticks - clock.ticks_at(position)) <= moment.error_ticks + 1e-6
        for place in found.places_of_tick(moment.ticks) if moment.beats_per_minute else ():
            assert abs(place.position - position) <= 1
    for number in chosen.sample(range(len(clock.midi_ticks)), 10):
        true = clock.midi_ticks[number]
        for place in found.places_of_tick(number):
            assert abs(place.position - true) <= place.error_frames


def test_in_an_even_clock_a_tick_is_known_to_a_tick_or_two() -> None:
    clock = SimulatedClock(period=480)
    clock.play_midi_clock(10, 120, starts=True)
    found = history(clock)
    moment = found.at(5 * RATE)
    assert moment.error_ticks <= 2
    assert abs(moment.ticks - 240) <= 1
    assert moment.song_ticks == moment.ticks
    assert moment.is_running
    assert moment.beats_per_minute is not None
    assert abs(moment.beats_per_minute - 120) < 3
    (place,) = found.places_of_tick(240)
    assert abs(place.position - 5 * RATE) <= place.error_frames <= 2100


def test_a_song_that_is_played_twice_has_two_passes() -> None:
    clock = SimulatedClock(period=480)
    clock.play_midi_clock(5, 120, starts=True)
    clock.play_midi_clock(5, 120, starts=True)
    found = history(clock)
    places = found.places_of_song_tick(3.5 * 48)
    assert [round(place.position / RATE, 1) for place in places] == [8.5, 3.5]
    # Between two snapshots the song began anew: which of both it was, nobody says.
    assert found.at(int(5.01 * RATE)).song_ticks is None or found.at(int(4.99 * RATE)).song_ticks is None


def test_ticks_without_a_start_are_counted_and_no_song() -> None:
    clock = SimulatedClock(period=480)
    clock.play_midi_clock(5, 120)
    found = history(clock)
    assert found.at(2 * RATE).song_ticks == 0
    assert not found.at(2 * RATE).is_running
    assert found.places_of_song_tick(10) == []
    assert found.places_of_tick(10**6) == []


def test_an_engine_that_died_counts_anew() -> None:
    told = [(0, 0), (RATE, 48), (2 * RATE, 96), (5 * RATE, 12), (6 * RATE, 60)]
    snapshots = [ClockSnapshot(at, at, 0, 0, midi_clock=MidiClock(ticks)) for at, ticks in told]
    found = MidiClockHistory(snapshots, RATE, 0, 6 * RATE)
    assert [round(place.position / RATE, 2) for place in found.places_of_tick(24)] == [5.25, 0.5]
    assert found.at(3 * RATE).error_ticks >= 9


def test_what_is_not_known_is_refused() -> None:
    clock = SimulatedClock(period=480, first_sample=1000)
    clock.play(2)
    found = history(clock)
    assert found.at(1000).ticks == 0
    assert found.at(1500).beats_per_minute is None
    with pytest.raises(NotFoundError, match="MIDI clock is not known at position 999: it is from 1000 to"):
        found.at(999)
    with pytest.raises(NotFoundError, match="no clock snapshot"):
        MidiClockHistory([], RATE, 0, 10)
