"""Compares the rows of the catalog with each other: takes with their chunks, gaps and clock snapshots. Blocks."""

import json
import sqlite3
from collections.abc import Iterator

from jackcapture.catalog.audit import Audit, StreamRow
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.errors import InvalidValueError
from jackcapture.model.checks import ProblemKind, artifact_address, chunk_address, take_address
from jackcapture.model.overviews import overview_bytes
from jackcapture.model.retention import RemovalReason
from jackcapture.model.takes import ClockReason, GapCause, TransportState
from jackcapture.model.uris import parse_stream_uri

LONGEST_RING_SECONDS = 600
"""What the setting `ring_seconds` allows."""

_REASONS = frozenset(str(word) for word in ClockReason)
_STATES = frozenset(str(word) for word in TransportState)
_REMOVALS = frozenset(str(word) for word in RemovalReason)
_CAUSES = frozenset(str(word) for word in GapCause)


def check_rows(place: CheckPlace, audit: Audit) -> None:
    """Tell what does not fit together in the catalog. Each take is read in one moment."""
    problems = place.problems
    with audit.moment():
        for artifact in audit.artifacts_without_json():
            problems.add(ProblemKind.ROW_MALFORMED, artifact_address(artifact), "its metadata is no JSON object")
        for row in audit.missing_parents():
            problems.add(
                ProblemKind.PARENT_MISSING,
                artifact_address(row["artifact_id"]),
                f"it was made from {row['parent_id']}, which is not there",
            )
        for row in audit.odd_holds():
            what = f"{row['kind']} {row['holder']} holds {row['from_sample']} to {row['to_sample']}"
            problems.add(
                ProblemKind.HOLD_WITHOUT_HOLDER,
                row["uri"],
                f"{what}: it must be an artifact or a session that is there, or a pin, and a range of samples",
            )
        streams = audit.streams()
    for stream in streams:
        place.go_on()
        if stream.definition is None or stream.definition.uri != stream.uri or not _is_uri(stream.uri):
            problems.add(
                ProblemKind.ROW_MALFORMED, stream.uri, f"its definition is none of that stream: {stream.text[:200]}"
            )
            continue
        _check_stream(place, audit, stream)


def _is_uri(text: str) -> bool:
    try:
        parse_stream_uri(text)
    except InvalidValueError:
        return False
    return True


def _check_stream(place: CheckPlace, audit: Audit, stream: StreamRow) -> None:
    with audit.moment():
        takes = audit.takes(stream.id) if audit.has(stream) else []
    before: sqlite3.Row | None = None
    for take in takes:
        if before is not None and before["samples"] is not None:
            end = before["first_sample"] + before["samples"]
            if take["first_sample"] != end:
                place.problems.add(
                    ProblemKind.TAKES_DISORDERED,
                    take_address(stream.uri, take["number"]),
                    f"it begins at {take['first_sample']}; take {before['number']} ends at {end}, where it must begin",
                )
        before = take
    for take in takes:
        place.go_on()
        with audit.moment():
            now = next((row for row in audit.takes(stream.id) if row["number"] == take["number"]), None)
            if now is not None and audit.has(stream):  # it may be deleted meanwhile
                _TakeCheck(place, audit, stream, now).run()


