"""What JACK's transport did, in terms of those who follow it: it began to roll, was relocated, or stopped.

A relocation while it rolls takes JACK through `starting`, in which it waits for clients that are slow to get ready:
that is no stop, and the rolling after it no start. In the cycle of a relocation JACK still gives the bars of the place
before, so a relocation is given with the next change, which has the right ones if the transport is still there.
"""

import enum
from dataclasses import dataclass, replace

from jackcapture.model.sessions import SegmentClock
from jackcapture.model.takes import TRANSPORT_FRAMES, ClockReason, TransportState
from jackcapture.protocol.messages import JackTransport

_UNNOTICED_FRAMES = 24_000
"""By so many frames the transport may be off, after nobody has watched it, without having been relocated."""


class StepKind(enum.Enum):
    """What the transport did."""

    START = enum.auto()
    RELOCATION = enum.auto()
    STOP = enum.auto()


@dataclass(frozen=True, slots=True)
class TransportStep:
    """One thing that the transport did, with all clocks at the frame on which it did so.

    `from_frame` of a relocation: where it would have been by itself. `is_presumed`: it does not roll, and nobody knows
    since when, or whether it did.
    """

    kind: StepKind
    at: SegmentClock
    from_frame: int | None = None
    is_presumed: bool = False


class TransportSteps:
    """Turns the changes that an engine, and those after it, tell in order into steps."""

    def __init__(self) -> None:
        self._last: JackTransport | None = None  # None: what was before is not known
        self._held: TransportStep | None = None  # a relocation of which the bars are still to come
        self.is_rolling = False

    def forget(self) -> None:
        """Take note that changes are missing."""
        self._last = None

    def steps(self, change: JackTransport) -> list[TransportStep]:
        """Give what a change means, and what one before it did that was held back, in order."""
        step, held = self._step(change), self._held
        found = [] if held is None else [replace(held, at=_with_bars(held.at, change))]
        self._held = None
        if step is not None and step.kind is StepKind.RELOCATION and _has_old_bars(change):
            self._held = step
        elif step is not None:
            found.append(step)
        return found

    def _step(self, change: JackTransport) -> TransportStep | None:
        last, was_rolling = self._last, self.is_rolling
        self._last = change
        self.is_rolling = rolls = self._rolls(change, last)
        at = _clock(change)
        if last is None:
            return self._first(change, at)
        if rolls and not was_rolling:
            return TransportStep(StepKind.START, at)
        if not rolls and was_rolling:
            return TransportStep(StepKind.STOP, at)
        if not rolls or not _is_relocated(last, change):
            return None
        return TransportStep(StepKind.RELOCATION, at, _expected(last, change))

    def _first(self, change: JackTransport, at: SegmentClock) -> TransportStep | None:
        """Give what a change means before which nothing is known."""
        has_changed = ClockReason.TRANSPORT in change.reasons
        if not self.is_rolling:
            is_told = has_changed or ClockReason.SERVER in change.reasons
            return TransportStep(StepKind.STOP, at, is_presumed=True) if is_told else None
        if ClockReason.RELOCATION in change.reasons:
            return TransportStep(StepKind.RELOCATION, at)
        return TransportStep(StepKind.START, at) if has_changed else None

    def _rolls(self, change: JackTransport, last: JackTransport | None) -> bool:
        match change.transport.state:
            case TransportState.STOPPED:
                return False
            case TransportState.ROLLING:
                return True
            case TransportState.STARTING if last is None:
                # From rolling it comes here only by a relocation; from a stop it may do both at once.
                return {ClockReason.TRANSPORT, ClockReason.RELOCATION} <= {*change.reasons}
            case TransportState.STARTING:
                return self.is_rolling


def _is_relocated(last: JackTransport, change: JackTransport) -> bool:
    if ClockReason.SERVER not in change.reasons:
        return ClockReason.RELOCATION in change.reasons
    ahead = (change.transport.frame - _expected(last, change)) % TRANSPORT_FRAMES
    return min(ahead, TRANSPORT_FRAMES - ahead) > _UNNOTICED_FRAMES


def _expected(last: JackTransport, change: JackTransport) -> int:
    """Give the transport's frame had it not been relocated since its last change."""
    rolled = change.frame - last.frame if last.transport.state is TransportState.ROLLING else 0
    return (last.transport.frame + rolled) % TRANSPORT_FRAMES


def _clock(change: JackTransport) -> SegmentClock:
    transport = change.transport
    has_bar = transport.bar > 0 and ClockReason.RELOCATION not in change.reasons
    return SegmentClock(
        change.frame,
        change.wall_clock_ns,
        change.monotonic_us,
        transport.state,
        transport.frame,
        transport.bar if has_bar else None,
        transport.beat if has_bar else None,
        transport.tick if has_bar else None,
        transport.beats_per_minute if has_bar else None,
    )


def _has_old_bars(change: JackTransport) -> bool:
    """Tell whether the change's bars are those of the place before, and the right ones come with the next change."""
    return change.transport.bar > 0 and change.transport.state is TransportState.STARTING


def _with_bars(at: SegmentClock, change: JackTransport) -> SegmentClock:
    after = _clock(change)
    if after.transport_frame != at.transport_frame:
        return at
    return replace(at, bar=after.bar, beat=after.beat, tick=after.tick, beats_per_minute=after.beats_per_minute)
