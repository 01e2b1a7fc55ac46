"""Kill engine, control or both, again and again, while streams record and slices are cut: only the holes are lost.

`JACKCAPTURE_TEST_KILLS` is how many times; the timeout grows with it.
"""

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from jackcapture import Client
from jackcapture.errors import JackCaptureError
from jackcapture.processes.children import is_alive
from parts.jackd import JackServer
from parts.midi import MidiEvent, StartMidiSource
from parts.rig import RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples, frames_of

KILLS = int(os.environ.get("JACKCAPTURE_TEST_KILLS", "5"))
MISSED = 2  # events that a MIDI source may send into a connection that is made, and not in effect yet

AUDIO = {"stream://test/stereo": 2, "stream://test/left": 1, "stream://test/wide": 4}
MIDI = "stream://test/midi"


def status_of(client: Client, uri: str) -> dict[str, Any]:
    status: dict[str, Any] = client.call("stream_status", uri=uri)
    return status


def all_record(client: Client) -> bool:
    """Whether every stream records on and is connected, under the present engine and control."""
    try:
        streams = client.streams()
    except JackCaptureError:
        return False
    return all(
        stream["status"] == "recording" and all(port["connections"] for port in stream["connections"])
        for stream in streams
    )


@contextlib.contextmanager
def slicing(rig: RigProcess) -> Iterator[None]:
    """Cut slices on a thread of its own all the while. One that is given is exact; one that cannot be is refused."""
    over = threading.Event()
    wrong: list[BaseException] = []
    cut = 0

    def work() -> None:
        nonlocal cut
        while not over.wait(0.2):
            with contextlib.suppress(JackCaptureError), rig.client() as client:
                take = status_of(client, "stream://test/stereo")["takes"][0]
                piece = client.slice("stream://test/stereo", "-1s", "head")
                try:
                    check_audio(piece.array(), take["start_frame"], piece["sample_range"][0], piece["gaps"])
                except AssertionError as error:
                    wrong.append(error)
                cut += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if wrong:
        raise wrong[0]
    assert cut > 0


def check_audio(samples: Any, start_frame: int, first: int, gaps: list[dict[str, Any]]) -> None:
    """Each frame is in its place, or in a gap and silent, or silent after one, until its channel is connected again."""
    expected = expected_samples(start_frame + first, len(samples), samples.shape[1])
    ends = [0] if first else []  # a slice that begins after a hole does not name that hole
    for gap in gaps:
        begin, end = gap["position"] - first, gap["position"] + gap["frames"] - first
        expected[max(begin, 0) : max(end, 0)] = 0
        ends.append(max(end, 0))
    for end in ends:
        for channel in range(samples.shape[1]):
            heard = samples[end:, channel] != 0
            connected = end + int(np.argmax(heard)) if heard.any() else len(samples)
            expected[end:connected, channel] = 0
    wrong = samples != expected
    assert not wrong.any(), f"frame {first + int(np.argwhere(wrong)[0][0])} is wrong; the gaps are {gaps}"


def check_midi(got: list[MidiEvent], emitted: list[MidiEvent], gaps: list[dict[str, Any]]) -> None:
    """Each event is there once, at its frame, unless it was in a hole, or the first after one.

    The source sends nothing while it is not connected; it sees a connection before that is in effect.
    """
    assert [at for at, _ in got] == sorted(at for at, _ in got)
    assert len(set(got)) == len(got)
    wanted = list(emitted)
    for gap in gaps:
        begin, end = gap["position"], gap["position"] + gap["frames"]
        assert not any(begin <= at < end for at, _ in got)
        heard = min((at for at, _ in got if at >= end), default=end)
        missed = [event for event in wanted if end <= event[0] < heard]
        assert len(missed) <= MISSED, f"{len(missed)} events are missing after {gap}"
        wanted = [event for event in wanted if not begin <= event[0] < heard]
    assert sorted(got) == sorted(wanted), f"{sorted(set(wanted) ^ set(got))[:3]} differ; the gaps are {gaps}"


def kill(rig: RigProcess, client: Client, chance: random.Random) -> bool:
    """Kill engine, control or both; tell whether the engine was among them."""
    status = client.call("status")
    engine, control = status["engine"]["pid"], status["control"]["pid"]
    victims = chance.choice([[engine], [control], [engine, control], [control, engine]])
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    for pid in victims:
        wait_for(lambda pid=pid: is_alive(pid), lambda alive: not alive, f"the end of {pid}")  # type: ignore[misc]
    return engine in victims


@pytest.mark.timeout(120 + 30 * KILLS)
def test_kills_at_any_moment(
    jack_server: JackServer, frame_source: StartSource, midi_source: StartMidiSource, start_rig: StartRig
) -> None:
    chance = random.Random(20261124)
    frame_source(jack_server, 4)
    # Every event's bytes are its own for a while, so that one that came twice would show.
    events = midi_source(jack_server, rate=500)
    rig = start_rig(jack_server)
    with rig.client() as client:
        for uri, channels in AUDIO.items():
            sources = [f"source:out_{channel + 1}" for channel in range(channels)]
            client.call("stream_create", uri=uri, channels=channels, sources=sources, chunk_size_bytes=65536)
        client.call("stream_create", uri=MIDI, midi=True, sources=[events.port], chunk_size_bytes=65536)
        everyone: Callable[[], bool] = lambda: all_record(client)  # noqa: E731 - read as a sentence below
        wait_for(
            client.streams,
            lambda streams: all(port["connections"] for stream in streams for port in stream["connections"]),
            "the connections",
        )
        client.call("stream_start", uris=[*AUDIO, MIDI])
        engine_deaths = 0
        with slicing(rig):
            for _ in range(KILLS):
                wait_for(everyone, bool, "all streams record", 60)
                rig.wait_until_recorded(
                    client, MIDI, status_of(client, MIDI)["head_sample"] + chance.randrange(RATE // 8, 2 * RATE)
                )
                engine_deaths += kill(rig, client, chance)
            wait_for(everyone, bool, "all streams record", 60)
            rig.wait_until_recorded(client, MIDI, status_of(client, MIDI)["head_sample"] + 2 * RATE)
        stopped = {stream["uri"]: stream for stream in client.call("stream_stop", uris=[*AUDIO, MIDI])}
        events.stop_emitting()
        for uri in AUDIO:
            (take,) = stopped[uri]["takes"]
            whole = client.slice(uri, "start", "head")
            assert [gap["cause"] for gap in whole["gaps"]] == ["engine_died"] * engine_deaths
            samples = whole.array()
            check_audio(samples, take["start_frame"], 0, whole["gaps"])
            frames_of(samples[-RATE // 2 :])  # it is heard to the end
        (take,) = stopped[MIDI]["takes"]
        whole = client.slice(MIDI, "start", "head")
        emitted = [(frame - take["start_frame"], data) for frame, data in events.events()]
        assert whole.events()[-1][0] > take["samples"] - RATE // 10
        check_midi(whole.events(), [event for event in emitted if 0 <= event[0] < take["samples"]], whole["gaps"])
        lost = {stream["lost_frames"] for stream in stopped.values()}
        print(f"{KILLS} kills, {engine_deaths} of them of the engine; {take['samples']} frames, lost {sorted(lost)}")
        assert client.call("store_check", read_data=True)["problems"] == []
    assert rig.staging_files() == []
