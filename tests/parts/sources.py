"""Sources whose samples say where they belong, and the judge of what was recorded from them.

Channel c (from 0) of JACK frame f carries ((f + c * 65537) mod 2^23) / 2^23, exact in float32 and in 24 bits.
"""

import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from parts.jackd import JackServer

MODULUS = 1 << 23
CHANNEL_STEP = 65537


class FrameSource:
    """A running `frame_source` (see frame_source.c), as a context manager.

    `server` is a JackServer, a server's name, or None for libjack's default. `name` is the client's name. The
    ports out_1 .. out_<channels> carry the channels `first_channel` and up.
    """

    def __init__(
        self,
        program: Path,
        server: JackServer | str | None,
        channels: int = 2,
        *,
        first_channel: int = 0,
        name: str = "source",
        patience: float = 10.0,
    ) -> None:
        self.name = name
        self.channels = channels
        self.first_channel = first_channel
        self.ports = [f"{name}:out_{port}" for port in range(1, channels + 1)]
        self._patience = patience
        server_name = server.name if isinstance(server, JackServer) else server
        self.command = [str(program), "--name", name, "--channels", str(channels)]
        self.command += ["--first-channel", str(first_channel)]
        if server_name is not None:
            self.command += ["--server", server_name]
        self._process: subprocess.Popen[bytes] | None = None
        self._returncode: int | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError when the source was not started or was stopped."""
        return self._running().pid

    def start(self) -> Self:
        """Start the source and return when JACK calls it.

        Raises RuntimeError, with what the source said, when it does not come to that.
        """
        if self._process is not None:
            raise RuntimeError(f"the source {self.name} runs already")
        self._returncode = None
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            try:
                said = self._first_line()
            except BaseException:
                self.kill()
                raise
            if said != b"ready\n":
                self.kill()
                errors.seek(0)
                message = errors.read().decode(errors="replace")
                raise RuntimeError(
                    f"{' '.join(self.command)} was not ready in {self._patience:g} s"
                    f" (status {self._returncode}, printed {said!r}):\n{message}"
                )
        return self

    def wait(self, patience: float = 10.0) -> int:
        """Wait for the source to end by itself; return its exit status. Raises subprocess.TimeoutExpired."""
        if self._process is None:
            if self._returncode is None:
                raise RuntimeError(f"the source {self.name} was not started")
            return self._returncode
        self._returncode = self._process.wait(patience)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None
        return self._returncode

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the source."""
        self._running().send_signal(number)

    def close_stdin(self) -> None:
        """Close the source's standard input, which asks it to end."""
        pipe = self._running().stdin
        if pipe is not None:
            pipe.close()

    def stop(self) -> None:
        """End the source, if it still runs (SIGTERM; SIGKILL when it does not obey)."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the source with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"the source {self.name} is not running")
        return self._process

    def _first_line(self) -> bytes:
        stdout = self._running().stdout
        if stdout is None:
            return b""
        said = b""
        deadline = time.monotonic() + self._patience
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        while not said.endswith(b"\n") and poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            read = os.read(stdout.fileno(), 1024)
            if not read:
                break
            said += read
        return said


class StartSource(Protocol):
    """What the fixture `frame_source` gives: starts a FrameSource that is stopped when the test is over."""

    def __call__(
        self,
        server: JackServer | str | None,
        channels: int = 2,
        *,
        first_channel: int = 0,
        name: str = "source",
    ) -> FrameSource: ...


def expected_samples(
    first_frame: int, frames: int, channels: int, *, first_channel: int = 0
) -> npt.NDArray[np.float32]:
    """What the channels carry from JACK frame `first_frame` on: float32, shape (frames, channels)."""
    position = np.arange(frames, dtype=np.int64)[:, np.newaxis] + first_frame
    channel = np.arange(channels, dtype=np.int64)[np.newaxis, :] + first_channel
    return (((position + channel * CHANNEL_STEP) % MODULUS) / MODULUS).astype(np.float32)


def frames_of(samples: npt.NDArray[np.floating[Any]], *, first_channel: int = 0) -> int:
    """The JACK frame, modulo 2^23, of the first of `samples` (float, shape (frames, channels)).

    Raises AssertionError unless each sample of each channel is in its place, naming the first that is not.
    """
    assert samples.ndim == 2, f"samples must have the shape (frames, channels), not {samples.shape}"
    frames, channels = samples.shape
    assert frames, "there are no samples"
    assert channels, "there are no channels"
    start = _frame(samples[0, 0], first_channel)
    assert start is not None, f"index 0, channel 0: found {samples[0, 0]!r}, expected n / 2^23 with n in [0, 2^23)"
    expected = expected_samples(start, frames, channels, first_channel=first_channel)
    wrong = samples != expected
    if wrong.any():
        index, channel = (int(place) for place in np.argwhere(wrong)[0])
        found = _frame(samples[index, channel], first_channel + channel)
        meaning = "no frame number" if found is None else f"frame {found}"
        raise AssertionError(
            f"index {index}, channel {channel}: "
            f"found {float(samples[index, channel])!r} ({meaning}), expected "
            f"{float(expected[index, channel])!r} (frame {(start + index) % MODULUS}); "
            f"{int(wrong.sum())} of {wrong.size} samples are out of place, the first frame is {start}"
        )
    return start


def _frame(sample: np.floating[Any], channel: int) -> int | None:
    """The frame modulo 2^23 that a sample of a channel stands for; None when it stands for none."""
    scaled = float(sample) * MODULUS
    if not 0 <= scaled < MODULUS or scaled != int(scaled):  # also refuses NaN
        return None
    return (int(scaled) - channel * CHANNEL_STEP) % MODULUS
