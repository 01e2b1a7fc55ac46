"""A source that is quiet but for bursts at known frames (see burst_source.c)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from parts.jackd import JackServer
from parts.part import Part


@dataclass(frozen=True)
class Burst:
    """A sine from the frame `begin` on, whose first and last sample are its largest, if `frames` is 48 n + 1.

    `channel` counts from 1; 0 is MIDI: a note from the first to the last frame.
    """

    begin: int
    frames: int
    decibels: float = -20.0
    channel: int = 1

    @property
    def end(self) -> int:
        """The frame after its last one."""
        return self.begin + self.frames


class BurstSource(Part):
    """A running `burst_source`, as a context manager; nothing but noise until `play`."""

    def __init__(
        self,
        program: Path,
        server: JackServer | str | None,
        bursts: Sequence[Burst],
        *,
        channels: int = 1,
        name: str = "source",
    ) -> None:
        options = ["--channels", str(channels)]
        for it in bursts:
            options += ["--burst", f"{it.begin},{it.frames},{10 ** (it.decibels / 20):.9g},{it.channel}"]
        super().__init__(program, server, name, options)

    def play(self, frame: int) -> None:
        """Count the bursts from a JACK frame on."""
        self.ask(f"play {frame % 2**32}")


class StartBurstSource(Protocol):
    """What the fixture `burst_source` gives: starts a BurstSource that is stopped when the test is over."""

    def __call__(
        self, server: JackServer | str | None, bursts: Sequence[Burst], *, channels: int = 1, name: str = "source"
    ) -> BurstSource: ...
