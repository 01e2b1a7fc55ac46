"""What may stand in a session template, with types and limits; what a session keeps of it is as `session create` says.

The keys of a stream are the arguments of `stream_create`, where `format` is its `sample_format`.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pydantic

from jackcapture.control.retention_words import parse_bytes, parse_retention
from jackcapture.control.sessions.settings import (
    RequestSettings,
    SessionSettings,
    TransportSettings,
    TriggerSettings,
    settings_as_json,
)
from jackcapture.control.templates.toml_lines import KeyPath
from jackcapture.errors import InvalidValueError
from jackcapture.model.durations import parse_duration
from jackcapture.model.retention import Retention
from jackcapture.model.sessions import SessionMode
from jackcapture.model.streams import (
    DEFAULT_CHUNK_BYTES,
    DEFAULT_MIDI_CHUNK_BYTES,
    MAX_CHANNELS,
    MAX_CHUNK_BYTES,
    MAX_SAMPLE_RATE,
    MAX_SOURCE_LENGTH,
    MAX_SOURCES,
    MIN_CHUNK_BYTES,
    AudioFormat,
    MidiFormat,
    SampleFormat,
    StreamDefinition,
)
from jackcapture.model.uris import StreamUri, device_of, parse_stream_uri

MAX_DESCRIPTION = 200
MAX_ABOUT = 4000
MAX_STREAMS = 256

_ANY_RATE = 48_000  # for checks in which the rate does not matter

Problem = tuple[KeyPath, str]
"""Where something is wrong in a template, and what."""


class TemplateStream(pydantic.BaseModel):
    """A stream that a session of the template has, made if it does not exist; audio with `channels`, or `midi`."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)

    uri: str
    channels: Annotated[int, pydantic.Field(ge=1, le=MAX_CHANNELS)] | None = None
    midi: bool = False
    sources: Annotated[
        tuple[Annotated[str, pydantic.Field(min_length=1, max_length=MAX_SOURCE_LENGTH)], ...],
        pydantic.Field(max_length=MAX_SOURCES),
    ] = ()
    format: SampleFormat | None = None
    chunk_size_bytes: Annotated[int, pydantic.Field(ge=MIN_CHUNK_BYTES, le=MAX_CHUNK_BYTES)] | None = None
    sample_rate: Annotated[int, pydantic.Field(ge=1, le=MAX_SAMPLE_RATE)] | None = None
    device_identity: Annotated[str, pydantic.Field(min_length=1, max_length=256)] | None = None
    keep: str | None = None
    keep_bytes: Any = None
    keep_chunks: Annotated[int, pydantic.Field(ge=1, le=2**63 - 1)] | None = None

    @property
    def stream_uri(self) -> StreamUri:
        """The stream's URI."""
        return parse_stream_uri(self.uri)

    @property
    def retention(self) -> Retention:
        """How much of the stream is kept."""
        return parse_retention(self.keep, self.keep_bytes, self.keep_chunks)

    def definition(self, sample_rate: int) -> StreamDefinition:
        """Give the definition at a sample rate (Hz), unless the template says another one."""
        rate, uri = self.sample_rate or sample_rate, self.stream_uri
        is_midi = self.channels is None
        return StreamDefinition(
            uri,
            self.device_identity or device_of(uri),
            MidiFormat(rate)
            if self.channels is None
            else AudioFormat(rate, self.channels, self.format or SampleFormat.F32),
            self.chunk_size_bytes or (DEFAULT_MIDI_CHUNK_BYTES if is_midi else DEFAULT_CHUNK_BYTES),
            self.sources,
        )

    def problems(self) -> Iterator[Problem]:
        """Tell what is wrong although each key has the right type."""
        refused = False
        readings = (
            ("uri", parse_stream_uri, self.uri),
            ("keep", parse_duration, self.keep),
            ("keep_bytes", parse_bytes, self.keep_bytes),
        )
        for key, read, value in readings:
            try:
                if value is not None:
                    read(value)
            except InvalidValueError as error:
                refused = True
                yield (key,), error.message
        if self.channels is None and not self.midi:
            yield (), f"the number of channels is missing: give channels = 1 to {MAX_CHANNELS}, or midi = true"
        elif self.channels is not None and self.midi:
            yield ("channels",), "a stream has channels, or midi = true, not both"
        elif self.midi and self.format is not None:
            yield ("format",), "MIDI has no samples: leave the format out"
        elif not refused:
            yield from self._refusal()

    def _refusal(self) -> Iterator[Problem]:
        try:
            self.retention.check_for(self.definition(_ANY_RATE))
        except InvalidValueError as error:
            key = next((key for key in error.details if key in TemplateStream.model_fields), None)
            yield () if key is None else (key,), error.message


class Template(SessionSettings):
    """A session template: the settings of a session, its mode and its streams, and words about it."""

    description: Annotated[str, pydantic.Field(min_length=1, max_length=MAX_DESCRIPTION)]
    about: Annotated[str, pydantic.Field(max_length=MAX_ABOUT)] = ""
    mode: SessionMode = SessionMode.PASSIVE
    streams: Annotated[tuple[TemplateStream, ...], pydantic.Field(max_length=MAX_STREAMS)] = ()

    def problems(self, written: Mapping[str, Any]) -> Iterator[Problem]:
        """Tell what is wrong although each key has the right type; `written` is the document."""
        if not self.description.isprintable() or self.description != self.description.strip():
            yield (
                ("description",),
                "it must be one line of printable characters, without a space at either end; `about` may have more",
            )
        try:
            settings_as_json(self, self.mode, written)
        except InvalidValueError as error:
            yield (error.details["key"],), error.message
        seen = set()
        for index, stream in enumerate(self.streams):
            for path, said in stream.problems():
                yield ("streams", index, *path), said
            if stream.uri in seen:
                yield ("streams", index, "uri"), f"{stream.uri} is there already: name each stream once"
            seen.add(stream.uri)


_PARTS: dict[KeyPath, type[pydantic.BaseModel]] = {
    (): Template,
    ("transport",): TransportSettings,
    ("request",): RequestSettings,
    ("trigger",): TriggerSettings,
    ("streams",): TemplateStream,
}

OTHER_WORDS = {
    "sample_format": "format",
    "rate": "sample_rate",
    "chunk_bytes": "chunk_size_bytes",
    "stream": "streams",
}
"""What other doors call a key."""


def known_keys(path: KeyPath) -> list[str]:
    """Give the keys of the table at a path."""
    part = _PARTS.get(tuple(key for key in path if isinstance(key, str)))
    return [] if part is None else list(part.model_fields)
