"""What is asked of a slice: range, format, and how it is made. Checked here, before anything is read."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jackcapture.control.managed_stream import ManagedStream
from jackcapture.errors import InvalidValueError
from jackcapture.formats.flac import flac_sample_format
from jackcapture.formats.midi_chase import CHASE_ALL, ChaseKind
from jackcapture.formats.midi_records import MIDI_RECORDS_TYPE
from jackcapture.formats.samples import RAW_TYPE
from jackcapture.formats.smf import SMF_TYPE
from jackcapture.model.streams import AudioFormat, SampleFormat, StreamDefinition
from jackcapture.protocol.messages import StreamState

AUDIO_TYPES = {"wav": "audio/vnd.wave", "flac": "audio/flac", "raw": RAW_TYPE}
MIDI_TYPES = {"mid": SMF_TYPE, "raw": MIDI_RECORDS_TYPE}
SLICE_TYPE = "application/vnd.jackcapture.slice+json"
"""The MIME type of a virtual slice."""


class BetweenTakes(enum.StrEnum):
    """What a slice over several takes has between them."""

    JOIN = "join"  # nothing: the next take follows at once, as the sample positions do
    SILENCE = "silence"  # as long as nothing was recorded
    ERROR = "error"  # it is refused


@dataclass(frozen=True, slots=True)
class SliceOptions:
    """How a slice is made. `sample_format` None: that of the stream (FLAC: what it can hold of that)."""

    output_format: str
    sample_format: SampleFormat | None = None
    between_takes: BetweenTakes = BetweenTakes.JOIN
    is_virtual: bool = False
    chase: frozenset[ChaseKind] = CHASE_ALL
    midi_file_type: int = 1

    @classmethod
    def default_for(cls, definition: StreamDefinition) -> "SliceOptions":
        """Give the options for which none are asked."""
        return cls(default_output_format(definition))

    def audio(self, definition: StreamDefinition) -> AudioFormat:
        """Give the format of the samples in the slice of an audio stream."""
        stored = definition.audio
        wanted = self.sample_format or stored.sample_format
        if self.output_format == "flac" and self.sample_format is None:
            wanted = flac_sample_format(stored)
        return AudioFormat(stored.sample_rate, stored.channels, wanted)

    def check_for(self, definition: StreamDefinition) -> None:
        """Raise `InvalidValueError` for what a slice of this stream cannot be."""
        mime_type(definition, self.output_format)
        if self.sample_format is not None and not definition.is_audio:
            raise InvalidValueError(
                f"{definition.uri}: the sample format {self.sample_format.value!r}: MIDI has no samples; leave it out"
            )
        if self.output_format == "flac":
            flac_sample_format(definition.audio)
            if self.sample_format is SampleFormat.F32:
                raise InvalidValueError("a FLAC file of f32: FLAC has integers; ask for i24 or i16, or for a WAV file")
        if self.is_virtual:
            self._check_virtual(definition)

    def _check_virtual(self, definition: StreamDefinition) -> None:
        if self.output_format in ("flac", "mid"):
            raise InvalidValueError(
                f"a virtual slice as {self.output_format}: its bytes must be those of the chunks, in "
                f"{'wav or raw' if definition.is_audio else 'raw'}; leave --virtual out, or choose another format",
                output_format=self.output_format,
            )
        if definition.is_audio and self.audio(definition) != definition.audio:
            raise InvalidValueError(
                f"a virtual slice of {definition.audio.sample_format} as {self.sample_format}: its bytes must be those "
                "of the chunks; leave --virtual or the sample format out",
            )


@dataclass(frozen=True, slots=True)
class SliceRequest:
    """What to cut: `[from_sample, to_sample)` of a stream, `state` being the engine's, just drained.

    `asked` is the range as the user wrote it; `parents` are what it is made from besides the stream, `noted` goes into
    the artifact's metadata.
    """

    stream: ManagedStream
    state: StreamState | None
    from_sample: int
    to_sample: int
    options: SliceOptions
    asked: str
    parents: tuple[str, ...] = ()
    noted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needed_bytes(self) -> int:
        """The bytes that its file may take of the disk: 0 for MIDI and virtual slices, which are next to nothing."""
        definition = self.stream.definition
        if not definition.is_audio or self.options.is_virtual:
            return 0
        return (self.to_sample - self.from_sample) * self.options.audio(definition).frame_bytes


def default_output_format(definition: StreamDefinition) -> str:
    """Give the format of a slice for which none is asked."""
    return next(iter(AUDIO_TYPES if definition.is_audio else MIDI_TYPES))


def mime_type(definition: StreamDefinition, output_format: str) -> str:
    """Give the MIME type of a format; raises `InvalidValueError` for one in which the stream cannot be written."""
    types = AUDIO_TYPES if definition.is_audio else MIDI_TYPES
    found = types.get(output_format)
    if found is None:
        kind = "an audio" if definition.is_audio else "a MIDI"
        raise InvalidValueError(
            f"{output_format!r} is not a format for a slice of {definition.uri}: {kind} stream is written as "
            f"{', '.join(types)}",
            output_format=output_format,
        )
    return found


def parse_chase(words: list[str] | None) -> frozenset[ChaseKind]:
    """Read what is to be chased (None: all); raises `InvalidValueError`."""
    if words is None:
        return CHASE_ALL
    try:
        return frozenset(ChaseKind(word) for word in words)
    except ValueError:
        unknown = next(word for word in words if word not in tuple(ChaseKind))
        raise InvalidValueError(
            f"{unknown!r} cannot be chased: it must be one of {', '.join(ChaseKind)}; an empty list chases nothing"
        ) from None


def parse_between_takes(text: str) -> BetweenTakes:
    """Read what is to be between takes; raises `InvalidValueError`."""
    try:
        return BetweenTakes(text)
    except ValueError:
        raise InvalidValueError(
            f"{text!r} is nothing that can be between takes: it must be one of {', '.join(BetweenTakes)}"
        ) from None
