"""All about when: the clocks of one take, asked by sample position, or asked for one."""

from collections.abc import Iterable, Sequence

from jackcapture.clock.answers import Drift, Moment, Place
from jackcapture.clock.card import DRIFT_WINDOW_NS, READING_ERROR_NS, CardClock
from jackcapture.clock.wall import PAIRING_ERROR_NS, WallClock
from jackcapture.errors import NotFoundError
from jackcapture.model.takes import ClockSnapshot, Gap, Take
from jackcapture.model.times import iso

_NS = 1_000_000_000


def snapshot_margin(sample_rate: int) -> int:
    """Give the frames around a position in which a `TakeClock` finds snapshots useful."""
    return DRIFT_WINDOW_NS // _NS * sample_rate


class TakeClock:
    """Sample position, JACK frame, JACK's time and wall clock of one take, each from each.

    `snapshots` may be all of the take, or those near what is asked: within `snapshot_margin` of it, and one more on
    each side; `gaps` those that lie between them, in sample positions. `end_sample` is the position after the newest
    frame of a take that runs. Raises `NotFoundError` if there is no snapshot. On any thread.
    """

    def __init__(
        self,
        take: Take,
        sample_rate: int,
        snapshots: Iterable[ClockSnapshot],
        gaps: Iterable[Gap] = (),
        end_sample: int | None = None,
    ) -> None:
        self.take = take
        self.end_sample = take.first_sample + take.samples if take.samples is not None else end_sample
        self._rate = sample_rate
        self._card = CardClock(snapshots, sample_rate, gaps)
        self._wall = WallClock(self._card)
        if not self._card.snapshots:
            raise NotFoundError(
                f"take {take.number} of {take.uri} has no clock snapshot, so nothing tells when its frames were",
                uri=take.uri,
                take=take.number,
            )

    # --- frames: exact

    def frame_at(self, position: int) -> int:
        """Give the 64-bit JACK frame of a position: exact. Raises `NotFoundError` outside of the take."""
        self._check(position)
        return position - self.take.first_sample + self.take.start_frame

    def position_of_frame(self, frame: int) -> int:
        """Give the position of a 64-bit JACK frame: exact. Raises `NotFoundError` outside of the take."""
        position = frame - self.take.start_frame + self.take.first_sample
        if not self._has(position):
            first, last = self.take.start_frame, self._last_position() - self.take.first_sample + self.take.start_frame
            raise NotFoundError(
                f"JACK frame {frame} is not in take {self.take.number} of {self.take.uri}, which has the frames "
                f"{first} to {last}",
                frame=frame,
                first_frame=first,
                end_frame=last,
            )
        return position

    # --- JACK's time

    def monotonic_at(self, position: int) -> Moment:
        """Give JACK's time (its µs, in ns) of a position; `NotFoundError` outside of the take."""
        self._check(position)
        ns, error = self._card.time_at(position)
        return Moment(ns, error, self._drift(position, of_wall_clock=False))

    def places_at_monotonic(self, ns: int) -> list[Place]:
        """Give the positions at which it was a time of JACK's, newest first: one, or none outside of the take.

        More only where JACK's time went back, as from one kind of JACK server to another.
        """
        found = (self._card.position_in(number, ns) for number in self._intervals())
        return self._places([(at, False) for at in found if at is not None], ns, of_wall_clock=False)

    # --- wall clock

    def wall_clock_at(self, position: int) -> Moment:
        """Give the wall clock of a position, in ns since the Unix epoch; `NotFoundError` outside of the take.

        Where the wall clock was stepped between two snapshots, it is the nearer one's, and the error has the step.
        """
        self._check(position)
        ns, error = self._wall_clock(position)
        return Moment(ns, error, self._drift(position, of_wall_clock=True))

    def places_at_wall_clock(self, ns: int) -> list[Place]:
        """Give the positions at which the wall clock showed a time, newest first; none outside of the take.

        After a step back there are two for some times. For a time that a step left out it is where the step lies: the
        middle of the two snapshots around it, with `is_skipped`, and the error has the step.
        """
        found: list[tuple[int, bool]] = []
        for number in self._intervals():
            positions = self._wall.positions_in(number, ns)
            found += [(at, False) for at in positions]
            skipped = None if positions else self._wall.skipped_in(number, ns)
            if skipped is not None:
                found.append((skipped, True))
        return self._places(found, ns, of_wall_clock=True)

    def wall_clock_range(self) -> tuple[Moment, Moment]:
        """Give the wall clock of the take's first frame and of the one after its last."""
        return self.wall_clock_at(self.take.first_sample), self.wall_clock_at(self._last_position())

    # ---

    def _intervals(self) -> range:
        return range(len(self._card.snapshots) - 1, -2, -1)

    def _wall_clock(self, position: int) -> tuple[int, int]:
        ns, error = self._card.time_at(position)
        offset, offset_error = self._wall.offset_at(self._card.interval(position), ns)
        return ns + offset, error + offset_error

    def _places(self, found: Iterable[tuple[int, bool]], ns: int, *, of_wall_clock: bool) -> list[Place]:
        places: dict[int, Place] = {}
        for at, is_skipped in found:
            position = self._inside(at)
            shown, error = (self._wall_clock if of_wall_clock else self._card.time_at)(position)
            if abs(at - position) > self._frames_in(error):
                continue  # beyond an end of the take, and not only seemingly
            error += abs(shown - ns)
            error_frames = self._frames_in(error)
            error_frames += self._card.timeless_frames(position, error_frames)
            drift = self._drift(position, of_wall_clock=of_wall_clock)
            places.setdefault(position, Place(position, error_frames, error, drift, is_skipped))
        return [places[position] for position in sorted(places, reverse=True)]

    def _drift(self, position: int, *, of_wall_clock: bool) -> Drift | None:
        """Give the drift over the steady run of snapshots around a position."""
        snapshots = self._card.snapshots

        def is_even(at: int) -> bool:
            return self._card.is_steady(at) and not (of_wall_clock and self._wall.is_step(at))

        here, last_interval = self._card.interval(position), len(snapshots) - 2
        number = next((at for at in (here, here - 1, here + 1) if is_even(at)), None)
        if number is None:
            return None
        first, last = number, number + 1
        while first > 0 and self._card.ns_of(number) - self._card.ns_of(first - 1) <= DRIFT_WINDOW_NS:
            if not is_even(first - 1):
                break
            first -= 1
        while last <= last_interval and self._card.ns_of(last + 1) - self._card.ns_of(number) <= DRIFT_WINDOW_NS:
            if not is_even(last):
                break
            last += 1
        if of_wall_clock:
            elapsed = snapshots[last].wall_clock_ns - snapshots[first].wall_clock_ns
            return self._card.drift(first, last, elapsed, 2 * (READING_ERROR_NS + PAIRING_ERROR_NS))
        elapsed = self._card.ns_of(last) - self._card.ns_of(first)
        return self._card.drift(first, last, elapsed, 2 * READING_ERROR_NS)

    def _frames_in(self, ns: int) -> int:
        """Give the most frames that pass in a time."""
        frames = ns * self._rate // _NS
        return frames + frames // 500 + 2

    def _last_position(self) -> int:
        if self.end_sample is not None:
            return self.end_sample
        return max(self.take.first_sample, self._card.snapshots[-1].sample_position)

    def _has(self, position: int) -> bool:
        return self.take.first_sample <= position and (self.end_sample is None or position <= self.end_sample)

    def _inside(self, position: int) -> int:
        position = max(position, self.take.first_sample)
        return position if self.end_sample is None else min(position, self.end_sample)

    def _check(self, position: int) -> None:
        if not self._has(position):
            raise NotFoundError(
                f"position {position} is not in take {self.take.number} of {self.take.uri}, which has the positions "
                f"{self.take.first_sample} to {self._last_position()}",
                position=position,
                first_sample=self.take.first_sample,
                end_sample=self._last_position(),
            )


