"""Requests of a session to real instruments: exact frames, whole tails, linked artifacts; and all that may go wrong."""

import io
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import mido
import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from jackcapture import Client
from jackcapture.client import Session
from jackcapture.errors import ConflictError, InvalidValueError, JackCaptureError, NotFoundError, UnreachableError
from parts.instruments import HAS_FLUIDSYNTH, StartClickResponder, StartFluidsynth
from parts.jackd import JackServer
from parts.midi import StartMidiSink
from parts.rig import RATE, RigProcess, StartRig, wait_for

AUDIO, KEYS = "stream://synth/main", "stream://synth/keys"
PERIOD = 64
ROUND = PERIOD
"""Our output, the instrument and our input are a ring, which JACK cuts at one place: there a period goes by."""

HOLD = RATE // 10
LONGEST = RATE * 6 // 10
QUICK = {"hold_seconds": 0.1, "max_seconds": 0.6}


def define(client: Client, uri: str, *sources: str) -> None:
    """Define a stream: audio, or MIDI if its source is a `thru`."""
    kind = {"midi": True} if sources[0].endswith("thru") else {"channels": len(sources), "chunk_size_bytes": 65536}
    client.call("stream_create", uri=uri, sources=list(sources), **kind)


def session_of(client: Client, *uris: str, **settings: Any) -> Session:
    """Make a session that ends its answers quickly."""
    return client.session(*(uris or (AUDIO,)), mode="request-response", settings={"request": QUICK | settings})


def midi_file(path: Path, notes: int) -> Path:
    """Write a MIDI file of two tracks with two tempos and a sysex: a quarter lasts 62.5 ms, in the second half 125."""
    change = 480 * (notes // 2)
    conductor = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=62_500), mido.MetaMessage("text", text="x")])
    conductor.append(mido.MetaMessage("set_tempo", tempo=125_000, time=change))
    track = mido.MidiTrack([mido.Message("sysex", data=(0x7D, 1)), mido.Message("program_change", program=0)])
    for number in range(notes):
        track.append(mido.Message("note_on", note=60 + number, velocity=120, time=360 if number else 0))
        track.append(mido.Message("note_off", note=60 + number, time=120))
    mido.MidiFile(type=1, ticks_per_beat=480, tracks=[conductor, track]).save(path)
    return path


def frames_of_notes(notes: int) -> list[int]:
    """The frames of the notes of `midi_file`, from its begin."""
    half, quarter = notes // 2, RATE // 16
    return [quarter * min(n, half) + 2 * quarter * max(n - half, 0) for n in range(notes)]


