"""The part of a session's document that tells of its requests; believes nothing, as documents_reading does."""

from typing import Annotated

import pydantic

from jackcapture.control.maintenance.documents_reading import Count, DocumentPart, Signed
from jackcapture.model.places import MAX_SAMPLE_POSITION
from jackcapture.model.requests import EndedBy, Request, request_from_json
from jackcapture.model.uris import parse_stream_uri

_Position = Annotated[int, pydantic.Field(ge=0, le=MAX_SAMPLE_POSITION)]
_Number = Annotated[int, pydantic.Field(ge=1, le=2**31)]
_Hash = Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Id = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z]+-[0-9a-f]{12}$", max_length=40)]
_Mime = Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z]+/[a-z0-9.+-]+$", max_length=100)]
_Port = Annotated[str, pydantic.StringConstraints(min_length=1, max_length=320)]


class AnswerPart(DocumentPart):
    """What a stream has of an answer."""

    uri: Annotated[str, pydantic.AfterValidator(parse_stream_uri)]
    is_audio: bool
    artifact_id: _Id
    content_hash: _Hash
    mime_type: _Mime
    from_sample: _Position
    to_sample: _Position
    first_frame: Count | None
    capture_latency: tuple[tuple[Count, Count], ...]


class RequestPart(DocumentPart):
    """A request, which has ended."""

    number: _Number
    segment: _Number
    is_own_segment: bool
    output: Annotated[str, pydantic.StringConstraints(max_length=64)]
    to: tuple[_Port, ...]
    sample_rate: Annotated[int, pydantic.Field(ge=1, le=768_000)]
    events: Count
    started_at_ns: Signed
    ended_by: EndedBy
    artifact_id: _Id | None
    content_hash: _Hash | None
    sent: Count
    late_count: Count
    from_frame: Count | None
    first_note_frame: Count | None
    last_event_frame: Count | None
    end_frame: Count | None
    was_loud_before: bool
    answers: tuple[AnswerPart, ...]

    @property
    def request(self) -> Request:
        """The same as a value of the model."""
        return request_from_json(self.model_dump())
