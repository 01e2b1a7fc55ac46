"""Latencies as operations give them back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LatencyResult:
    """Frames between what the hardware of a port's sources heard and what JACK delivered: least and most of all ways.

    As the sources' clients tell it; 0 and 0 where nothing was connected, or nothing was told.
    """

    min: int
    max: int
