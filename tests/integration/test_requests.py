"""Requests of a session to real instruments: exact frames, whole tails, linked artifacts; and all that may go wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mido
import numpy as np
import numpy.typing as npt
import soundfile

from jackcapture import Client
from jackcapture.client import Session
from parts.instruments import StartClickResponder
from parts.jackd import JackServer
from parts.rig import RATE, RigProcess, StartRig

AUDIO, KEYS = "stream://synth/main", "stream://synth/keys"
DELAY = 700
PERIOD = 64
HOLD = RATE // 10
QUICK = {"hold_seconds": 0.1, "max_seconds": 2.0}


def define(client: Client, sources: Sequence[str], **settings: Any) -> Session:
    """Define an audio stream of an instrument, and a session of it."""
    client.call("stream_create", uri=AUDIO, channels=len(sources), chunk_size_bytes=65536, sources=list(sources))
    return session_of(client, **settings)


def session_of(client: Client, *uris: str, **settings: Any) -> Session:
    """Make a session that ends its answers quickly."""
    return client.session(*(uris or (AUDIO,)), mode="request-response", settings={"request": QUICK | settings})


def midi_file(path: Path, notes: int, *, every: int = 480, length: int = 120, note: int = 60) -> Path:
    """Write a MIDI file with two tempos and a sysex; a quarter note has 480 ticks, and lasts 125 or 250 ms."""
    conductor = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=125_000), mido.MetaMessage("text", text="x")])
    conductor.append(mido.MetaMessage("set_tempo", tempo=250_000, time=every * (notes // 2)))
    track = mido.MidiTrack([mido.Message("sysex", data=(0x7D, 1)), mido.Message("program_change", program=0)])
    for number in range(notes):
        track.append(mido.Message("note_on", note=note, velocity=120, time=0 if number == 0 else every - length))
        track.append(mido.Message("note_off", note=note, time=length))
    mido.MidiFile(type=1, ticks_per_beat=480, tracks=[conductor, track]).save(path)
    return path


def frames_of_notes(notes: int) -> list[int]:
    """The frames of the notes of `midi_file`, from its begin."""
    half = notes // 2
    return [RATE // 8 * n if n <= half else RATE // 8 * half + RATE // 4 * (n - half) for n in range(notes)]


def samples_of(rig: RigProcess, answer: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The samples of an answer: (frames, channels)."""
    data: npt.NDArray[np.float32] = soundfile.read(
        rig.content(answer["content_hash"]), dtype="float32", always_2d=True
    )[0]
    return data


def artifact(client: Client, artifact_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.call("artifact_show", artifact_id=artifact_id)
    return found


def test_every_click_lies_where_its_note_was_sent(
    jack_server: JackServer, click_responder: StartClickResponder, start_rig: StartRig, tmp_path: Path
) -> None:
    clicks = click_responder(jack_server, DELAY)
    rig = start_rig(jack_server)
    path = midi_file(tmp_path / "take.mid", 6)
    with rig.client() as client:
        session = define(client, [clicks.output], to=[r"clicks:.*"])
        result = rig.cli("session", "request", session.id, str(path))
        print(result)
        samples = samples_of(rig, result["answers"][0])
        found = np.flatnonzero(samples[:, 0]) + result["from_frame"]
        print(found - result["first_note_frame"], frames_of_notes(6))
