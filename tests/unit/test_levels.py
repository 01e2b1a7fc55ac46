"""Levels: samples and their decibels of full scale."""

import pytest

from jackcapture.model.levels import amplitude_of, decibels_of, level_in_words


@pytest.mark.parametrize(("amplitude", "level"), [(1.0, 0.0), (0.1, -20.0), (0.001, -60.0), (2.0, 6.0206)])
def test_a_sample_has_a_level_and_the_level_that_sample(amplitude: float, level: float) -> None:
    assert decibels_of(amplitude) == pytest.approx(level, abs=1e-4)
    assert amplitude_of(level) == pytest.approx(amplitude)
    assert level_in_words(amplitude) == f"{level:.1f} dB"


def test_silence_has_no_level() -> None:
    assert decibels_of(0.0) is None
    assert level_in_words(0.0) == "silence"
