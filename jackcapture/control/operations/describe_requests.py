"""Turns requests into results."""

from jackcapture.control.sessions.settings import RequestSettings, session_settings
from jackcapture.model.latency_results import LatencyResult
from jackcapture.model.request_results import AnswerResult, RequestResult, SoundResult
from jackcapture.model.requests import Answer, EndedBy, Request
from jackcapture.model.sessions import Session
from jackcapture.model.times import iso

_DECIMALS = 3  # of milliseconds


def describe_requests(session: Session) -> tuple[RequestResult, ...]:
    """Give the requests of a session as results."""
    if not session.requests:
        return ()
    asked = session_settings(session.settings).request
    return tuple(describe_request(request, asked) for request in session.requests)


def describe_request(request: Request, asked: RequestSettings) -> RequestResult:
    """Give a request as a result; `asked` are its session's settings of requests."""
    first = request.first_sound
    return RequestResult(
        request.number,
        request.segment,
        iso(request.started_at_ns),
        None if request.ended_by is None else request.ended_by.value,
        request.artifact_id,
        request.to,
        request.events,
        request.sent,
        request.late_count,
        request.first_note_frame,
        request.last_event_frame,
        request.from_frame,
        request.end_frame,
        None if first is None else _sound(request, first),
        tuple(_answer(request, answer) for answer in request.answers),
        _hint(request, asked),
    )


def _answer(request: Request, answer: Answer) -> AnswerResult:
    return AnswerResult(
        answer.uri,
        answer.artifact_id,
        answer.content_hash,
        answer.mime_type,
        (answer.from_sample, answer.to_sample),
        _sound(request, answer),
        tuple(LatencyResult(least, most) for least, most in answer.capture_latency),
    )


def _sound(request: Request, answer: Answer) -> SoundResult | None:
    if answer.first_frame is None or request.first_note_frame is None:
        return None
    frames = answer.first_frame - request.first_note_frame
    return SoundResult(answer.uri, answer.first_frame, frames, round(frames * 1000 / request.sample_rate, _DECIMALS))


def _hint(request: Request, asked: RequestSettings) -> str | None:
    if request.ended_by is None or not request.ended_by.has_answers:
        return None
    hints = []
    if request.was_loud_before:
        hints.append(
            f"the streams were at {asked.threshold_db:g} dBFS or above before the first note, so the first sound may "
            "not be of the answer: raise request.threshold_db"
        )
    if all(answer.first_frame is None for answer in request.answers):
        hints.append(
            f"no stream had a sample of {asked.threshold_db:g} dBFS or a MIDI message after the first note: look "
            f"whether {', '.join(request.to)} answers on that MIDI channel, and is a source of the streams"
        )
    if request.ended_by is EndedBy.MAXIMUM:
        hints.append(
            f"the answer was not below {asked.threshold_db:g} dBFS for {asked.hold_seconds:g} s within "
            f"{asked.max_seconds:g} s after the last message, and may go on: raise request.threshold_db or "
            "request.max_seconds"
        )
    if request.ended_by is EndedBy.STOPPED:
        hints.append("the segment, or what it recorded, ended before the answer had decayed")
    return "; ".join(hints) or None