def find_wall_clock(clocks: Sequence[TakeClock], ns: int) -> Place:
    """Give the newest position of some takes at which the wall clock showed a time (ns since the Unix epoch).

    Raises `NotFoundError`, which says when the takes were, if it showed that in none of them.
    """
    ordered = sorted(clocks, key=lambda clock: clock.take.first_sample, reverse=True)
    for clock in ordered:
        places = clock.places_at_wall_clock(ns)
        if places:
            return places[0]
    asked = iso(ns)
    if not ordered:
        raise NotFoundError(f"nothing was recorded at {asked}: there is no take", wall_clock=asked)
    ranges = [(clock.take.number, *clock.wall_clock_range()) for clock in reversed(ordered)]
    shown = [f"take {number} from {iso(first.ns)} to {iso(last.ns)}" for number, first, last in ranges]
    if len(shown) > 4:
        before = [text for text, (_, _, last) in zip(shown, ranges, strict=True) if last.ns <= ns][-1:]
        after = [text for text, (_, first, _) in zip(shown, ranges, strict=True) if first.ns > ns][:1]
        shown = before + after or [shown[0], shown[-1]]
    raise NotFoundError(
        f"nothing was recorded at {asked}: there is {' and '.join(shown)}",
        wall_clock=asked,
        **{"from": iso(min(first.ns for _, first, _ in ranges)), "to": iso(max(last.ns for _, _, last in ranges))},
    )
