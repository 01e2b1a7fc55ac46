"""The Python door: a client of a running control process.

with Client() as jc:
    jc.slice("stream://desk/main", "-30s", "head").save("take.wav")
"""

import contextlib
import itertools
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import zmq

from jackcapture.errors import InvalidValueError, UnreachableError
from jackcapture.formats.midi_records import MIDI_RECORDS_TYPE, iterate_records
from jackcapture.formats.samples import RAW_TYPE, decode_samples
from jackcapture.model.progress import Progress
from jackcapture.model.streams import AudioFormat, SampleFormat
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import Envelope, decode_envelope, encode_envelope, raised_from
from jackcapture.settings import load_settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LOOK_SECONDS = 1.0


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
        if self.data["channels"] is not None:
            raise InvalidValueError(f"{self.data['artifact_id']} holds {self.data['mime_type']}, no MIDI events")
        if self._holds(MIDI_RECORDS_TYPE):
            with self._file() as path, open(path, "rb") as file:
                return list(iterate_records(file.read()))
        # A MIDI file rounds times to its ticks, and has events of its own at its ends.
        first, last = self.data["sample_range"]
        exact = self._client.slice(self.data["stream_uri"], f"sample:{first}", f"sample:{last}", output_format="raw")
        try:
            return exact.events()
        finally:
            self._client.call("artifact_delete", artifact_id=exact["artifact_id"])

    def array(self) -> "npt.NDArray[np.float32]":
        """Give the samples of an audio slice: float32, shape (frames, channels), full scale 1."""
        if self.data["channels"] is None:
            raise InvalidValueError(f"{self.data['artifact_id']} holds MIDI events, no samples; see events()")
        if self._holds(RAW_TYPE):
            audio = AudioFormat(
                self.data["sample_rate"], self.data["channels"], SampleFormat(self.data["sample_format"])
            )
            with self._file() as path, open(path, "rb") as file:
                return decode_samples(file.read(), audio)
        import soundfile  # noqa: PLC0415 - it brings numpy, which a command line must not wait for

        with self._file() as path:
            samples: npt.NDArray[np.float32] = soundfile.read(path, dtype="float32", always_2d=True)[0]
        return samples

    def _holds(self, mime_type: str) -> bool:
        return bool(self.data["rendered_type"] == mime_type)

    @contextlib.contextmanager
    def _file(self) -> Iterator[str]:
        """Give the path of the slice's file, for reading; of a virtual one, it is there only for so long."""
        if not self.data["virtual"]:
            yield self._client.call("artifact_show", artifact_id=self.data["artifact_id"])["content_path"]
            return
        with tempfile.TemporaryDirectory(prefix="jackcapture-") as folder:
            yield self.save(os.path.join(folder, "slice"))