class _TakeCheck:
    def __init__(self, place: CheckPlace, audit: Audit, stream: StreamRow, take: sqlite3.Row) -> None:
        assert stream.definition is not None
        self._place = place
        self._audit = audit
        self._stream = stream
        self._definition = stream.definition
        self._take = take
        self._address = take_address(stream.uri, take["number"])
        self._first = take["first_sample"]
        self._end: int | None = None if take["samples"] is None else self._first + take["samples"]
        self._totals = dict.fromkeys(("chunks", "samples", "bytes", "clipped_samples"), 0)
        self._is_whole = True

    def run(self) -> None:
        """Check what belongs to the take."""
        take = self._take
        if self._first < 0 or (take["samples"] is not None and take["samples"] < 0):
            self._add(ProblemKind.ROW_MALFORMED, self._address, "its positions are negative")
            return
        self._check_latencies()
        removals = self._audit.removals(take["id"])
        position = self._check_sequence(removals)
        if self._end is not None and self._is_whole and position != self._end:
            self._is_whole = False
            self._add(
                ProblemKind.TAKE_LENGTH,
                self._address,
                f"its chunks end at {position}; it has {take['samples']} samples and ends at {self._end}",
            )
        gap_count, lost = self._check_gaps()
        if self._is_whole:
            self._check_totals(removals, gap_count, lost)
        self._check_clocks()

    def _add(self, kind: ProblemKind, address: str, message: str) -> None:
        self._place.problems.add(kind, address, message)

    def _check_latencies(self) -> None:
        try:
            found = json.loads(self._take["latencies"])
            if not all(isinstance(end, int) for least, most in found for end in (least, most)):
                raise ValueError("no numbers")
        except (ValueError, TypeError, RecursionError):
            text = self._take["latencies"][:80]
            self._add(ProblemKind.ROW_MALFORMED, self._address, f"its latencies are no list of pairs: {text!r}")

    # --- chunks ---

    def _check_sequence(self, removals: list[sqlite3.Row]) -> int:
        """Check that chunks and what was removed follow each other; gives where the last one ends."""
        index = 0
        position: int = self._first
        for address, first_index, end_index, first, end in self._parts(removals):
            is_new = first_index == index and first == position
            # Of a take that runs, chunks are sealed side by side: a later one may be in the catalog before an earlier.
            is_early = self._end is None and first_index > index and first > position
            if not is_new and not is_early:
                self._is_whole = False
                self._add(
                    ProblemKind.CHUNK_SEQUENCE,
                    address,
                    f"it is number {first_index} and begins at {first}; after what comes before it must be number "
                    f"{index}, and begin at {position}",
                )
            index, position = end_index, end
        return position

    def _parts(self, removals: list[sqlite3.Row]) -> Iterator[tuple[str, int, int, int, int]]:
        """Give chunks and removed runs in order, as (address, first index, end index, first sample, end sample)."""
        waiting = removals[::-1]
        for row in self._audit.chunks(self._take["id"]):
            while waiting and waiting[-1]["first_index"] <= row["chunk_index"]:
                yield self._removal(waiting.pop())
            self._check_chunk(row)
            index = row["chunk_index"]
            address = chunk_address(self._stream.uri, self._take["number"], index)
            yield address, index, index + 1, row["first_sample"], row["first_sample"] + row["samples"]
        while waiting:
            yield self._removal(waiting.pop())

    def _removal(self, row: sqlite3.Row) -> tuple[str, int, int, int, int]:
        address = chunk_address(self._stream.uri, self._take["number"], row["first_index"])
        if row["reason"] not in _REMOVALS:
            known = ", ".join(sorted(_REMOVALS))
            self._add(ProblemKind.ROW_MALFORMED, address, f"removed for {row['reason']!r}: it must be one of {known}")
        return address, row["first_index"], row["end_index"], row["first_sample"], row["end_sample"]

    def _check_chunk(self, row: sqlite3.Row) -> None:
        address = chunk_address(self._stream.uri, self._take["number"], row["chunk_index"])
        self._totals["chunks"] += 1
        for name in ("samples", "bytes", "clipped_samples"):
            self._totals[name] += row[name]
        if row["removing"] is not None and row["removing"] not in _REMOVALS:
            self._add(ProblemKind.ROW_MALFORMED, address, f"being removed for {row['removing']!r}")
        if row["samples"] <= 0:
            self._add(ProblemKind.ROW_MALFORMED, address, f"it has {row['samples']} samples")
        if self._definition.is_audio:
            if row["overview_hash"] is not None:
                self._totals["bytes"] += overview_bytes(row["samples"], self._definition.audio.channels)
            expected = row["samples"] * self._definition.audio.frame_bytes
            if row["bytes"] != expected:
                self._is_whole = False  # its totals are wrong because of it
                self._add(
                    ProblemKind.CHUNK_BYTES,
                    address,
                    f"{row['bytes']} bytes for {row['samples']} samples: it must be {expected}",
                )

    # --- gaps, clock snapshots, totals ---

    def _check_gaps(self) -> tuple[int, int]:
        """Check the gaps; gives how many there are, and how many frames they lost."""
        count = lost = 0
        before = self._first
        for row in self._audit.gaps(self._take["id"]):
            position, frames, cause = row["position"], row["frames"], row["cause"]
            what = f"a gap of {frames} frames at {position} ({cause})"
            count += 1
            lost += frames
            # One that a stop cut off may reach beyond the end.
            if position < self._first or frames <= 0 or (self._end is not None and position >= self._end):
                end = "its end" if self._end is None else self._end
                self._add(ProblemKind.GAP_MISPLACED, self._address, f"{what}: it must lie in {self._first} to {end}")
            elif position < before and self._definition.is_audio:
                self._add(ProblemKind.GAP_MISPLACED, self._address, f"{what}: the gap before it ends at {before}")
            if cause not in _CAUSES:
                known = ", ".join(sorted(_CAUSES))
                self._add(ProblemKind.ROW_MALFORMED, self._address, f"{what}: the cause must be one of {known}")
            before = position + frames
        return count, lost

    def _check_totals(self, removals: list[sqlite3.Row], gap_count: int, lost: int) -> None:
        take, found = self._take, self._totals
        removed = sum(row["end_sample"] - row["first_sample"] for row in removals)
        said = {
            "chunks": take["sealed_chunks"] - take["removed_chunks"],
            "samples": take["sealed_samples"] - removed,
            "bytes": take["sealed_bytes"] + take["overview_bytes"] - take["removed_bytes"],
        }
        if not removals:  # gaps and clipped samples go with their chunks; the totals of them stay
            said |= {"clipped_samples": take["clipped_samples"]}
            said |= {"gap_count": take["gap_count"], "lost_frames": take["lost_frames"]}
            found = found | {"gap_count": gap_count, "lost_frames": lost}
        wrong = [f"{name} {said[name]}, by its rows {found[name]}" for name in said if said[name] != found[name]]
        if wrong:
            self._add(ProblemKind.TAKE_TOTALS, self._address, f"its totals are wrong: {'; '.join(wrong)}")

    def _check_clocks(self) -> None:
        take_id, start_frame = self._take["id"], self._take["start_frame"]
        # A chunk's last snapshot is of the newest cycle: after the stop, as far as the ring had to be emptied still.
        last = None if self._end is None else self._end + LONGEST_RING_SECONDS * self._definition.sample_rate
        for position in self._audit.misplaced_clocks(take_id, self._first, last, start_frame)[:1]:
            self._add(
                ProblemKind.CLOCK_MISPLACED,
                self._address,
                f"a clock snapshot at {position} lies outside, or is of another JACK frame than that position's",
            )
        for position in self._audit.malformed_clocks(take_id, _REASONS, _STATES)[:1]:
            self._add(
                ProblemKind.ROW_MALFORMED,
                self._address,
                f"a clock snapshot at {position} has no JSON, or words that nobody knows",
            )
