"""What requests of sessions give back; the field names are those that every door shows."""

from dataclasses import dataclass

from jackcapture.model.latency_results import LatencyResult


@dataclass(frozen=True, slots=True)
class SoundResult:
    """Where an answer begins: the stream, the 64-bit JACK frame, and how long after the first note that is."""

    stream_uri: str
    jack_frame: int
    frames: int
    ms: float


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """What a stream has of an answer: an artifact of the sample positions `[from, to)`.

    `first_sound` is its first sample at the threshold or above it, or its first MIDI message, since the first note.
    `capture_latency` is what JACK knows of the way to each port, in frames, and is not subtracted from anything.
    """

    stream_uri: str
    artifact_id: str
    content_hash: str
    mime_type: str
    sample_range: tuple[int, int]
    first_sound: SoundResult | None
    capture_latency: tuple[LatencyResult, ...]


@dataclass(frozen=True, slots=True)
class RequestResult:
    """A request of a session, and its answer.

    `artifact_id` is the MIDI as it was sent, which can be sent again. Frames are 64-bit JACK frames:
    `first_note_frame` and `last_event_frame` those at which these were sent, `[from_frame, end_frame)` what is kept of
    the answer. `first_sound` is that of the audio stream that sounded first. `ended_by` is decayed, maximum, stopped
    (the segment ended), cancelled, failed, interrupted (control died), or None while it runs. `hint` says what is to be
    known of an answer that is none, or that did not end.
    """

    number: int
    segment: int
    wall_clock: str
    ended_by: str | None
    artifact_id: str | None
    to: tuple[str, ...]
    events: int
    sent: int
    late_count: int
    first_note_frame: int | None
    last_event_frame: int | None
    from_frame: int | None
    end_frame: int | None
    first_sound: SoundResult | None
    answers: tuple[AnswerResult, ...]
    hint: str | None
