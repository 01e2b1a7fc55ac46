"""Where JACK's transport was at a sample position, and when it was at a place, from the snapshots of one take.

Each change of the transport is a snapshot of the cycle with which it came, so between two snapshots it only rolls, or
stands. What is told of frames is therefore exact; of bars it is as exact as their client.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jackcapture.clock.bars import BarTime, bar_time_after, beats_in_bar, has_bars, ticks_counted, ticks_in, ticks_to
from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.takes import TRANSPORT_FRAMES, ClockReason, ClockSnapshot, Gap, GapCause, TransportState

_CHANGES = frozenset({ClockReason.SERVER, ClockReason.TRANSPORT, ClockReason.RELOCATION, ClockReason.TEMPO})
_JUMPS = frozenset({ClockReason.SERVER, ClockReason.RELOCATION})
_AWAY = frozenset({GapCause.SERVER_DOWN, GapCause.ENGINE_DIED})
"""Gaps in which there was no transport, or nobody to look at it."""

_TICK = 1.0
"""How far a tick may be off that is told in whole ones."""


@dataclass(frozen=True, slots=True)
class TransportMoment:
    """The transport at a sample position; `bars` is None where no client gave any."""

    state: TransportState
    frame: int
    bars: BarTime | None


@dataclass(frozen=True, slots=True)
class Pass:
    """Sample positions `[position, end_position)` at which the transport was at a place; `error_frames` for its begin.

    One frame while it rolled (`is_rolling`), or as long as it stood there.
    """

    position: int
    end_position: int
    is_rolling: bool
    error_frames: int = 0


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Sample positions `[start, end)` without a change; `at` tells of position `origin`, `next` of `end`."""

    start: int
    end: int
    origin: int
    at: ClockSnapshot
    next: ClockSnapshot | None

    @property
    def is_rolling(self) -> bool:
        return self.at.transport.state is TransportState.ROLLING

    @property
    def is_followed(self) -> bool:
        """Whether the transport ran on into the next snapshot, but for frames that were lost, in which it may stand."""
        if self.next is None or not self.is_rolling or not _JUMPS.isdisjoint(self.next.reasons):
            return False
        frames = (self.next.transport.frame - self.at.transport.frame) % TRANSPORT_FRAMES
        elapsed = self.next.sample_position - self.origin
        return frames == elapsed or (frames < elapsed and ClockReason.GAP in self.next.reasons)

    def rolled(self, position: int) -> int:
        """Give the frames by which the transport rolled on since `origin`; in lost frames it may have stood."""
        if not self.is_rolling:
            return 0
        frames = position - self.origin
        if self.next is not None and self.is_followed:
            most = (self.next.transport.frame - self.at.transport.frame) % TRANSPORT_FRAMES
            return min(frames, most)
        return frames

    def cycles(self, frames: int) -> int:
        """Give how many cycles some frames are, at the most."""
        return abs(frames) // max(1, self.at.period) + 1 if self.at.period else abs(frames)


