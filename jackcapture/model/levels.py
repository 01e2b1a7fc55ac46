"""Levels: samples, full scale 1, and their decibels of full scale (dBFS)."""

import math


def amplitude_of(decibels: float) -> float:
    """Give the sample of a level in dBFS."""
    return float(10 ** (decibels / 20))


def decibels_of(amplitude: float) -> float | None:
    """Give the level of a sample in dBFS; None for silence, which has none."""
    return 20 * math.log10(amplitude) if amplitude > 0 else None


def level_in_words(amplitude: float) -> str:
    """Give the level of a sample as people read it."""
    level = decibels_of(amplitude)
    return "silence" if level is None else f"{level:.1f} dB"
