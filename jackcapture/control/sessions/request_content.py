"""What is sent in a request: a MIDI file, the file of an artifact, or notes. Everything here blocks."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from jackcapture.catalog import Catalog
from jackcapture.errors import InvalidValueError, NotFoundError, StorageError
from jackcapture.formats.midi_records import MidiRecord
from jackcapture.formats.smf import SMF_TYPE
from jackcapture.formats.smf_exact import write_exact_smf
from jackcapture.formats.smf_reading import read_smf
from jackcapture.model.addresses import Content
from jackcapture.model.midi import check_message
from jackcapture.store import Store

MAX_FILE_BYTES = 2 << 20
MAX_EVENTS = 100_000
MAX_EVENT_BYTES = 1 << 20
"""What one message to the engine can carry, with room to spare."""

_NOTE_OFF, _NOTE_ON = 0x80, 0x90
_RELEASE = 0x40


@dataclass(frozen=True, slots=True)
class NoteArgument:
    """A note (60 is middle C): when it begins, in milliseconds, how long it lasts, how hard it is hit (1 to 127).

    `channel` counts from 1, as on instruments.
    """

    note: int
    ms: float = 0.0
    duration_ms: float = 500.0
    velocity: int = 100
    channel: int = 1


@dataclass(frozen=True, slots=True)
class RequestContent:
    """Messages with their frames from the request's begin, in order, and the MIDI file that plays them.

    `parents` are the artifacts that it comes from; `source` says to people what it was.
    """

    messages: tuple[MidiRecord, ...]
    file: bytes
    source: str
    parents: tuple[str, ...] = ()

    @property
    def first_note(self) -> int:
        """The index of the first note on; of the first message if there is no note."""
        notes = (
            index
            for index, (_, message) in enumerate(self.messages)
            if message[0] & 0xF0 == _NOTE_ON and message[2] > 0
        )
        return next(notes, 0)


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """At which rate frames count, and how long a request may be, by its session's settings."""

    sample_rate: int
    max_seconds: float

    @property
    def max_frames(self) -> int:
        """How many frames a request may last."""
        return int(self.max_seconds * self.sample_rate)

    @property
    def remedy(self) -> str:
        """What to do about a request that is too long."""
        return (
            "that is the session's setting request.max_request_seconds: send less, or create a session with --set "
            "request.max_request_seconds=SECONDS"
        )


def content_of_file(path: str, limits: ContentLimits) -> RequestContent:
    """Read a MIDI file; raises `InvalidValueError` or `NotFoundError`."""
    return _content_of(_read(path), limits, path)


def content_of_artifact(store: Store, catalog: Catalog, artifact_id: str, limits: ContentLimits) -> RequestContent:
    """Read an artifact that is a MIDI file; raises `InvalidValueError` or `NotFoundError`."""
    artifact = catalog.artifact(artifact_id)
    if artifact.mime_type != SMF_TYPE:
        raise InvalidValueError(
            f"{artifact_id} is {artifact.mime_type}, and no MIDI file ({SMF_TYPE}): cut a MIDI stream with "
            "--format mid, and send that",
            artifact_id=artifact_id,
            mime_type=artifact.mime_type,
        )
    _check_size(artifact.bytes, artifact_id)
    data = store.read(Content(artifact.content_hash), 0, artifact.bytes)
    return _content_of(data, limits, artifact_id, (artifact_id,))


def content_of_notes(notes: Sequence[NoteArgument], limits: ContentLimits) -> RequestContent:
    """Make the messages of notes; raises `InvalidValueError`."""
    if not notes:
        raise InvalidValueError('no note to send; give at least one, such as {"note": 60}')
    events: list[tuple[int, bool, bytes]] = []
    for index, note in enumerate(notes):
        for name, value, least, most in (
            ("note", note.note, 0, 127),
            ("velocity", note.velocity, 1, 127),
            ("channel", note.channel, 1, 16),
        ):
            if not least <= value <= most:
                raise InvalidValueError(f"note {index}: {name} {value}: it must be {least} to {most}", index=index)
        if not (note.ms >= 0 and note.duration_ms > 0):  # also refuses NaN
            raise InvalidValueError(
                f"note {index}: it begins at {note.ms} ms and lasts {note.duration_ms} ms: it must begin at 0 or "
                "later, and last longer than 0",
                index=index,
            )
        end = note.ms + note.duration_ms
        if not end <= limits.max_seconds * 1000:
            raise InvalidValueError(
                f"note {index} ends at {end / 1000:.1f} s: a request may last {limits.max_seconds:.1f} s; "
                f"{limits.remedy}",
                index=index,
            )
        begin = round(note.ms * limits.sample_rate / 1000)
        length = max(1, round(note.duration_ms * limits.sample_rate / 1000))
        channel = note.channel - 1
        events.append((begin, True, bytes([_NOTE_ON | channel, note.note, note.velocity])))
        events.append((begin + length, False, bytes([_NOTE_OFF | channel, note.note, _RELEASE])))
    events.sort(key=lambda event: event[:2])  # at one frame notes end before others begin
    messages = tuple((frame, message) for frame, _, message in events)
    _check_messages(messages, "the notes")
    count = "1 note" if len(notes) == 1 else f"{len(notes)} notes"
    return RequestContent(messages, write_exact_smf(messages, limits.sample_rate), count)


def _content_of(data: bytes, limits: ContentLimits, source: str, parents: tuple[str, ...] = ()) -> RequestContent:
    try:
        messages = tuple(read_smf(data, limits.sample_rate, limits.max_frames))
    except InvalidValueError as error:
        remedy = f"; {limits.remedy}" if "max_frames" in error.details else ""
        raise InvalidValueError(f"{source}: {error.message}{remedy}", **error.details) from None
    if not messages:
        raise InvalidValueError(
            f"{source}: the MIDI file has nothing that can be sent, such as a note; what it may have are meta events",
            source=source,
        )
    _check_messages(messages, source)
    return RequestContent(messages, data, source, parents)


def _check_messages(messages: Sequence[MidiRecord], source: str) -> None:
    size = sum(len(message) for _, message in messages)
    if len(messages) > MAX_EVENTS or size > MAX_EVENT_BYTES:
        raise InvalidValueError(
            f"{source}: {len(messages)} MIDI messages of {size} bytes: a request has at most {MAX_EVENTS} of "
            f"{MAX_EVENT_BYTES} bytes; send it in parts",
            events=len(messages),
            bytes=size,
        )
    for frame, message in messages:
        try:
            check_message(message)
        except InvalidValueError as error:
            raise InvalidValueError(f"{source}: at frame {frame}: {error.message}", frame=frame) from None


def _check_size(size: int, source: str) -> None:
    if size > MAX_FILE_BYTES:
        raise InvalidValueError(
            f"{source} has {size} bytes: a MIDI file that is sent has at most {MAX_FILE_BYTES}; send it in parts",
            bytes=size,
        )


def _read(path: str) -> bytes:
    if not os.path.isabs(path) or "\0" in path:
        raise InvalidValueError(f"{path!r} is not an absolute path of a MIDI file", path=path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}", path=path) from None
    except OSError as error:
        raise InvalidValueError(f"{path} cannot be read: {error.strerror}", path=path) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidValueError(f"{path} is no file with bytes, such as a MIDI file", path=path)
        _check_size(status.st_size, path)
        data = bytearray()
        while len(data) <= MAX_FILE_BYTES and (step := os.read(descriptor, MAX_FILE_BYTES + 1 - len(data))):
            data += step
        _check_size(len(data), path)  # it may have grown
        return bytes(data)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}", path=path) from error
    finally:
        os.close(descriptor)