class TransportHistory:
    """The transport in one take.

    `snapshots` are some of it that follow each other, `gaps` those between them, `first_sample` and `end_sample` the
    positions of the take, or of the part of it that is asked about. For a position the snapshots on both sides are
    enough, for passes all between the ends and one on each side. Raises `NotFoundError` without any. On any thread.
    """

    def __init__(
        self,
        snapshots: Iterable[ClockSnapshot],
        sample_rate: int,
        first_sample: int,
        end_sample: int,
        gaps: Iterable[Gap] = (),
    ) -> None:
        by_position = {at.sample_position: at for at in snapshots}
        self._snapshots = [by_position[position] for position in sorted(by_position)]
        self._positions = [at.sample_position for at in self._snapshots]
        self._away = sorted((gap.position, gap.position + gap.frames) for gap in gaps if gap.cause in _AWAY)
        self._rate = sample_rate
        self.first_sample = first_sample
        self.end_sample = end_sample
        if not self._snapshots:
            raise NotFoundError(
                f"the positions {first_sample} to {end_sample} have no clock snapshot: nothing tells of the transport"
            )

    # --- at a position

    def at(self, position: int) -> TransportMoment:
        """Give the transport at a sample position; raises `NotFoundError` where it is not known."""
        if not self.first_sample <= position <= self.end_sample:
            raise NotFoundError(
                f"position {position} is not between {self.first_sample} and {self.end_sample}, of which the transport "
                "is known",
                position=position,
            )
        number = bisect_right(self._positions, position) - 1
        first = self._snapshots[0]
        if number < 0 and not _CHANGES.isdisjoint(first.reasons):
            raise NotFoundError(
                f"the transport is not known at position {position}: it changed at {first.sample_position}, and is "
                "known from there on",
                position=position,
                first_position=first.sample_position,
            )
        stretch = self._stretch(max(number, 0))
        if position >= stretch.end and stretch.next is not None and position < stretch.next.sample_position:
            raise NotFoundError(
                f"the transport is not known at position {position}: it lies in the gap from {stretch.end} to "
                f"{stretch.next.sample_position}, in which JACK or the engine was away",
                position=position,
            )
        transport = stretch.at.transport
        rolled = stretch.rolled(position)
        bars = None
        if has_bars(transport):
            ticks, error = self._ticks_after(stretch, rolled)
            bars = bar_time_after(transport, ticks, error)
        return TransportMoment(transport.state, (transport.frame + rolled) % TRANSPORT_FRAMES, bars)

    # --- at a place of the transport

    def passes_over_frame(self, frame: int) -> list[Pass]:
        """Give when the transport was at a frame of its own, newest first; `InvalidValueError` for a wrong one."""
        if not 0 <= frame < TRANSPORT_FRAMES:
            raise InvalidValueError(
                f"transport frame {frame} cannot be: JACK's transport has the frames 0 to {TRANSPORT_FRAMES - 1}",
                frame=frame,
            )
        return self._merged(found for stretch in self._newest_first() for found in _frame_in(stretch, frame))

    def passes_over_bar(self, bar: int, beat: int = 1, tick: float = 0) -> list[Pass]:
        """Give when the transport was at a bar, beat and tick (of the client's ticks per beat), newest first.

        Raises `InvalidValueError` for a wrong one, `NotFoundError` if no client ever gave bars.
        """
        self._check_bar(bar, beat, tick)
        return self._merged(
            found for stretch in self._newest_first() for found in self._bar_in(stretch, bar, beat, tick)
        )

    def frames_passed(self) -> tuple[int, int]:
        """Give the least and the greatest transport frame that there was."""
        ends = [self._ends(stretch) for stretch in self._newest_first()]
        return min(min(pair) for pair in ends), max(max(pair) for pair in ends)

    def bars_passed(self) -> tuple[int, int] | None:
        """Give the first and the last bar that there was; None if no client gave any."""
        bars: list[int] = []
        for stretch in self._newest_first():
            if has_bars(stretch.at.transport):
                last = stretch.rolled(max(stretch.start, stretch.end - 1))
                for rolled in (stretch.rolled(stretch.start), last):
                    bars.append(bar_time_after(stretch.at.transport, self._ticks_after(stretch, rolled)[0], 0).bar)
        return (min(bars), max(bars)) if bars else None

    # ---

    def _stretch(self, number: int) -> _Stretch:
        at = self._snapshots[number]
        following = self._snapshots[number + 1] if number + 1 < len(self._snapshots) else None
        start = at.sample_position if number or not _CHANGES.isdisjoint(at.reasons) else self.first_sample
        end = self.end_sample if following is None else min(self._known_until(at, following), self.end_sample)
        return _Stretch(max(start, self.first_sample), end, at.sample_position, at, following)

    def _known_until(self, at: ClockSnapshot, following: ClockSnapshot) -> int:
        """Give the position up to which a snapshot's transport went on: the next snapshot, or where JACK went away."""
        number = bisect_right(self._away, (at.sample_position, TRANSPORT_FRAMES))
        if number < len(self._away):
            return min(self._away[number][0], following.sample_position)
        return following.sample_position

    def _newest_first(self) -> Iterator[_Stretch]:
        for number in range(len(self._snapshots) - 1, -1, -1):
            stretch = self._stretch(number)
            if stretch.start < stretch.end:
                yield stretch

    def _ends(self, stretch: _Stretch) -> tuple[int, int]:
        frame = stretch.at.transport.frame
        return (
            (frame + stretch.rolled(stretch.start)) % TRANSPORT_FRAMES,
            (frame + stretch.rolled(stretch.end - 1)) % TRANSPORT_FRAMES,
        )

    def _ticks_after(self, stretch: _Stretch, frames: int) -> tuple[float, float]:
        """Give the ticks that passed in the first frames of a stretch, and how many they may be off.

        What the client counted up to the next snapshot, if that is what its tempo says, but for what it may drop in
        each cycle; else its tempo alone.
        """
        transport = stretch.at.transport
        predicted = ticks_in(transport, frames, self._rate)
        if stretch.next is not None and stretch.is_followed and has_bars(stretch.next.transport):
            whole = (stretch.next.transport.frame - transport.frame) % TRANSPORT_FRAMES
            counted = ticks_counted(transport, stretch.next.transport)
            dropped = ticks_in(transport, whole, self._rate) - counted
            if ClockReason.TEMPO in stretch.next.reasons:  # with which a client may number anew
                if whole and abs(dropped) <= 2 * _TICK:
                    return counted * frames / whole, _TICK + abs(dropped)
            elif whole and -2 * _TICK <= dropped <= stretch.cycles(whole) + 2 * _TICK:
                return counted * frames / whole, _TICK
        return predicted, _TICK + (stretch.cycles(frames) if frames else 0)

    def _bar_in(self, stretch: _Stretch, bar: int, beat: int, tick: float) -> Iterator[Pass]:
        transport = stretch.at.transport
        if not has_bars(transport) or beat > beats_in_bar(transport) or tick >= transport.ticks_per_beat:
            return
        wanted = ticks_to(transport, bar, beat, tick)
        if not stretch.is_rolling:
            if 0 <= wanted + (transport.tick - int(transport.tick)) < 1:
                yield Pass(stretch.start, stretch.end, is_rolling=False)
            return
        first, last = stretch.rolled(stretch.start), stretch.rolled(stretch.end)
        start, _ = self._ticks_after(stretch, first)
        end, error = self._ticks_after(stretch, last)
        if start <= wanted < end:
            frames_per_tick = (last - first) / (end - start)
            position = min(stretch.origin + round(wanted * frames_per_tick), stretch.end - 1)
            yield Pass(position, position + 1, is_rolling=True, error_frames=int(error * frames_per_tick) + 2)

    def _check_bar(self, bar: int, beat: int, tick: float) -> None:
        written = f"bar {bar}, beat {beat}, tick {tick:g}"
        if bar < 1 or beat < 1 or not 0 <= tick < float("inf"):
            raise InvalidValueError(
                f"{written} cannot be: bars and beats count from 1, ticks from 0", bar=bar, beat=beat
            )
        given = [at.transport for at in self._snapshots if has_bars(at.transport)]
        if not given:
            raise NotFoundError(
                f"{written} cannot be found: between the positions {self.first_sample} and {self.end_sample} no client "
                "gave JACK's transport bars (no timebase master); name a transport frame or a time instead",
                first_sample=self.first_sample,
                end_sample=self.end_sample,
            )
        beats = max(beats_in_bar(transport) for transport in given)
        ticks = max(transport.ticks_per_beat for transport in given)
        if beat > beats or tick >= ticks:
            raise InvalidValueError(
                f"{written} cannot be: here a bar has the beats 1 to {beats}, and a beat the ticks 0 to {ticks - 1:g}",
                beats_per_bar=beats,
                ticks_per_beat=ticks,
            )

    def _merged(self, passes: Iterable[Pass]) -> list[Pass]:
        """Join what is one pass: a stand over several snapshots, or a place that two stretches claim."""
        merged: list[Pass] = []
        for found in passes:
            newer = merged[-1] if merged else None
            if newer is not None and not newer.is_rolling and not found.is_rolling and self._stood(found, newer):
                merged[-1] = Pass(found.position, newer.end_position, is_rolling=False)
            elif newer is None or not (
                newer.is_rolling
                and found.is_rolling
                and newer.position - found.position <= max(newer.error_frames, found.error_frames)
                and newer.error_frames
            ):
                merged.append(found)
        return merged

    def _stood(self, older: Pass, newer: Pass) -> bool:
        return older.end_position == newer.position