class Client:
    """A connection to control; for one thread. Raises the errors of jackcapture.errors.

    `root`, `runtime` and `config` are as on the command line; only `runtime` matters to a client.
    """

    def __init__(self, *, runtime: str | None = None, config: str | None = None, timeout: float = 600.0) -> None:
        self._runtime = load_settings({"runtime": runtime}, config=config).runtime
        self._timeout = timeout
        self._numbers = itertools.count(1)
        sockets.check_runtime_directory(self._runtime)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        sockets.configure_requester(self._socket)
        self._socket.connect(sockets.socket_address(self._runtime, sockets.CONTROL))

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
        self._context.term()

    def call(self, operation: str, *, progress: Progress | None = None, **arguments: Any) -> Any:
        """Do an operation by name and give its result as JSON values; `progress` is told (done, total, unit)."""
        control = self._control()
        number = next(self._numbers)
        given = {name: value for name, value in arguments.items() if value is not None}
        self._socket.send(encode_envelope(Envelope(number, messages.OperationCall(operation, json.dumps(given)))))
        deadline = time.monotonic() + self._timeout
        while True:
            envelope = self._receive(deadline, control)
            if envelope.id != number:
                continue  # the late reply to a call that was given up
            match envelope.payload:
                case messages.OperationProgress(done, total, unit):
                    deadline = time.monotonic() + self._timeout
                    if progress is not None:
                        progress(done, total, unit)
                case messages.OperationResult(result):
                    return _json(result, operation)
                case messages.Error() as failure:
                    raise raised_from(failure)
                case other:
                    raise UnreachableError(f"control answered {operation} with {type(other).__name__}")

    def streams(self) -> list[dict[str, Any]]:
        """Give all streams with their state."""
        found: list[dict[str, Any]] = self.call("stream_list")
        return found

    def slice(self, uri: str, from_place: str, to_place: str, **how: Any) -> Slice:
        """Cut a range out of a stream, recorded or live.

        `how` are the other arguments of the operation `stream_slice`: output_format, sample_format, between_takes,
        virtual, chase, midi_file_type.
        """
        return Slice(self, self.call("stream_slice", uri=uri, from_place=from_place, to_place=to_place, **how))

    def overview(self, uri: str, from_place: str, to_place: str, *, points: int = 1000) -> dict[str, Any]:
        """Give what a range looks like, recorded or live: min, max and RMS per channel at most `points` times."""
        found: dict[str, Any] = self.call(
            "stream_overview", uri=uri, from_place=from_place, to_place=to_place, points=points
        )
        return found

    def waveform(
        self, uri: str, from_place: str, to_place: str, *, path: str | os.PathLike[str] | None = None, **how: Any
    ) -> dict[str, Any]:
        """Draw a range, recorded or live, into an artifact and, with `path`, into that new file.

        It is a picture, or, with `output_format` dat or json, its peaks in audiowaveform's formats. `how` are the other
        arguments of the operation `stream_waveform`: width, height; points, frames_per_point, bits.
        """
        out = None if path is None else os.path.abspath(path)
        found: dict[str, Any] = self.call(
            "stream_waveform", uri=uri, from_place=from_place, to_place=to_place, out=out, **how
        )
        return found

    def grab(self, seconds: float, *uris: str) -> list[Slice]:
        """Cut the last seconds out of the named streams (none named: all that record), one common range."""
        found = self.call("grab", duration=f"{seconds:.6f}", uris=list(uris) or None)
        return [Slice(self, data) for data in found]

    def _control(self) -> int:
        """Give control's process id; raises at once if there is none: ZeroMQ would wait for one.

        Raises `InvalidValueError` if the directory, or who serves it, is another user's.
        """
        sockets.check_runtime_directory(self._runtime)
        control = _serving(self._runtime)
        if control is None:
            raise self._unreachable()
        return control

    def _receive(self, deadline: float, control: int) -> Envelope:
        # Control may die while it works on the call, and the next one knows nothing of that: look from time to time.
        while not self._socket.poll(int(1000 * _LOOK_SECONDS)):
            if time.monotonic() > deadline:
                raise self._unreachable()
            if self._control() != control:
                raise UnreachableError(
                    "control died while it worked on this, and another one has been started; look what was done, and "
                    "ask again",
                    runtime=self._runtime,
                )
        return decode_envelope(self._socket.recv())

    def _unreachable(self) -> UnreachableError:
        return UnreachableError(
            f"control does not answer in {self._runtime}; start it with 'jackcapture up', or name its --runtime",
            runtime=self._runtime,
        )


def _json(result: str, operation: str) -> Any:
    try:
        return json.loads(result)
    except (ValueError, RecursionError):
        raise UnreachableError(f"control answered {operation} with what is no JSON: {result[:100]!r}") from None


def _serving(runtime: str) -> int | None:
    """Give the process id of whoever listens on control's socket, if it is ours."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        path = os.path.join(runtime, sockets.CONTROL)
        if probe.connect_ex(path):
            return None
        return sockets.check_peer(probe, path)
