"""A slice as Python sees it: its fields, its samples or events, its file."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jackcapture.errors import InvalidValueError
from jackcapture.formats.midi_records import MIDI_RECORDS_TYPE, iterate_records
from jackcapture.formats.samples import RAW_TYPE, decode_samples
from jackcapture.model.streams import AudioFormat, SampleFormat

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from jackcapture.client import Client


def check_is_midi(data: dict[str, Any]) -> None:
    """Raise `InvalidValueError` for the fields of a slice of audio."""
    if data["channels"] is not None:
        raise InvalidValueError(f"{data['artifact_id']} holds {data['mime_type']}, no MIDI events")


def check_is_audio(data: dict[str, Any]) -> None:
    """Raise `InvalidValueError` for the fields of a slice of MIDI."""
    if data["channels"] is None:
        raise InvalidValueError(f"{data['artifact_id']} holds MIDI events, no samples; see events()")


def holds_records(data: dict[str, Any]) -> bool:
    """Tell whether the file of a MIDI slice has its events exactly: a MIDI file rounds times, and adds events."""
    return bool(data["rendered_type"] == MIDI_RECORDS_TYPE)


def read_events(path: str) -> list[tuple[int, bytes]]:
    """Read the events of a file of MIDI records."""
    with open(path, "rb") as file:
        return list(iterate_records(file.read()))


def read_samples(path: str, data: dict[str, Any]) -> "npt.NDArray[np.float32]":
    """Read the samples of the file of an audio slice: float32, shape (frames, channels), full scale 1."""
    if data["rendered_type"] == RAW_TYPE:
        audio = AudioFormat(data["sample_rate"], data["channels"], SampleFormat(data["sample_format"]))
        with open(path, "rb") as file:
            return decode_samples(file.read(), audio)
    import soundfile  # noqa: PLC0415 - it brings numpy, which a command line must not wait for

    samples: npt.NDArray[np.float32] = soundfile.read(path, dtype="float32", always_2d=True)[0]
    return samples


class Slice:
    """A slice in the store. `data` holds the fields of the result, as the contract names them."""

    def __init__(self, client: "Client", data: dict[str, Any]) -> None:
        self._client = client
        self.data = data

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write the slice to a new file and give its absolute path; raises `ConflictError` if it exists."""
        absolute = os.path.abspath(path)
        self._client.call("artifact_save", artifact_id=self.data["artifact_id"], path=absolute)
        return absolute

    def events(self) -> list[tuple[int, bytes]]:
        """Give the events of a MIDI slice: the sample position in the stream and the bytes of each, in order."""
        check_is_midi(self.data)
        if holds_records(self.data):
            with self._file() as path:
                return read_events(path)
        # A MIDI file rounds times to its ticks, and has events of its own at its ends.
        first, last = self.data["sample_range"]
        exact = self._client.slice(self.data["stream_uri"], f"sample:{first}", f"sample:{last}", output_format="raw")
        try:
            return exact.events()
        finally:
            self._client.call("artifact_delete", artifact_id=exact["artifact_id"])

    def array(self) -> "npt.NDArray[np.float32]":
        """Give the samples of an audio slice: float32, shape (frames, channels), full scale 1."""
        check_is_audio(self.data)
        with self._file() as path:
            return read_samples(path, self.data)

    @contextlib.contextmanager
    def _file(self) -> Iterator[str]:
        """Give the path of the slice's file, for reading; of a virtual one, it is there only for so long."""
        if not self.data["virtual"]:
            yield self._client.call("artifact_show", artifact_id=self.data["artifact_id"])["content_path"]
            return
        with tempfile.TemporaryDirectory(prefix="jackcapture-") as folder:
            yield self.save(os.path.join(folder, "slice"))
