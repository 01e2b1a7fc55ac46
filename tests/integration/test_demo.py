"""The demo, as a new user runs it: what it leaves opens, and is what it says."""

import json
import subprocess
from pathlib import Path

import mido
import numpy as np
import pytest
import rpp
import soundfile

from jackcapture.processes.player import NOTE_SECONDS, NOTES
from parts.png import read_png
from parts.rig import COMMAND, RATE

pytestmark = pytest.mark.realtime  # it starts a server of its own


def test_the_demo_leaves_what_it_says(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = subprocess.run(
        [*COMMAND, "demo", "--seconds", "3", "--out", str(out), "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=60,
    )
    said = json.loads(done.stdout)
    assert said["began_on_one_frame"]
    files = [Path(file["path"]) for file in said["files"]]
    assert all(file.exists() for file in files)
    assert {file.name for file in out.iterdir()} == {file.name for file in files}

    whole, rate = soundfile.read(out / "player.wav")
    assert rate == RATE
    assert len(whole) >= 3 * RATE
    assert np.abs(whole[-RATE:]).max() > 0.05
    (grabbed,) = out.glob("demo-player_*.wav")
    first, last = map(int, grabbed.stem.split("_")[1].split("-"))
    np.testing.assert_array_equal(soundfile.read(grabbed)[0], whole[first:last])

    session = out / "session"
    assert [mark["name"] for mark in json.loads((session / "timeline.json").read_text())["marks"]] == [
        "verse-1", "verse-2",
    ]  # fmt: skip
    project = rpp.loads((session / "session.rpp").read_text())
    sources = [source.find("FILE")[1] for source in project.iter("SOURCE") if source.attrib == ["WAVE"]]
    assert [Path(source).name for source in sources] == [
        "segment-01_stream-01_demo_player.wav", "segment-01_stream-02_demo_four-channels.wav",
    ]  # fmt: skip
    np.testing.assert_array_equal(soundfile.read(session / sources[0])[0], whole)
    assert (session / "README.txt").read_text().startswith("A recorded session: Demo\n")

    notes = [message for message in mido.MidiFile(out / "keys.mid") if message.type == "note_on"]
    assert len(notes) >= 3 / NOTE_SECONDS - 1
    begin = NOTES.index(notes[1].note)
    assert [note.note for note in notes[1:8]] == [NOTES[(begin + n) % len(NOTES)] for n in range(7)]
    assert read_png((out / "player.png").read_bytes()).shape[1] == 1200
