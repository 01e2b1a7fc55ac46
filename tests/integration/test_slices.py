"""Slices of a running rig in every format, read by the programs that people use."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from wavinfo import WavInfoReader

from jackcapture import Client
from jackcapture.errors import ConflictError, NotFoundError
from parts.jackd import JackServer
from parts.midi import StartMidiSource
from parts.rig import RATE, RigProcess, StartRig
from parts.sources import StartSource, expected_samples

AUDIO = "stream://desk/main"
MIDI = "stream://desk/keys"


@pytest.fixture
def recording(
    jack_server: JackServer, frame_source: StartSource, midi_source: StartMidiSource, start_rig: StartRig
) -> tuple[RigProcess, Any]:
    """A rig that records both streams, in small chunks, from one frame on; and the MIDI source."""
    frame_source(jack_server)
    events = midi_source(jack_server, rate=200)
    rig = start_rig(jack_server)
    with rig.client() as client:
        sources = ["source:out_1", "source:out_2"]
        client.call("stream_create", uri=AUDIO, channels=2, sources=sources, chunk_size_bytes=1 << 17)
        client.call("stream_create", uri=MIDI, midi=True, sources=[events.port], chunk_size_bytes=1 << 16)
        client.call("stream_start", uris=[AUDIO, MIDI])
        rig.wait_until_recorded(client, AUDIO, RATE)
        rig.wait_until_recorded(client, MIDI, RATE)
    return rig, events


def start_frame(client: Client, uri: str) -> int:
    frame: int = client.call("stream_status", uri=uri)["takes"][0]["start_frame"]
    return frame


def test_every_format_opens_where_people_open_it(recording: tuple[RigProcess, Any], tmp_path: Path) -> None:
    rig, events = recording
    events.stop_emitting()
    first, last = 10_000, 40_001
    span = ("--from", f"sample:{first}", "--to", f"sample:{last}")
    with rig.client() as client:
        truth = expected_samples(start_frame(client, AUDIO) + first, last - first, 2)
        wav = rig.cli("slice", AUDIO, *span, "--out", str(tmp_path / "a.wav"))
        read, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
        assert rate == RATE
        np.testing.assert_array_equal(read, truth)
        quiet = subprocess.run(["sox", tmp_path / "a.wav", "-n", "stat"], capture_output=True, check=True, text=True)
        assert "WARN" not in quiet.stderr
        assert f"Samples read:{2 * (last - first):>18}" in quiet.stderr
        if shutil.which("ffprobe"):
            probe = ["ffprobe", "-v", "error", "-show_entries", "stream=duration_ts", "-of", "csv=p=0"]
            shown = subprocess.run([*probe, tmp_path / "a.wav"], capture_output=True, check=True, text=True)
            assert (shown.stdout.strip(), shown.stderr) == (str(last - first), "")
        bext = WavInfoReader(str(tmp_path / "a.wav")).bext
        assert bext.description.startswith(f"{AUDIO}, samples {first} to {last}, store ")
        when = wav["wall_clock"]["from"]
        assert (bext.originator_date, bext.originator_time) == (when[:10], when[11:19])
        hours, minutes, seconds = when[11:].removesuffix("Z").split(":")
        exact = (int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * RATE
        assert abs(bext.time_reference - exact) <= 1 + wav["wall_clock"]["error_ms"] * RATE / 1000

        for options, tolerance in ((("--format", "flac"), 0), (("--sample-format", "i16"), 2**-16)):
            made = rig.cli("slice", AUDIO, *span, *options, "--out", str(tmp_path / f"b{tolerance}"))
            read, _ = soundfile.read(tmp_path / f"b{tolerance}", dtype="float32")
            assert np.abs(read - truth).max() <= tolerance, "the source's samples have 23 bits"
            np.testing.assert_array_equal(client.slice(AUDIO, *span[1::2], output_format="flac").array(), truth)
            assert made["channels"] == 2

        mid = rig.cli("slice", MIDI, *span, "--out", str(tmp_path / "c.mid"))
        assert mid["mime_type"] == "audio/midi"
        file = mido.MidiFile(tmp_path / "c.mid")
        begin = start_frame(client, MIDI)
        emitted = [(at - begin, data) for at, data in events.events() if first <= at - begin < last]
        noted = client.call("artifact_show", artifact_id=mid["artifact_id"])["metadata"]
        assert noted["events"] == len(emitted)
        seconds_of = 0.0
        got = []
        for message in file:
            seconds_of += message.time
            if not message.is_meta:
                got.append((seconds_of * RATE + first, bytes(message.bytes())))
        own = got[noted["chased"] : noted["chased"] + noted["events"]]
        half_a_tick = RATE * 60 / 120 / file.ticks_per_beat / 2
        assert [data for _, data in own] == [data for _, data in emitted]
        assert max(abs(at - exact) for (at, _), (exact, _) in zip(own, emitted, strict=True)) <= half_a_tick + 0.01
        frames = noted["event_frames"]
        assert frames[noted["chased"] : noted["chased"] + noted["events"]] == [at for at, _ in emitted]
        assert client.slice(MIDI, *span[1::2]).events() == emitted


def test_a_virtual_slice_becomes_the_file_that_it_stands_for(recording: tuple[RigProcess, Any], tmp_path: Path) -> None:
    rig, _ = recording
    with rig.client() as client:
        virtual = rig.cli("slice", AUDIO, "--from", "-500ms", "--to", "head", "--virtual")
        assert virtual["virtual"]
        first, last = virtual["sample_range"]
        rig.wait_until_recorded(client, AUDIO, last + RATE // 2)
        client.call("stream_stop", uris=[AUDIO, MIDI])
        written = client.slice(AUDIO, f"sample:{first}", f"sample:{last}")
        saved = rig.cli("artifact", "save", virtual["artifact_id"], str(tmp_path / "virtual.wav"))
        assert saved["bytes"] == virtual["rendered_bytes"] == written["bytes"]
        assert (tmp_path / "virtual.wav").read_bytes() == rig.content(written["content_hash"]).read_bytes()
        made = rig.cli("artifact", "materialise", virtual["artifact_id"])
        assert made["content_hash"] == written["content_hash"]
        assert virtual["artifact_id"] in made["parents"]
        some = client.call("artifact_read", artifact_id=virtual["artifact_id"], offset=4000, length=1000)
        assert (some["offset"], some["length"], some["total"]) == (4000, 1000, written["bytes"])
        assert "again" not in rig.cli("artifact", "materialise", made["id"], status=4)["error"]["code"]
        # It holds its chunks, until it is deleted.
        rig.cli("stream", "keep", AUDIO, "--keep-chunks", "1")
        rig.cli("store", "gc")
        for artifact in (written["artifact_id"], made["id"]):
            client.call("artifact_delete", artifact_id=artifact)
        rig.cli("store", "gc")
        assert client.call("artifact_read", artifact_id=virtual["artifact_id"])["length"] > 0
        client.call("artifact_delete", artifact_id=virtual["artifact_id"])
        rig.cli("store", "gc")
        with pytest.raises(NotFoundError):
            client.slice(AUDIO, f"sample:{first}", f"sample:{last}")


def test_takes_are_joined_or_not(recording: tuple[RigProcess, Any]) -> None:
    rig, _ = recording
    with rig.client() as client:
        client.call("stream_stop", uris=[AUDIO])
        second = client.call("stream_start", uris=[AUDIO])[0]["takes"][-1]
        rig.wait_until_recorded(client, AUDIO, second["first_sample"] + RATE // 4)
        takes = client.call("stream_stop", uris=[AUDIO])[0]["takes"]
        hole = takes[1]["start_frame"] - takes[0]["start_frame"] - takes[0]["samples"]
        edge = takes[1]["first_sample"]
        place = (AUDIO, "take:1.end-10ms", "take:2.start+10ms")
        joined = client.slice(*place).array()
        np.testing.assert_array_equal(
            joined,
            np.concatenate(
                [
                    expected_samples(takes[0]["start_frame"] + edge - 480, 480, 2),
                    expected_samples(takes[1]["start_frame"], 480, 2),
                ]
            ),
        )
        silent = client.slice(*place, between_takes="silence").array()
        assert len(silent) == 960 + hole
        assert not silent[480 : 480 + hole].any()
        np.testing.assert_array_equal(silent[:480], joined[:480])
        np.testing.assert_array_equal(silent[480 + hole :], joined[480:])
        with pytest.raises(ConflictError, match="takes 1, 2"):
            client.slice(*place, between_takes="error")
