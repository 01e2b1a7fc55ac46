"""A disk that answers nothing for eight seconds, as a slow network or a disk that spins up may: nothing is lost."""

import time
from typing import Any

import numpy as np
import pytest

from jackcapture.formats.midi_records import iterate_records
from jackcapture.formats.samples import decode_samples
from jackcapture.model.streams import AudioFormat, SampleFormat
from parts.disks import FreezableDisk
from parts.jackd import JackServer
from parts.midi import StartMidiSource
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples

STALL = 8.0
PROMPT = 2.5
"""Seconds in which control answers, however long the disk takes: it gives a read one second, twice at most."""

SMALL, PACKED, MIDI, IDLE = (f"stream://test/{name}" for name in ("small", "packed", "midi", "idle"))
FORMATS = {SMALL: AudioFormat(RATE, 2), PACKED: AudioFormat(RATE, 2, SampleFormat.I24)}


def take_bytes(rig: RigProcess, take: dict[str, list[dict[str, str]]]) -> bytes:
    """All chunks of a take in a row."""
    return b"".join(rig.content(chunk["content_hash"]).read_bytes() for chunk in take["chunks"])


@pytest.mark.timeout(180)
def test_a_disk_that_stalls_for_eight_seconds_costs_nothing(
    freezable_disk: FreezableDisk,
    jack_server: JackServer,
    frame_source: StartSource,
    midi_source: StartMidiSource,
    start_rig: StartRig,
) -> None:
    """With the default settings, and chunks so small that the engine has long used up its spares."""
    frame_source(jack_server)
    events = midi_source(jack_server, rate=100)
    rig = start_rig(jack_server, root=freezable_disk.path / "store")
    with rig.client() as client:
        audio: dict[str, Any] = {"channels": 2, "sources": ["source:out_.*"]}
        client.call("stream_create", uri=SMALL, chunk_size_bytes=65536, **audio)  # six a second
        client.call("stream_create", uri=PACKED, chunk_size_bytes=1 << 20, sample_format="i24", **audio)
        client.call("stream_create", uri=MIDI, midi=True, sources=[events.port])
        client.call("stream_create", uri=IDLE, **audio)
        recording = [SMALL, PACKED, MIDI]
        client.call("stream_start", uris=recording)
        # Without asking control, so that the catalog was written after it was last read: the first read then stalls.
        wait_for(lambda: len(rig.content_files()), lambda files: files > 40, "chunks")

        with freezable_disk.frozen():
            began = time.monotonic()
            slowest, warned, fills = 0.0, False, []
            while (now := time.monotonic()) < began + STALL:
                status = client.call("status")
                slowest = max(slowest, time.monotonic() - now)
                warned |= any("kept us waiting" in warning for warning in status["warnings"])
                fills.append(next(s["ring_fill"] for s in status["streams"] if s["uri"] == SMALL))
                assert {s["uri"]: s["status"] for s in status["streams"]}[SMALL] in ("recording", "starved")
                time.sleep(0.2)
            stalled = time.monotonic() - began
        assert slowest < PROMPT
        assert warned
        assert 0.5 < fills[-1] < 1
        assert stalled < 12

        head = client.call("stream_status", uri=SMALL)["head_sample"]
        rig.wait_until_recorded(client, SMALL, head + 2 * RATE)
        status = wait_for(
            lambda: client.call("status"), lambda status: not any("kept us" in w for w in status["warnings"]), "the end"
        )
        emitted = events.stop_emitting()
        assert emitted.refused == 0
        stopped = client.call("stream_stop", uris=recording)
        assert [(stream["status"], stream["gap_count"], stream["error"]) for stream in stopped] == [
            ("stopped", 0, None)
        ] * 3
        for uri, audio_format in FORMATS.items():
            take = rig.sealed_take(client, uri)
            samples = decode_samples(take_bytes(rig, take), audio_format)
            assert len(samples) == take["samples"] > (STALL + 2) * RATE
            np.testing.assert_array_equal(samples, expected_samples(take["start_frame"], len(samples), 2))
        take = rig.sealed_take(client, MIDI)
        start = take["start_frame"]
        got = [(position + start, data) for position, data in iterate_records(take_bytes(rig, take))]
        sent = [event for event in events.events() if start <= event[0] < start + take["samples"]]
        assert len(sent) > 100 * STALL
        assert got == sent
    assert rig.staging_files() == []
