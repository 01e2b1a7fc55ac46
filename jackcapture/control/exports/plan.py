"""What an export consists of: its parts, their files, and where they lie on the session's one timeline. No I/O."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from jackcapture.clock.distance import frames_apart
from jackcapture.errors import ConflictError, InvalidValueError
from jackcapture.model.sessions import Mark, Segment, SegmentClock, SegmentRange, Session
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.uris import StreamUri

PROJECT = "session.rpp"
README = "README.txt"
PROVENANCE = "provenance.json"
SESSION = "session.json"
TIMELINE = "timeline.json"


class ExportFormat(enum.StrEnum):
    """How a session is exported."""

    FOLDER = "folder"
    TAR = "tar"
    BAGIT = "bagit"
    REAPER = "reaper"


@dataclass(frozen=True, slots=True)
class Part:
    """What a segment has of a stream; `position` is in frames of the timeline, `path` None if it recorded nothing."""

    segment: int
    definition: StreamDefinition
    take_number: int
    from_sample: int
    to_sample: int
    position: int
    path: str | None

    @property
    def uri(self) -> StreamUri:
        """The stream."""
        return self.definition.uri

    @property
    def frames(self) -> int:
        """Its length in frames."""
        return self.to_sample - self.from_sample


@dataclass(frozen=True, slots=True)
class PlacedSegment:
    """A segment on the timeline, in frames; `is_by_jack`: its distance to the one before it is told by JACK's frames.

    Else JACK's server was another one, and the wall clock tells it.
    """

    number: int
    position: int
    frames: int
    is_by_jack: bool
    started: SegmentClock
    ended: SegmentClock


@dataclass(frozen=True, slots=True)
class PlacedMark:
    """A mark on the timeline."""

    mark: Mark
    position: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is exported of a session, in order. The timeline begins with the first segment and counts frames."""

    session: Session
    sample_rate: int
    definitions: tuple[StreamDefinition, ...]
    segments: tuple[PlacedSegment, ...]
    parts: tuple[Part, ...]
    marks: tuple[PlacedMark, ...]

    @property
    def frames(self) -> int:
        """The length of the timeline."""
        return max(segment.position + segment.frames for segment in self.segments)

    @property
    def ended_at_ns(self) -> int:
        """When the last segment ended: the time that everything in the export bears."""
        return self.segments[-1].ended.wall_clock_ns

    def seconds(self, frames: int) -> float:
        """Give so many frames in seconds, to the nanosecond."""
        return round(frames / self.sample_rate, 9)


def parse_export_format(text: str) -> ExportFormat:
    """Read the format of an export; raises `InvalidValueError`."""
    try:
        return ExportFormat(text)
    except ValueError:
        raise InvalidValueError(
            f"{text!r} is not a format of an export: it must be {', '.join(ExportFormat)}", output_format=text
        ) from None


def plan_export(session: Session, definitions: Mapping[StreamUri, StreamDefinition]) -> Plan:
    """Say what is exported of a session; raises `ConflictError` if it plays, or was never played."""
    if session.running is not None:
        raise ConflictError(
            f"{session.id} is playing its segment {session.running.number}; stop it first, then export it",
            session_id=session.id,
        )
    if not session.segments:
        raise ConflictError(
            f"{session.id} has not been played yet: there is nothing to export; play it first", session_id=session.id
        )
    streams = tuple(definitions[uri] for uri in session.streams)
    rate = streams[0].sample_rate
    placed = _place(session.segments, rate)
    by_number = {segment.number: segment for segment in placed}
    widths = len(str(session.segments[-1].number)), len(str(len(streams)))
    parts = []
    for segment in session.segments:
        for ordinal, definition in enumerate(streams, 1):
            found = segment.range_of(definition.uri)
            if found is not None:
                stem = f"segment-{segment.number:0{max(2, widths[0])}}_stream-{ordinal:0{max(2, widths[1])}}"
                parts.append(_part(by_number[segment.number], definition, found, stem))
    marks = []
    for mark in session.marks:
        at = by_number[mark.segment]
        marks.append(PlacedMark(mark, at.position + mark.jack_frame - at.started.jack_frame))
    marks.sort(key=lambda it: (it.position, it.mark.name))
    return Plan(session, rate, streams, placed, tuple(parts), tuple(marks))


def _place(segments: tuple[Segment, ...], rate: int) -> tuple[PlacedSegment, ...]:
    placed: list[PlacedSegment] = []
    for segment in segments:
        started, ended = segment.started, segment.ended
        assert ended is not None
        position, is_by_jack = 0, True
        if placed:
            before = placed[-1]
            apart, is_by_jack = frames_apart(
                started.jack_frame - before.started.jack_frame,
                started.wall_clock_ns - before.started.wall_clock_ns,
                rate,
            )
            # A wall clock that was set back must not lay one segment over the other.
            position = before.position + max(apart, before.frames)
        frames = ended.jack_frame - started.jack_frame
        placed.append(PlacedSegment(segment.number, position, frames, is_by_jack, started, ended))
    return tuple(placed)


def _part(segment: PlacedSegment, definition: StreamDefinition, found: SegmentRange, stem: str) -> Part:
    assert found.to_sample is not None  # the segment has ended
    device, _, name = definition.uri.removeprefix("stream://").partition("/")
    folder, suffix = ("audio", "wav") if definition.is_audio else ("midi", "mid")
    path = f"{folder}/{stem}_{device}_{name}.{suffix}" if found.to_sample > found.from_sample else None
    offset = found.frame_of(found.from_sample) - segment.started.jack_frame
    return Part(
        segment.number,
        definition,
        found.take_number,
        found.from_sample,
        found.to_sample,
        segment.position + offset,
        path,
    )
