"""JACK's transport: what it did, frame by frame, and what it is told to do."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from jackcapture.engine.clock import Observation
from jackcapture.engine.jack_client import JackClient
from jackcapture.errors import ConflictError, UnreachableError
from jackcapture.model.takes import TRANSPORT_FRAMES, ClockReason, TransportState
from jackcapture.protocol.framing import error_payload
from jackcapture.protocol.messages import (
    Error,
    Event,
    JackTransport,
    TransportLocate,
    TransportOutcome,
    TransportStart,
    TransportStop,
)

KEPT_CHANGES = 64
"""Of which a control that was away, or missed an event, is told."""

PATIENCE = 1.0
"""Seconds for which an answer waits for what was asked: clients that are slow to get ready hold the transport."""

MAX_WAITING = 256
"""Commands that may wait for their outcome."""

_CHANGES = frozenset({ClockReason.SERVER, ClockReason.TRANSPORT, ClockReason.RELOCATION})

Command = TransportStart | TransportStop | TransportLocate
Reply = Callable[[TransportOutcome | Error], None]


class TransportChanges:
    """Tells of each change of the transport, whether a stream records or not; writer thread, but for `newest`."""

    def __init__(self, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self.newest: tuple[JackTransport, ...] = ()
        """The newest changes, in order; replaced as a whole: read it anywhere."""

    @property
    def number(self) -> int:
        """The number of the newest change; 0: none yet. Any thread."""
        newest = self.newest
        return newest[-1].number if newest else 0

    def note(self, mark: Observation) -> None:
        """Take note of a mark."""
        reasons = tuple(reason for reason in mark.reasons if reason in _CHANGES)
        if reasons:
            change = _told(mark, reasons, self.number + 1)
            self.newest = (*self.newest, change)[-KEPT_CHANGES:]
            self._publish(change)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A command, and how to see what came of it, from cycles that begin at `frame` or later."""

    state: TransportState | None
    target: int | None  # of a locate
    frame: int
    deadline: float  # on time.monotonic
    reply: Reply

    def is_reached(self, seen: Observation) -> bool:
        """Whether the transport is as was asked: in a state, or where it comes from its target in this time."""
        if self.target is None:
            return seen.transport.state is self.state
        moved = (seen.transport.frame - self.target) % TRANSPORT_FRAMES
        rolls = seen.transport.state is TransportState.ROLLING
        return moved <= seen.frame - self.frame if rolls else moved == 0

    def is_settled(self, seen: Observation) -> bool:
        """Whether there is nothing to wait for."""
        return self.is_reached(seen) and seen.transport.state is not TransportState.STARTING


class TransportCommands:
    """Commands to the transport, each answered when its outcome is seen in JACK's cycles. Main thread only.

    The process callback has no part in it: JACK takes them up between two cycles.
    """

    def __init__(self, changes: TransportChanges, observe: Callable[[], Observation | None]) -> None:
        self._changes = changes
        self._observe = observe
        self._waiting: list[_Asked] = []

    def command(self, command: Command, client: JackClient, reply: Reply) -> None:
        """Carry out a command; raises `ConflictError` if JACK refuses it, or too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            raise ConflictError(f"{MAX_WAITING} commands to the transport wait for their outcome already; ask again")
        state, target = None, None
        frame = client.next_frame
        match command:
            case TransportStart():
                client.transport_start()
                state = TransportState.ROLLING
            case TransportStop():
                client.transport_stop()
                state = TransportState.STOPPED
            case TransportLocate():
                client.transport_locate(command.frame)
                target = command.frame
        now = time.monotonic()
        for number, asked in enumerate(self._waiting):
            if (asked.target is None) == (target is None) and (asked.state, asked.target) != (state, target):
                self._waiting[number] = replace(asked, deadline=now)  # what it asked for is not to come any more
        self._waiting.append(_Asked(state, target, frame, now + PATIENCE, reply))

    def now(self) -> JackTransport:
        """Give the transport at the start of the newest cycle; all zero while there is no server."""
        seen = self._observe()
        return JackTransport() if seen is None else _told(seen, (), self._changes.number)

    def awaits_cycle(self) -> bool:
        """Whether an answer waits for JACK's next cycle."""
        return bool(self._waiting)

    def tick(self) -> None:
        """Answer what can be answered."""
        if not self._waiting:
            return
        seen, now = self._observe(), time.monotonic()
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            is_new = seen is not None and seen.frame >= asked.frame
            if seen is not None and ((is_new and asked.is_settled(seen)) or now >= asked.deadline):
                is_reached = is_new and asked.is_reached(seen)
                asked.reply(TransportOutcome(_told(seen, (), self._changes.number), is_reached))
            elif now >= asked.deadline:
                asked.reply(error_payload(UnreachableError("JACK has run no cycle since it was asked")))
            else:
                self._waiting.append(asked)

    def disconnect(self, reason: str) -> None:
        """Answer all that waits: the server has gone."""
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            asked.reply(error_payload(UnreachableError(reason)))


def _told(seen: Observation, reasons: tuple[ClockReason, ...], number: int) -> JackTransport:
    return JackTransport(
        seen.frame, seen.monotonic_us, seen.wall_clock_ns, seen.period, seen.transport, reasons, number
    )
