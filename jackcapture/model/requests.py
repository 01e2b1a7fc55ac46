"""Requests of a session: MIDI that was sent, and what its streams have of the answer."""

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from jackcapture.model.uris import StreamUri


class EndedBy(enum.StrEnum):
    """What ended a request."""

    DECAYED = "decayed"  # the answer was quiet for as long as the session's settings say
    MAXIMUM = "maximum"  # it was not, up to the longest that an answer may last
    STOPPED = "stopped"  # the segment, or all takes of it, ended meanwhile
    CANCELLED = "cancelled"  # by its caller
    FAILED = "failed"  # it could not be sent, or not be heard
    INTERRUPTED = "interrupted"  # control died meanwhile

    @property
    def has_answers(self) -> bool:
        """Whether the answer was kept as artifacts."""
        return self in (EndedBy.DECAYED, EndedBy.MAXIMUM, EndedBy.STOPPED)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a stream has of an answer: an artifact of the sample positions `[from_sample, to_sample)`.

    `first_frame` is the 64-bit JACK frame of its first sound or MIDI message since the first note; None: none.
    """

    uri: StreamUri
    is_audio: bool
    artifact_id: str
    content_hash: str
    mime_type: str
    from_sample: int
    to_sample: int
    first_frame: int | None
    capture_latency: tuple[tuple[int, int], ...] = ()  # least and most of each port, in frames


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `ended_by` is None while it runs, and what is not known yet, or never was, is None.

    Of its messages, `events`, the first `sent` were sent, `late_count` of them late. All frames are 64-bit JACK frames:
    `first_note_frame` is that at which the first note on was sent (the first message, if there is no note),
    `last_event_frame` that of the last message; `[from_frame, end_frame)` is what is kept of the answer.
    `started_at_ns` is the wall clock of the first note, once it was sent. `is_own_segment`: the segment was begun for
    the request, and ends with it. `was_loud_before`: the streams were not silent before the first note.
    """

    number: int
    segment: int
    is_own_segment: bool
    output: str
    to: tuple[str, ...]
    sample_rate: int
    events: int
    started_at_ns: int
    ended_by: EndedBy | None = None
    artifact_id: str | None = None
    content_hash: str | None = None
    sent: int = 0
    late_count: int = 0
    from_frame: int | None = None
    first_note_frame: int | None = None
    last_event_frame: int | None = None
    end_frame: int | None = None
    was_loud_before: bool = False
    answers: tuple[Answer, ...] = ()

    @property
    def first_sound(self) -> Answer | None:
        """The audio stream that sounded first after the first note."""
        sounding = [it for it in self.answers if it.is_audio and it.first_frame is not None]
        return min(sounding, key=lambda it: it.first_frame or 0, default=None)

    @property
    def artifact_ids(self) -> tuple[str, ...]:
        """The artifacts that it made: those of the answers before what they were made from."""
        own = () if self.artifact_id is None else (self.artifact_id,)
        return (*(answer.artifact_id for answer in self.answers), *own)

    def ended(self, ended_by: EndedBy) -> "Request":
        """Give the same, ended."""
        return replace(self, ended_by=ended_by)

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return asdict(self)


def request_from_json(values: Mapping[str, Any]) -> Request:
    """Give the request that `as_json` gave, which is trusted."""
    ended_by = values["ended_by"]
    answers = [
        Answer(
            **{
                **answer,
                "uri": StreamUri(answer["uri"]),
                "capture_latency": tuple((least, most) for least, most in answer["capture_latency"]),
            }
        )
        for answer in values["answers"]
    ]
    return Request(
        **{
            **values,
            "to": tuple(values["to"]),
            "ended_by": None if ended_by is None else EndedBy(ended_by),
            "answers": tuple(answers),
        }
    )
