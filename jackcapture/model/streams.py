"""Stream definitions and formats."""

import enum
import json
from dataclasses import dataclass
from typing import Any

from jackcapture.errors import InvalidValueError
from jackcapture.model.uris import StreamUri, parse_stream_uri

MAX_CHANNELS = 1024
MIN_CHUNK_BYTES = 4096  # one page: the unit in which files are mapped
MAX_CHUNK_BYTES = 1 << 30
DEFAULT_CHUNK_BYTES = 8 << 20
MIN_MIDI_CHUNK_BYTES = 1 << 16  # holds all that one JACK cycle can bring, so that a chunk ends between two frames
DEFAULT_MIDI_CHUNK_BYTES = 1 << 18
MIDI_CHUNK_SECONDS = 60  # a quiet MIDI stream does not fill its chunk, and what is not sealed is lost with the power
MAX_SAMPLE_RATE = 768_000
MAX_SOURCES = MAX_CHANNELS
MAX_SOURCE_LENGTH = 320  # JACK's limit for a full port name, client and port


class SampleFormat(enum.StrEnum):
    """How one sample lies in a chunk; little-endian, frames interleaved."""

    F32 = "f32"
    I24 = "i24"
    I16 = "i16"

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return {"f32": 4, "i24": 3, "i16": 2}[self.value]


def _check_sample_rate(sample_rate: int) -> None:
    if not 1 <= sample_rate <= MAX_SAMPLE_RATE:
        raise InvalidValueError(
            f"a sample rate of {sample_rate} Hz: it must be 1 to {MAX_SAMPLE_RATE}", sample_rate=sample_rate
        )


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Audio: sample rate in Hz, number of channels, sample format."""

    sample_rate: int
    channels: int
    sample_format: SampleFormat = SampleFormat.F32

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise InvalidValueError(
                f"{self.channels} channels: a stream has 1 to {MAX_CHANNELS}", channels=self.channels
            )
        _check_sample_rate(self.sample_rate)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame: one sample of every channel."""
        return self.channels * self.sample_format.sample_bytes

    @property
    def byte_rate(self) -> int:
        """Bytes that one second takes."""
        return self.frame_bytes * self.sample_rate


@dataclass(frozen=True, slots=True)
class MidiFormat:
    """MIDI: records of `u64 sample position, u32 length, bytes`; positions count frames of the sample rate in Hz."""

    sample_rate: int

    def __post_init__(self) -> None:
        _check_sample_rate(self.sample_rate)


StreamFormat = AudioFormat | MidiFormat


def parse_sample_format(text: str) -> SampleFormat:
    """Check the name of a sample format; raise `InvalidValueError` if it is none."""
    try:
        return SampleFormat(text)
    except ValueError:
        known = ", ".join(SampleFormat)
        raise InvalidValueError(f"{text!r} is not a sample format: it must be one of {known}") from None


@dataclass(frozen=True, slots=True)
class StreamDefinition:
    """What a stream is; immutable once created, and kept in the store.

    `sources` are full JACK port names or regular expressions over them, connected in order to the channels.
    """

    uri: StreamUri
    device_identity: str
    format: StreamFormat
    chunk_size_bytes: int = DEFAULT_CHUNK_BYTES
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parse_stream_uri(self.uri)
        if not 1 <= len(self.device_identity) <= 256:
            raise InvalidValueError(
                f"a device identity of {len(self.device_identity)} characters: it must have 1 to 256"
            )
        if not MIN_CHUNK_BYTES <= self.chunk_size_bytes <= MAX_CHUNK_BYTES:
            raise InvalidValueError(
                f"a chunk size of {self.chunk_size_bytes} bytes: it must be {MIN_CHUNK_BYTES} (one page) "
                f"to {MAX_CHUNK_BYTES} (1 GiB)",
                chunk_size_bytes=self.chunk_size_bytes,
            )
        if not self.is_audio and self.chunk_size_bytes < MIN_MIDI_CHUNK_BYTES:
            raise InvalidValueError(
                f"a chunk size of {self.chunk_size_bytes} bytes: it must be at least {MIN_MIDI_CHUNK_BYTES} for MIDI, "
                "so that it holds all events of one JACK cycle",
                chunk_size_bytes=self.chunk_size_bytes,
            )
        if len(self.sources) > MAX_SOURCES:
            raise InvalidValueError(f"{len(self.sources)} sources: at most {MAX_SOURCES} can be named")
        for source in self.sources:
            if not 1 <= len(source) <= MAX_SOURCE_LENGTH:
                raise InvalidValueError(
                    f"source {source[:40]!r} has {len(source)} characters: it must have 1 to {MAX_SOURCE_LENGTH}"
                )

    @property
    def is_audio(self) -> bool:
        """Whether it is an audio stream; else it is a MIDI stream."""
        return isinstance(self.format, AudioFormat)

    @property
    def sample_rate(self) -> int:
        """Hz: what its sample positions count."""
        return self.format.sample_rate

    @property
    def ports(self) -> int:
        """How many JACK ports it has: one per channel, or one MIDI port."""
        return self.format.channels if isinstance(self.format, AudioFormat) else 1

    @property
    def audio(self) -> AudioFormat:
        """The format of an audio stream; raises `InvalidValueError` for a MIDI stream."""
        if not isinstance(self.format, AudioFormat):
            raise InvalidValueError(f"{self.uri} is a MIDI stream; this needs an audio stream")
        return self.format

    @property
    def chunk_frames(self) -> int:
        """Frames after which a chunk is full: always, if it is audio; at the latest, if it is MIDI."""
        if isinstance(self.format, AudioFormat):
            return self.chunk_size_bytes // self.format.frame_bytes
        return MIDI_CHUNK_SECONDS * self.format.sample_rate

    def as_json(self) -> dict[str, Any]:
        """Give the definition as JSON values, the shape that lies in the store."""
        stream_format: dict[str, Any] = {"type": "midi", "sample_rate": self.format.sample_rate}
        if isinstance(self.format, AudioFormat):
            stream_format = {
                "type": "audio",
                "sample_rate": self.format.sample_rate,
                "channels": self.format.channels,
                "sample_format": self.format.sample_format.value,
            }
        return {
            "uri": self.uri,
            "device_identity": self.device_identity,
            "format": stream_format,
            "chunk_size_bytes": self.chunk_size_bytes,
            "sources": list(self.sources),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "StreamDefinition":
        """Read what `as_json` gave; raise `InvalidValueError` if it is not that."""
        try:
            described = document["format"]
            stream_format: StreamFormat
            if described["type"] == "midi":
                stream_format = MidiFormat(int(described["sample_rate"]))
            elif described["type"] == "audio":
                stream_format = AudioFormat(
                    int(described["sample_rate"]),
                    int(described["channels"]),
                    parse_sample_format(described["sample_format"]),
                )
            else:
                raise InvalidValueError(f"stream format {described['type']!r}: it must be 'audio' or 'midi'")
            return cls(
                uri=parse_stream_uri(document["uri"]),
                device_identity=document["device_identity"],
                format=stream_format,
                chunk_size_bytes=int(document["chunk_size_bytes"]),
                sources=tuple(document["sources"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidValueError(f"not a stream definition: {error!r} in {json.dumps(document)[:200]}") from error
