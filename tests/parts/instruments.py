"""Instruments that answer MIDI with sound: one that clicks, exactly, and fluidsynth."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import mido
import numpy as np
import soundfile

from parts.jackd import JackServer, dying_with_us
from parts.part import Part

SOUND_FONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
HAS_FLUIDSYNTH = shutil.which("fluidsynth") is not None and SOUND_FONT.exists()


class ClickResponder(Part):
    """A `click_responder` (see click_responder.c), as a context manager: it clicks `delay` frames after a note."""

    def __init__(
        self,
        program: Path,
        server: JackServer | str | None,
        delay: int,
        *,
        length: int = 1,
        hum: float = 0.0,
        name: str = "clicks",
    ) -> None:
        options = ["--delay", str(delay), "--length", str(length), "--hum", str(hum)]
        super().__init__(program, server, name, options)
        self.input = f"{name}:in"
        self.output = f"{name}:out"
        self.thru = f"{name}:thru"

    @property
    def notes(self) -> int:
        """How many notes it has heard."""
        return int(self.ask("notes"))


class StartClickResponder(Protocol):
    """What the fixture `click_responder` gives: starts a ClickResponder that is stopped when the test is over."""

    def __call__(
        self, server: JackServer, delay: int, *, length: int = 1, hum: float = 0.0, name: str = "clicks"
    ) -> ClickResponder: ...


class Fluidsynth:
    """fluidsynth on a JACK server, as a context manager: it renders in JACK's own cycle, without reverb and chorus.

    It connects nothing by itself. Its buffer is one of 64 frames, the least that it takes.
    """

    BUFFER = 64

    def __init__(self, server: JackServer, name: str = "fluidsynth") -> None:
        self.name = name
        self.input = f"{name}:midi_00"
        self.outputs = [f"{name}:left", f"{name}:right"]
        self._server = server
        self._sound = ["-r", str(server.rate), "-z", str(self.BUFFER), "-R", "0", "-C", "0", "-g", "1"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        command = ["fluidsynth", "-a", "jack", "-m", "jack", *self._sound]
        for setting in (
            f"audio.jack.server={self._server.name}",
            f"midi.jack.server={self._server.name}",
            f"audio.jack.id={self.name}",
            f"midi.jack.id={self.name}",
            "audio.jack.autoconnect=0",
            "midi.autoconnect=0",
        ):
            command += ["-o", setting]
        self._process = subprocess.Popen(
            [*dying_with_us(), *command, str(SOUND_FONT)],
            stdin=subprocess.PIPE,  # it reads commands, and ends when there can be no more
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "JACK_NO_START_SERVER": "1"},
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._log.close()

    def latency(self, key: int, threshold: float, folder: Path) -> int:
        """How many frames after a drum's note its sound is at a threshold, as a file shows that it renders.

        One buffer of that is the file's: what plays it is a buffer ahead of what it renders.
        """
        on = mido.Message("note_on", channel=9, note=key, velocity=100)
        track = mido.MidiTrack([on, mido.Message("note_off", channel=9, note=key, time=24_000)])
        mido.MidiFile(ticks_per_beat=24_000, tracks=[track]).save(folder / "latency.mid")
        command = ["fluidsynth", "-q", "-n", "-i", *self._sound, "-O", "float", "-T", "wav"]
        command += ["-F", str(folder / "latency.wav"), str(SOUND_FONT), str(folder / "latency.mid")]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        samples = soundfile.read(folder / "latency.wav", dtype="float32", always_2d=True)[0]
        return int(np.argmax(np.abs(samples).max(axis=1) >= threshold))

    @property
    def log(self) -> str:
        """What it has written."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")


class StartFluidsynth(Protocol):
    """What the fixture `fluidsynth` gives: starts a Fluidsynth that is stopped when the test is over."""

    def __call__(self, server: JackServer, *, name: str = "fluidsynth") -> Fluidsynth: ...