def samples_of(rig: RigProcess, answer: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The samples of an answer: (frames, channels)."""
    data: npt.NDArray[np.float32] = soundfile.read(
        rig.content(answer["content_hash"]), dtype="float32", always_2d=True
    )[0]
    return data


def clicks_of(rig: RigProcess, result: dict[str, Any]) -> list[int]:
    """The frames of the clicks in the first answer, from the first note on."""
    samples = samples_of(rig, result["answers"][0])
    assert len(samples) == result["end_frame"] - result["from_frame"]
    found = np.flatnonzero(samples[:, 0]) + result["from_frame"] - result["first_note_frame"]
    return [int(frame) for frame in found]


def check_linked(rig: RigProcess, client: Client, session: Session, result: dict[str, Any]) -> None:
    """Check that each answer was made from what was sent, and that session and timeline tell of the request."""
    sent = client.call("artifact_show", artifact_id=result["artifact_id"])
    assert (sent["kind"], sent["mime_type"]) == ("request", "audio/midi")
    link = {"session_id": session.id, "number": result["number"], "segment": result["segment"]}
    for answer in result["answers"]:
        made = client.call("artifact_show", artifact_id=answer["artifact_id"])
        assert result["artifact_id"] in made["parents"]
        assert made["kind"] == "slice"
        assert made["metadata"]["request"].items() >= link.items()
        assert made["metadata"]["sample_range"] == answer["sample_range"]
    status = session.status()
    assert status["requests"][result["number"] - 1] == result
    entry = next(it for it in status["timeline"] if it["request"] == result["number"])
    assert (entry["event"], entry["jack_frame"]) == ("request", result["first_note_frame"])


def test_every_click_lies_where_its_note_was_sent(
    jack_server: JackServer, click_responder: StartClickResponder, start_rig: StartRig, tmp_path: Path
) -> None:
    delay = 700
    clicks = click_responder(jack_server, delay)
    rig = start_rig(jack_server)
    path = midi_file(tmp_path / "take.mid", 12)
    expected = [frame + delay + ROUND for frame in frames_of_notes(12)]
    with rig.client() as client:
        define(client, AUDIO, clicks.output)
        define(client, KEYS, clicks.thru)
        session = session_of(client, AUDIO, KEYS, to=["clicks:.*"])

        # A segment of its own; what was sent is the file itself.
        first = rig.cli("session", "request", session.id, str(path))
        assert (first["ended_by"], first["to"], first["late_count"]) == ("decayed", ["clicks:in"], 0)
        assert (first["events"], first["sent"]) == (26, 26)
        assert clicks_of(rig, first) == expected
        sound = first["first_sound"]
        assert (sound["stream_uri"], sound["frames"], sound["ms"]) == (AUDIO, delay + ROUND, 15.917)
        assert sound["jack_frame"] == first["first_note_frame"] + delay + ROUND
        assert (first["last_event_frame"] - first["first_note_frame"], first["from_frame"]) == (
            frames_of_notes(12)[-1] + RATE // 32,
            first["first_note_frame"] - RATE // 10,
        )
        audio, keys = first["answers"]
        assert (audio["capture_latency"], keys["mime_type"]) == ([{"min": 0, "max": 0}], "audio/midi")
        assert keys["first_sound"]["frames"] == ROUND
        heard = client.call("artifact_show", artifact_id=keys["artifact_id"])["metadata"]["event_frames"]
        thru = [frame - keys["sample_range"][0] + first["from_frame"] - first["first_note_frame"] for frame in heard]
        assert thru[2::2] == [frame + ROUND for frame in frames_of_notes(12)]
        # The last message comes back a period after it was sent: the answer has decayed a hold after that.
        assert first["end_frame"] == first["last_event_frame"] + ROUND + 1 + HOLD
        check_linked(rig, client, session, first)
        sent = client.call("artifact_show", artifact_id=first["artifact_id"])
        assert rig.content(sent["content_hash"]).read_bytes() == path.read_bytes()
        status = session.status()
        assert (status["status"], len(status["segments"])) == ("stopped", 1)

        # The same again, in a segment that runs on.
        session.play()
        second = session.request(artifact=first["artifact_id"])
        assert clicks_of(rig, second) == expected
        assert session.status()["status"] == "playing"
        sent = client.call("artifact_show", artifact_id=second["artifact_id"])
        assert first["artifact_id"] in sent["parents"]
        check_linked(rig, client, session, second)

        # Notes: their file plays them, to the frame, also when it is read by others.
        third = session.request(notes=[{"note": 60, "duration_ms": 20}, {"note": 64, "ms": 50, "duration_ms": 20}])
        assert clicks_of(rig, third) == [delay + ROUND, delay + ROUND + RATE // 20]
        assert (third["number"], third["segment"], third["events"]) == (3, 2, 4)
        again = client.call("artifact_show", artifact_id=third["artifact_id"])
        file = mido.MidiFile(file=io.BytesIO(rig.content(again["content_hash"]).read_bytes()))
        assert [round(message.time * RATE) for message in file if not message.is_meta] == [0, 960, 1440, 960]
        assert (
            "request 3: 4 of 4 messages to clicks:in, in segment 2; decayed"
            in rig.run("session", "status", session.id).stdout
        )
        session.stop(close=True)

        document = client.call("artifact_list", kind="session")[0]
        kept = json.loads(rig.content(document["content_hash"]).read_bytes())
        assert [it["artifact_id"] for it in kept["requests"]] == [it["artifact_id"] for it in (first, second, third)]
        session.export(tmp_path / "export")
        assert json.loads((tmp_path / "export" / "session.json").read_bytes()) == kept
        with pytest.raises(ConflictError, match="is closed"):
            session.request(path)
        before = session.status()
        assert client.call("store_check")["ok"]
    assert rig.stop() == 0
    rebuilt = rig.cli("store", "rebuild", "--force")
    assert rebuilt["sessions"] == 1
    with rig.start().client() as client:
        assert client.open_session(session.id).status()["requests"] == before["requests"]
        check_linked(rig, client, client.open_session(session.id), first)
        assert client.call("store_check")["ok"]


def test_an_answer_ends_when_it_has_decayed_or_lasts_too_long(
    jack_server: JackServer,
    click_responder: StartClickResponder,
    midi_sink: StartMidiSink,
    start_rig: StartRig,
) -> None:
    delay, length = RATE // 4, RATE // 4
    slow = click_responder(jack_server, delay, length=length, name="slow")
    drone = click_responder(jack_server, 0, hum=0.01, name="drone")
    sink = midi_sink(jack_server)
    rig = start_rig(jack_server)
    note = [{"note": 60, "duration_ms": 10}]
    with rig.client() as client:
        define(client, AUDIO, slow.output)
        session = session_of(client, to=[slow.input])
        # The answer is quiet for longer than a hold before it sounds, unless that is as long.
        early = session.request(notes=note)
        assert (early["ended_by"], early["first_sound"]) == ("decayed", None)
        assert early["end_frame"] == early["last_event_frame"] + HOLD
        assert "no stream had a sample of -60 dBFS" in early["hint"]

        silent = early["first_note_frame"] + delay + ROUND + length + RATE // 4  # also for the next one's pre-roll
        wait_for(lambda: client.call("transport_status")["jack_frame"], lambda frame: frame > silent, "its sound's end")

        patient = session_of(client, to=[slow.input], hold_seconds=0.3, max_seconds=2.0)
        whole = patient.request(notes=note)
        assert (whole["ended_by"], whole["hint"]) == ("decayed", None)
        assert clicks_of(rig, whole) == list(range(delay + ROUND, delay + ROUND + length))
        last = whole["first_note_frame"] + delay + ROUND + length - 1
        assert whole["end_frame"] == last + 1 + RATE * 3 // 10

        # At exactly the threshold it sounds; a little above that it does not.
        short = patient.request(notes=note, to=["slow:in"])
        assert short["first_sound"]["frames"] == delay + ROUND
        deaf = session_of(client, to=[slow.input], threshold_db=-6.02, hold_seconds=0.4)
        assert deaf.request(notes=note)["first_sound"] is None  # 0.5 is -6.0206 dBFS

        define(client, KEYS.replace("keys", "drone"), drone.output)
        droning = session_of(client, KEYS.replace("keys", "drone"), to=[drone.input])
        drowned = droning.request(notes=note)
        assert drowned["ended_by"] == "maximum"
        assert drowned["end_frame"] == drowned["last_event_frame"] + LONGEST
        assert "may go on" in drowned["hint"]
        assert "before the first note" in drowned["hint"]

        unheard = session.request(notes=note, to=[sink.port])
        assert (unheard["ended_by"], unheard["first_sound"], unheard["to"]) == ("decayed", None, [sink.port])
        assert "no stream had" in unheard["hint"]
        # Each to its own instrument: none has heard what was for another.
        assert (slow.notes, drone.notes, len(sink.events())) == (4, 1, 2)


def test_who_cancels_a_request_keeps_what_was_recorded(
    jack_server: JackServer, midi_sink: StartMidiSink, click_responder: StartClickResponder, start_rig: StartRig
) -> None:
    clicks = click_responder(jack_server, 0)
    sink = midi_sink(jack_server)
    rig = start_rig(jack_server)
    long = [{"note": 60, "duration_ms": 60_000}]
    with rig.client() as client, rig.client() as second:
        define(client, AUDIO, clicks.output)
        session = session_of(client, to=["midi_sink:in"])
        other = session_of(client, to=["midi_.*"])

        with RunningRequest(rig, session, long) as running:
            with pytest.raises(ConflictError, match=f"request 1 of {session.id} is under way; wait"):
                client.open_session(session.id).request(notes=long)
            with pytest.raises(ConflictError, match=f"request 1 of {session.id} is under way to {sink.port}"):
                other.request(notes=long)
            assert other.status()["status"] == "created"  # what is refused records nothing
            for refused in (
                lambda: session.stop(close=True),
                lambda: client.call("session_close", session_id=session.id),
            ):
                with pytest.raises(ConflictError, match=r"request 1 of|is playing"):
                    refused()
            running.cancel()
        assert isinstance(running.error, CancelledError)
        ended = wait_for(session.status, lambda it: it["status"] == "stopped", "its segment has ended")
        check_ended(client, ended, 1, "cancelled")
        (first, last) = ended["segments"][0]["sample_ranges"][AUDIO]
        assert last - first > RATE // 20
        wait_for(sink.events, lambda it: len(it) == 2, "the note is ended")
        assert [data[0] & 0xF0 for _, data in sink.events()] == [0x90, 0x80]

        # In a segment that runs on, which somebody else then stops under the request.
        session.play()
        with RunningRequest(rig, session, long) as running:
            running.cancel()
        assert session.status()["status"] == "playing"
        with RunningRequest(rig, session, long) as running:
            session.stop()
        assert running.result is not None
        assert (running.result["ended_by"], running.result["sent"]) == ("stopped", 1)
        end = session.status()["segments"][1]["ended_at"]["jack_frame"]
        assert running.result["end_frame"] == end
        assert "ended before the answer had decayed" in running.result["hint"]
        wait_for(sink.events, lambda it: len(it) == 6, "the notes are ended")

        # When control is killed, the next one ends what it left: nothing is stuck.
        with RunningRequest(rig, session, long) as running:
            os.kill(client.call("status")["control"]["pid"], signal.SIGKILL)
        assert isinstance(running.error, UnreachableError)
        ended = wait_for(
            lambda: status_of(second, session), lambda it: it["status"] == "stopped", "its segment has ended"
        )
        ended = wait_for(lambda: status_of(second, session), lambda it: it["requests"][3]["ended_by"], "it has ended")
        check_ended(second, ended, 4, "interrupted")
        wait_for(sink.events, lambda it: len(it) == 8, "the note is ended")
        short = second.open_session(session.id).request(notes=[{"note": 62, "duration_ms": 10}])
        assert (short["number"], short["ended_by"]) == (5, "decayed")
        assert second.call("store_check")["ok"]
        assert len(second.call("artifact_list", kind="request")) == 2
        assert len(second.call("artifact_list", kind="slice")) == 2
        # What goes on when the engine dies is the recording, not the request.
        with RunningRequest(rig, second.open_session(session.id), long) as running:
            os.kill(second.call("status")["engine"]["pid"], signal.SIGKILL)
        assert isinstance(running.error, UnreachableError)
        ended = wait_for(
            lambda: status_of(second, session), lambda it: it["status"] == "stopped", "its segment has ended"
        )
        check_ended(second, ended, 6, "failed")
        with RunningRequest(rig, second.open_session(session.id), long) as running:
            assert rig.stop() == 0
    assert running.error is not None
    with rig.start().client() as third:
        check_ended(third, status_of(third, session), 7, "cancelled")
        assert status_of(third, session)["status"] == "stopped"


def status_of(client: Client, session: Session) -> dict[str, Any]:
    """The session as a client sees it that may find no control for a while."""
    try:
        return client.open_session(session.id).status()
    except UnreachableError:
        return {"status": "unknown"}


def check_ended(client: Client, status: dict[str, Any], number: int, ended_by: str) -> None:
    """Check that a request ended so, and that nothing was made for it."""
    request = status["requests"][number - 1]
    assert (request["ended_by"], request["artifact_id"], request["answers"]) == (ended_by, None, [])
    made = [it["metadata"]["request"]["number"] for it in client.call("artifact_list", kind="request")]
    assert number not in made


class CancelledError(Exception):
    """Raised in the progress of a request to cancel it."""


class RunningRequest:
    """A request on a thread and a connection of its own, as a context manager; entered when its first note is sent."""

    def __init__(self, rig: RigProcess, session: Session, notes: list[dict[str, Any]]) -> None:
        self._rig = rig
        self._id = session.id
        self._notes = notes
        self._is_cancelled = threading.Event()
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.result: dict[str, Any] | None = None
        self.error: BaseException | None = None

    def __enter__(self) -> "RunningRequest":
        self._thread.start()
        if not self._has_begun.wait(60):
            raise AssertionError(f"the request has not begun: {self.error}")
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

    def cancel(self) -> None:
        """Cancel it when it next tells how far it is."""
        self._is_cancelled.set()

    def _run(self) -> None:
        try:
            with self._rig.client() as client:
                self.result = client.open_session(self._id).request(notes=self._notes, progress=self._progress)
        except (JackCaptureError, CancelledError) as error:
            self.error = error

    def _progress(self, done: int, total: int, unit: str) -> None:
        if self._is_cancelled.is_set():
            raise CancelledError
        if (done, total, unit) == (1, 2, "events"):
            self._has_begun.set()


def test_what_cannot_be_sent_is_refused_with_a_remedy(
    jack_server: JackServer,
    midi_sink: StartMidiSink,
    click_responder: StartClickResponder,
    start_rig: StartRig,
    tmp_path: Path,
) -> None:
    clicks = click_responder(jack_server, 0)
    rig = start_rig(jack_server)
    good = midi_file(tmp_path / "good.mid", 2).read_bytes()
    silent = mido.MidiTrack([mido.MetaMessage("text", text="x"), mido.MetaMessage("set_tempo", tempo=1)])
    mido.MidiFile(tracks=[silent]).save(tmp_path / "silent.mid")
    long = mido.MidiTrack(
        [mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=480 * 2 * 3600 * 4)]
    )
    mido.MidiFile(tracks=[long]).save(tmp_path / "long.mid")
    many = mido.MidiTrack([mido.Message("note_on", note=60)] * 100_001)
    mido.MidiFile(tracks=[many]).save(tmp_path / "many.mid")
    os.mkfifo(tmp_path / "pipe.mid")
    for name, data in (
        ("empty.mid", b""), ("wave.mid", b"RIFF\x24\0\0\0WAVEfmt "), ("random.mid", bytes(range(7, 200))),
        ("cut.mid", good[:-9]), ("big.mid", good + bytes(3 << 20)),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
    with rig.client() as client:
        define(client, AUDIO, clicks.output)
        session = session_of(client, to=[clicks.input])
        for name, error, message in (
            ("empty.mid", InvalidValueError, "an empty file: a MIDI file begins with MThd"),
            ("wave.mid", InvalidValueError, "not a MIDI file: it begins with b'RIFF'"),
            ("random.mid", InvalidValueError, "not a MIDI file"),
            ("cut.mid", InvalidValueError, "cut off"),
            ("silent.mid", InvalidValueError, "nothing that can be sent"),
            ("long.mid", InvalidValueError, "14400.0 s: it may last 600.0 s at most; that is the session's setting "
             "request.max_request_seconds"),
            ("many.mid", InvalidValueError, "100001 MIDI messages"),
            ("big.mid", InvalidValueError, "at most 2097152; send it in parts"),
            ("pipe.mid", InvalidValueError, "no file with bytes"),
            ("none.mid", NotFoundError, "there is no file"),
        ):  # fmt: skip
            with pytest.raises(error, match=message):
                session.request(tmp_path / name)
        refusals: tuple[tuple[type[JackCaptureError], str, dict[str, Any]], ...] = (
            (InvalidValueError, "nothing to send: name exactly one", {}),
            (InvalidValueError, "file and notes to send", {"path": "x.mid", "notes": [{"note": 1}]}),
            (InvalidValueError, "no note to send", {"notes": []}),
            (InvalidValueError, "note 0: note 128: it must be 0 to 127", {"notes": [{"note": 128}]}),
            (InvalidValueError, "note 1: it begins at -1", {"notes": [{"note": 1}, {"note": 1, "ms": -1}]}),
            (InvalidValueError, "ends at 601.0 s.*max_request_seconds", {"notes": [{"note": 1, "ms": 600_500}]}),
            (InvalidValueError, "note: Field required", {"notes": [{"pitch": 1}]}),
            (NotFoundError, "no artifact", {"artifact": "slice-0"}),
            (NotFoundError, "'nobody:in' names no MIDI input; there are clicks:in", {"to": ["nobody:in"]}),
        )
        for kind, message, how in refusals:
            with pytest.raises(kind, match=message):
                session.request(**({"notes": [{"note": 1}]} if set(how) == {"to"} else {}) | how)
        definition = client.call("artifact_list", kind="definition")[0]["id"]
        with pytest.raises(InvalidValueError, match=r"definition.json, and no MIDI file.*--format mid"):
            session.request(artifact=definition)
        with pytest.raises(InvalidValueError, match=r"no MIDI input is named.*there are clicks:in"):
            session_of(client).request(notes=[{"note": 1}])
        with pytest.raises(ConflictError, match=r"of the mode passive, which sends nothing.*--mode request-response"):
            client.session(AUDIO).request(notes=[{"note": 1}])
        with pytest.raises(NotFoundError, match="no session"):
            client.call("session_request", session_id="session-0", notes=[{"note": 1}])
        refused = rig.cli("session", "request", session.id, "--notes", "60 x", status=2)
        assert "'x' is no note" in refused["error"]["message"]
        assert session.status()["requests"] == []
        assert session.status()["status"] == "created"
        assert client.call("artifact_list", kind="request") == []
        assert clicks.notes == 0

        # A session of MIDI alone has answers, too.
        define(client, KEYS, clicks.thru)
        keys = session_of(client, KEYS, to=[clicks.input])
        told = rig.cli("session", "request", keys.id, "--notes", "60:20 64@40:20")
        assert (told["ended_by"], told["first_sound"], told["hint"]) == ("decayed", None, None)
        assert told["answers"][0]["first_sound"]["frames"] == ROUND
        assert told["last_event_frame"] - told["first_note_frame"] == RATE * 60 // 1000


@pytest.mark.skipif(not HAS_FLUIDSYNTH, reason="needs fluidsynth and TimGM6mb")
def test_fluidsynth_answers_every_note_with_its_whole_tail(
    jack_server: JackServer, fluidsynth: StartFluidsynth, start_rig: StartRig, tmp_path: Path
) -> None:
    """It takes MIDI at the begin of a cycle: a note sounds up to a period sooner than the one that comes there."""
    synth = fluidsynth(jack_server)
    rig = start_rig(jack_server)
    count, every, key, threshold = 20, RATE // 4, 75, 10 ** (-60 / 20)  # claves
    notes = [{"note": key, "ms": n * 250 + n * 0.3, "duration_ms": 30, "channel": 10} for n in range(count)]
    sent_at = [round((n * 250 + n * 0.3) * RATE / 1000) for n in range(count)]
    latency = synth.latency(key, threshold, tmp_path)
    with rig.client() as client:
        wait_for(
            lambda: {port["name"] for port in client.call("ports")},
            lambda names: {synth.input, *synth.outputs} <= names,
            "fluidsynth is in the graph",
        )
        define(client, AUDIO, *synth.outputs)
        session = session_of(client, to=["fluidsynth:midi.*"], hold_seconds=0.3, max_seconds=5.0)
        session.play()
        result = session.request(notes=notes)
        assert (result["ended_by"], result["hint"], result["late_count"]) == ("decayed", None, 0)
        check_linked(rig, client, session, result)
        loud = np.abs(samples_of(rig, result["answers"][0])).max(axis=1) >= threshold
        note_on = result["first_note_frame"] - result["from_frame"]
        assert not loud[:note_on].any()
        onsets = []
        for frame in sent_at:
            begin = note_on + frame
            onsets.append(int(np.argmax(loud[begin : begin + every - 100])))
            assert loud[begin + onsets[-1]]
        assert all(0 < onset <= latency + PERIOD for onset in onsets), (latency, onsets)
        assert max(onsets) - min(onsets) < PERIOD, (latency, onsets)
        assert result["first_sound"]["frames"] == onsets[0]

        # The tail is whole: the answer ends when it was quiet for a hold, and nothing comes after that.
        last = int(np.flatnonzero(loud)[-1])
        assert len(loud) - last - 1 == RATE * 3 // 10
        assert result["from_frame"] + last > result["last_event_frame"]
        end = result["answers"][0]["sample_range"][1]
        rig.wait_until_recorded(client, AUDIO, end + RATE)
        after = client.slice(AUDIO, f"sample:{end}", f"sample:{end + RATE}").array()
        assert np.abs(after).max() < threshold
