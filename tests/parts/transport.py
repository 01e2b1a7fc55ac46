"""What JACK's transport did, as the process callback of a client of its own saw it (see transport_observer.c)."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jackcapture.model.takes import TransportState
from parts.jackd import JackServer
from parts.midi import read_events
from parts.part import Part

_STATES = {0: TransportState.STOPPED, 1: TransportState.ROLLING, 3: TransportState.STARTING}


@dataclass(frozen=True, slots=True)
class Seen:
    """A cycle in which the transport was not as it would have been by itself: its JACK frame, and the transport."""

    frame: int
    state: TransportState
    transport_frame: int


class TransportObserver(Part):
    """A running `transport_observer`, as a context manager; it writes to the file `log`."""

    def __init__(
        self, program: Path, server: JackServer | str | None, log: Path, *, name: str = "transport_observer"
    ) -> None:
        super().__init__(program, server, name, ["--log", str(log)])
        self.log = log

    def seen(self) -> list[Seen]:
        """All changes up to now, in order; the first is the cycle with which it began."""
        self.ask("flush")
        return [
            Seen(frame, _STATES[state], transport_frame)
            for frame, data in read_events(self.log)
            for state, transport_frame in [struct.unpack("<II", data)]
        ]

    def hold(self, on: bool) -> None:
        """Be slow to get ready from now on, so that the transport stays `starting`; or be quick again."""
        self.ask(f"hold {int(on)}")


class StartTransportObserver(Protocol):
    """What the fixture `transport_observer` gives: starts a TransportObserver, stopped when the test is over."""

    def __call__(self, server: JackServer | str | None, *, name: str = "transport_observer") -> TransportObserver: ...
