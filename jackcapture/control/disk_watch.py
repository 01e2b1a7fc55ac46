"""Tells how long the disks of the store last, and warns before that is too short."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jackcapture.control.chunk_supply import ChunkSupply
from jackcapture.control.disk_space import DiskSpace, Space
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.patient_reads import PatientReads
from jackcapture.model.overviews import overview_room
from jackcapture.model.streams import StreamDefinition
from jackcapture.protocol.messages import DiskLow, Event

log = logging.getLogger(__name__)

RECOVERED = 1.25
"""A disk is no longer low when its space lasts for so many times the setting: no warning comes and goes."""

STALL_SECONDS = 2.0
"""How long the disk may take for a chunk or a read before users are told."""

_CLOCK_BYTES = 400  # of a clock snapshot, in a manifest or in the catalog; there is about one a second
_CHUNK_BYTES = 600  # of a chunk there


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes a second that the streams which record need: `chunks` with their overviews, `rows` in the catalog."""

    chunks: float = 0.0
    rows: float = 0.0


@dataclass(frozen=True, slots=True)
class Low:
    """A disk whose space will not last; `seconds_left` until its reserve is all that is left."""

    space: Space
    seconds_left: float

    @property
    def message(self) -> str:
        """Say so, and what to do."""
        space = self.space
        return (
            f"the disk of {space.path} lasts for {self.seconds_left:.0f} s at the rate of what records: "
            f"{space.left_bytes} bytes are left, besides the reserve of {space.reserve_bytes}; make room or stop a "
            "stream"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a look at the disks has shown.

    `free_bytes` are those of staging or content, whichever has less; `seconds_left` until the first stream has to end,
    None if nothing records.
    """

    free_bytes: int
    seconds_left: float | None
    low: Low | None


def rates_of(streams: Iterable[ManagedStream]) -> Rates:
    """Give what the streams that record need: of audio by definition, of MIDI by what its take has brought so far."""
    chunks = rows = 0.0
    for stream in streams:
        take, state, definition = stream.take, stream.engine_state, stream.definition
        if take is None or take.ended_samples is not None:
            continue
        rows += _CLOCK_BYTES + (_CLOCK_BYTES + _CHUNK_BYTES) * definition.sample_rate / definition.chunk_frames
        if definition.is_audio:
            size = definition.chunk_size_bytes + overview_room(definition)
            chunks += size * definition.sample_rate / definition.chunk_frames
        elif state is not None and state.head_sample > state.first_sample:
            chunks += state.head_bytes * definition.sample_rate / (state.head_sample - state.first_sample)
    return Rates(chunks, rows)


def manifest_bytes(definition: StreamDefinition, head_sample: int) -> int:
    """Estimate the manifest of a stream that has come to a sample position: it lists all from the first on."""
    seconds, chunks = head_sample / definition.sample_rate, 1 + head_sample / definition.chunk_frames
    return int(_CLOCK_BYTES * (seconds + chunks) + _CHUNK_BYTES * chunks)


def seconds_until_full(staging: Space, content: Space, catalog: Space, rates: Rates) -> list[tuple[Space, float]]:
    """Give the disks that fill, and when; the last one is where the first stream has to end.

    A chunk is made in staging and stays on that disk if content is there, too. If it is not, each chunk is copied and
    its place in staging is free again; only when content or catalog is full do chunks pile up in staging.
    """
    needs: dict[int, tuple[Space, float]] = {content.device: (content, rates.chunks)}
    _, need = needs.get(catalog.device, (catalog, 0.0))
    needs[catalog.device] = (content if catalog.device == content.device else catalog), need + rates.rows
    times = {device: (space, _seconds(space, need)) for device, (space, need) in needs.items()}
    first = min((seconds for _, seconds in times.values()), default=0.0)
    if staging.device == content.device:
        # Without room for rows chunks pile up where they are; that costs nothing more.
        end = times.pop(content.device)
        return [*times.values(), end]
    return [*times.values(), (staging, first + _seconds(staging, rates.chunks))]


def _seconds(space: Space, rate: float) -> float:
    if not space.left_bytes:
        return 0.0
    return space.left_bytes / rate if rate else float("inf")


class DiskWatch:
    """Looks at the disks, once a second and whenever somebody asks; on the asyncio loop."""

    def __init__(
        self,
        low_seconds: float,
        supply: ChunkSupply,
        reads: PatientReads,
        streams: Callable[[], list[ManagedStream]],
        publish: Callable[[Event], None],
    ) -> None:
        self._low_seconds = low_seconds
        self._supply = supply
        self._space: DiskSpace = supply.space
        self._reads = reads
        self._streams = streams
        self._publish = publish
        self._rates = Rates()  # the last at which something was recorded
        self._low: Low | None = None

    async def look(self) -> Report:
        """Look at the disks, warn if there is something new to warn of, and give what was seen."""
        recording = [stream for stream in self._streams() if stream.is_recording]
        self._space.promised_bytes = sum(
            manifest_bytes(stream.definition, stream.take.head_sample)
            for stream in recording
            if stream.take is not None
        )
        staging, content, catalog = await self._reads.read("disks", self._look_at_all)
        if recording:
            self._rates = rates_of(recording)
        times = seconds_until_full(staging, content, catalog, self._rates)
        space, seconds = min(times, key=lambda time: time[1])
        self._note(space, seconds)
        end = times[-1][1]
        return Report(
            min(staging.free_bytes, content.free_bytes),
            end if recording and end != float("inf") else None,
            self._low,
        )

    def warnings(self) -> tuple[str, ...]:
        """Give what users should know of the disks, as of the last look."""
        found = [] if self._low is None else [self._low.message]
        stalled = max(self._supply.busy_seconds(), self._reads.stalled_seconds())
        if stalled > STALL_SECONDS:
            fills = [stream.engine_state.ring_fill for stream in self._streams() if stream.engine_state is not None]
            found.append(
                f"the disk of the store has kept us waiting for {stalled:.0f} s; what is recorded meanwhile stays in "
                f"the rings, of which the fullest is full to {100 * max(fills, default=0.0):.0f} %"
            )
        return tuple(found)

    def _look_at_all(self) -> tuple[Space, Space, Space]:
        return self._space.staging(), self._space.content(), self._space.catalog()

    def _note(self, space: Space, seconds: float) -> None:
        threshold = self._low_seconds * (1.0 if self._low is None else RECOVERED)
        was_low = self._low is not None
        self._low = Low(space, seconds) if seconds < threshold or seconds == 0 else None
        if self._low is not None and not was_low:
            log.warning("%s", self._low.message)
        elif self._low is None and was_low:
            log.info("the disk of %s has room again: %d bytes are left", space.path, space.left_bytes)
        else:
            return
        left = seconds if seconds != float("inf") else 0.0
        self._publish(DiskLow(self._low is not None, space.path, left, space.free_bytes))
