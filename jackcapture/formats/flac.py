"""FLAC files, written by libsndfile block by block: 16 bits of i16, 24 bits of i24 and f32.

f32 becomes 24 bits by the rules of formats/samples.py, and so loses what is beyond full scale. The same samples and
tags give the same bytes, with the same libFLAC. Source of the limits: RFC 9639; libFLAC keeps to its streamable
subset, in which a rate above 65,535 Hz is a multiple of 10.
"""

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields

from jackcapture.errors import InvalidValueError, JackCaptureError, StorageError, StorageFullError
from jackcapture.formats.samples import Block, decode_integers, whole_samples
from jackcapture.model.streams import AudioFormat, SampleFormat

MAX_FLAC_CHANNELS = 8
MAX_FLAC_SAMPLE_RATE = 655_350
_MAX_FINE_SAMPLE_RATE = 65_535  # above it, only multiples of 10


@dataclass(frozen=True, slots=True)
class FlacTags:
    """Vorbis comments of a file; those that are empty are not written."""

    title: str = ""
    date: str = ""
    comment: str = ""


NO_TAGS = FlacTags()


def flac_sample_format(audio: AudioFormat) -> SampleFormat:
    """Give the format of the samples in a FLAC file of this audio; raises `InvalidValueError` if it can have none."""
    if audio.channels > MAX_FLAC_CHANNELS:
        raise InvalidValueError(
            f"{audio.channels} channels: a FLAC file has 1 to {MAX_FLAC_CHANNELS}; a WAV file takes them all",
            channels=audio.channels,
        )
    rate = audio.sample_rate
    if rate > MAX_FLAC_SAMPLE_RATE or (rate > _MAX_FINE_SAMPLE_RATE and rate % 10):
        raise InvalidValueError(
            f"a sample rate of {rate} Hz: a FLAC file has 1 to {_MAX_FINE_SAMPLE_RATE}, or a multiple of 10 up to "
            f"{MAX_FLAC_SAMPLE_RATE}; a WAV file takes any",
            sample_rate=rate,
        )
    return SampleFormat.I16 if audio.sample_format is SampleFormat.I16 else SampleFormat.I24


def write_flac(target: str | int, audio: AudioFormat, blocks: Iterable[Block], tags: FlacTags = NO_TAGS) -> int:
    """Write a FLAC file of whole frames, given in blocks of any length, and give the number of frames. Blocks.

    `target` is a path, or a descriptor that can be written and sought, which is left open; what is there is replaced.
    Memory does not grow with the number of frames. Raises `InvalidValueError` for audio that FLAC cannot hold, no
    frames at all, or blocks that end within a frame; `StorageError` if the file cannot be written, which is then not
    whole.
    """
    import soundfile  # noqa: PLC0415 - the doors must not wait for it

    bits = 8 * flac_sample_format(audio).sample_bytes
    file = _File(target)
    frames = 0
    try:
        with soundfile.SoundFile(
            file,  # not the path or the descriptor: on a full disk libsndfile may lose the end and say nothing
            "w",
            format="FLAC",
            subtype=f"PCM_{bits}",
            samplerate=audio.sample_rate,
            channels=audio.channels,
        ) as sound:
            for tag in fields(tags):
                if text := getattr(tags, tag.name):
                    setattr(sound, tag.name, text.replace("\0", " "))
            for piece in whole_samples(blocks, audio.frame_bytes):
                integers = decode_integers(piece, audio.sample_format)
                upper = integers << 32 - bits  # libsndfile takes the upper bits of 32
                sound.write(upper.reshape(-1, audio.channels))
                frames += len(upper) // audio.channels
                file.check()
        file.check()
    except Exception as error:
        file.check()
        if isinstance(error, soundfile.LibsndfileError):
            raise JackCaptureError(f"libsndfile cannot write {audio} as FLAC: {error}") from error
        raise
    finally:
        file.close()
    if not frames:
        raise InvalidValueError("no frames: a FLAC file has at least one")
    return frames


class _File:
    """The file as libsndfile uses it; keeps the first error, which has no way through libsndfile."""

    def __init__(self, target: str | int) -> None:
        self._is_ours = isinstance(target, str)
        self._name = target if isinstance(target, str) else f"descriptor {target}"
        self._error: OSError | None = None
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._descriptor = os.open(target, flags, 0o666) if isinstance(target, str) else target
            if not self._is_ours:
                os.ftruncate(self._descriptor, 0)
                os.lseek(self._descriptor, 0, os.SEEK_SET)
        except OSError as error:
            self._error = error
            self.check()

    def write(self, data: bytes) -> int:
        done = 0
        try:
            while done < len(data) and self._error is None:
                done += os.write(self._descriptor, memoryview(data)[done:])
        except OSError as error:
            self._error = error
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def check(self) -> None:
        """Raise the first error as ours."""
        if self._error is not None:
            kind = StorageFullError if self._error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
            raise kind(f"the FLAC file {self._name} cannot be written: {self._error.strerror}") from self._error

    def close(self) -> None:
        if self._is_ours:
            os.close(self._descriptor)