def _frame_in(stretch: _Stretch, frame: int) -> Iterator[Pass]:
    if not stretch.is_rolling:
        if stretch.at.transport.frame == frame:
            yield Pass(stretch.start, stretch.end, is_rolling=False)
        return
    first = stretch.rolled(stretch.start)
    offset = (frame - stretch.at.transport.frame - first) % TRANSPORT_FRAMES
    if first + offset < stretch.rolled(stretch.end):
        position = stretch.origin + first + offset
        yield Pass(position, position + 1, is_rolling=True)


def find_transport_frame(histories: Sequence[TransportHistory], frame: int) -> Pass:
    """Give the newest pass over a transport frame in some takes; `NotFoundError` says which frames there were."""
    ordered = _newest_first(histories)
    for history in ordered:
        passes = history.passes_over_frame(frame)
        if passes:
            return passes[0]
    if not ordered:
        raise NotFoundError(f"transport frame {frame} cannot be found: there is no take", frame=frame)
    passed = [history.frames_passed() for history in ordered]
    least, greatest = min(pair[0] for pair in passed), max(pair[1] for pair in passed)
    raise NotFoundError(
        f"the transport was not at frame {frame} while this was recorded: it was between the frames {least} and "
        f"{greatest}",
        frame=frame,
        least_frame=least,
        greatest_frame=greatest,
    )


def find_bar(histories: Sequence[TransportHistory], bar: int, beat: int = 1, tick: float = 0) -> Pass:
    """Give the newest pass over a bar, beat and tick in some takes.

    Raises `NotFoundError`, which says which bars there were, or that no client gave any, and `InvalidValueError` for a
    beat or a tick that no bar there has.
    """
    ordered = _newest_first(histories)
    refused: NotFoundError | InvalidValueError | None = None
    for history in ordered:
        try:
            passes = history.passes_over_bar(bar, beat, tick)
        except (NotFoundError, InvalidValueError) as error:
            refused = refused or error
            continue
        if passes:
            return passes[0]
    passed = [bars for history in ordered if (bars := history.bars_passed()) is not None]
    if refused is not None and (not passed or isinstance(refused, InvalidValueError)):
        raise refused
    where = f"bar {bar}, beat {beat}, tick {tick:g}"
    if not passed:
        raise NotFoundError(f"{where} cannot be found: there is no take", bar=bar)
    first, last = min(pair[0] for pair in passed), max(pair[1] for pair in passed)
    raise NotFoundError(
        f"the transport did not pass {where} while this was recorded: it was in the bars {first} to {last}",
        bar=bar,
        first_bar=first,
        last_bar=last,
    )


def _newest_first(histories: Sequence[TransportHistory]) -> list[TransportHistory]:
    return sorted(histories, key=lambda history: history.first_sample, reverse=True)
