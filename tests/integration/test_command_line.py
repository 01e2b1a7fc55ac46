"""The command line as scripts see it: documents, exit statuses, and what `up` does until its end."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.processes.children import is_alive
from parts.jackd import JackServer
from parts.rig import COMMAND, RigProcess, StartRig, wait_for
from parts.sources import FrameSource, StartSource, expected_samples

TAPE = "stream://test/tape"
"""Records while the module's rig runs."""

IDLE = "stream://test/idle"
"""Holds one take, and does not record."""

NEW = "stream://test/new"
RATE = 48000
PORT_MAX = 512
CHUNK_BYTES = 32 << 20
"""So large that no chunk fills up: the files in staging are the same all the time."""


@dataclass(frozen=True)
class Studio:
    """A running jackcapture that records TAPE."""

    rig: RigProcess
    folder: Path


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, frame_source_program: Path) -> Iterator[Studio]:
    """One jackcapture for many tests: none of them may disturb it."""
    folder = tmp_path_factory.mktemp("studio")
    with (
        JackServer(period=256, port_max=PORT_MAX) as server,
        FrameSource(frame_source_program, server, 1),
        RigProcess(folder, server, None, {}) as rig,
    ):
        with rig.client() as client:
            for uri in (TAPE, IDLE):
                client.call(
                    "stream_create", uri=uri, channels=1, sources=["source:out_1"], chunk_size_bytes=CHUNK_BYTES
                )
            client.call("stream_start", uris=[IDLE])
            rig.wait_until_recorded(client, IDLE, RATE // 10)
            client.call("stream_stop", uris=[IDLE])
            client.call("stream_start", uris=[TAPE])
            rig.wait_until_recorded(client, TAPE, RATE // 10)
        yield Studio(rig, folder)


def picture(rig: RigProcess) -> dict[str, Any]:
    """All that a refused command must leave as it is."""
    with rig.client() as client:
        streams = {
            stream["uri"]: (stream["status"], len(stream["takes"]), stream["gap_count"], stream["error"])
            for stream in client.call("stream_list")
        }
        artifacts = [artifact["id"] for artifact in client.call("artifact_list")]
        ports = [port["name"] for port in client.call("ports", pattern="^jackcapture:")]
    return {
        "streams": streams,
        "artifacts": artifacts,
        "ports": ports,
        "staging": sorted(rig.staging_files()),
        "content": sorted(path.name for path in rig.content_files()),
    }


def refused(rig: RigProcess, arguments: tuple[str, ...], status: int, code: str, *said: str) -> dict[str, Any]:
    """Run a command that must fail; check its error and give it."""
    document = rig.cli(*arguments, status=status)
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["code"] == code
    for words in said:
        assert words in error["message"]
    return error


def create(uri: str, *options: str) -> tuple[str, ...]:
    """The words of a `stream create`."""
    return ("stream", "create", uri, *options)


def cut(uri: str, first: str, last: str, *options: str) -> tuple[str, ...]:
    """The words of a `slice`."""
    return ("slice", uri, "--from", first, "--to", last, *options)


REFUSED: list[tuple[tuple[str, ...], int, str, tuple[str, ...]]] = [
    # A stream that is refused leaves neither an entry nor content nor ports.
    (create(TAPE, "--channels", "2"), 4, "conflict", (TAPE, "exists")),
    (create(NEW, "--channels", str(PORT_MAX + 1)), 4, "conflict", ("test-new_", "--port-max")),
    (create(NEW, "--channels", "two"), 2, "invalid_value", ("'--channels'", "'two'", "integer")),
    (create("stream://test/" + 65 * "x", "--channels", "1"), 2, "invalid_value", (65 * "x", "64 characters")),
    (create(NEW + "\n", "--channels", "1"), 2, "invalid_value", (r"'stream://test/new\n'",)),
    # One of several: none is started or stopped.
    (("stream", "start", IDLE, TAPE), 4, "conflict", (TAPE, "stop it first")),
    (("stream", "stop", TAPE, IDLE), 4, "conflict", (IDLE, "not recording")),
    (("grab", "50ms", TAPE, NEW), 3, "not_found", (NEW, TAPE)),
    # Ranges of a stream that does not grow.
    (cut(IDLE, "sample:0", "sample:99999999"), 3, "not_found", ("99999999", "has the positions 0 to ")),
    (cut(IDLE, "sample:99999990", "sample:99999999"), 3, "not_found", ("99999990", "has the positions 0 to ")),
    (cut(IDLE, "sample:-1", "head"), 2, "invalid_value", ("'sample:-1'", "whole number")),
    (cut(IDLE, "start", "-5parsecs"), 2, "invalid_value", ("'-5parsecs'", "30s")),
    # Where results go.
    (cut(IDLE, "start", "head", "--out", "{folder}"), 4, "conflict", ("{folder}", "exists")),
    (cut(IDLE, "start", "head", "--out", "/dev/null/a.wav"), 2, "invalid_value", ("/dev/null is not a directory",)),
    (("grab", "50ms", "--out", "/dev/null"), 2, "invalid_value", ("/dev/null", "directory")),
    (("artifact", "list", "--stream", "tape"), 2, "invalid_value", ("'tape'",)),
    # Words that are no command.
    ((), 2, "invalid_value", ("jackcapture --help",)),
    (("stream", "record", TAPE), 2, "invalid_value", ("'record'", "stream --help")),
    (("status", "now"), 2, "invalid_value", ("now",)),
    (("status", "--config", "{folder}/none.toml"), 3, "not_found", ("{folder}/none.toml",)),
]


@pytest.mark.parametrize(
    ("arguments", "status", "code", "said"), REFUSED, ids=[" ".join(words)[:60] or "nothing" for words, *_ in REFUSED]
)
def test_a_refused_command_changes_nothing(
    studio: Studio, arguments: tuple[str, ...], status: int, code: str, said: tuple[str, ...]
) -> None:
    before = picture(studio.rig)
    arguments, said = (
        tuple(word.replace("{folder}", str(studio.folder)) for word in words) for words in (arguments, said)
    )
    refused(studio.rig, arguments, status, code, *said)
    assert picture(studio.rig) == before


def test_a_global_option_without_its_value_is_named(studio: Studio) -> None:
    done = studio.rig.run("stream", "list", "--json", "--server")
    assert done.returncode == 2
    assert "--server" in json.loads(done.stdout)["error"]["message"]


def test_a_malformed_call_from_python_names_the_argument(studio: Studio) -> None:
    with studio.rig.client() as client:
        with pytest.raises(InvalidValueError, match=r"stream_start: uris: .*\(given: 'tape'\)"):
            client.call("stream_start", uris="tape")
        with pytest.raises(InvalidValueError, match="colour"):
            client.call("stream_status", uri=TAPE, colour="blue")
        with pytest.raises(NotFoundError, match=r"'stream_paint'.*stream_start"):
            client.call("stream_paint")


def test_status_has_the_fields_of_the_contract(studio: Studio) -> None:
    status = studio.rig.cli("status")
    assert status["jack"]["server"] == studio.rig.server
    assert (status["jack"]["sample_rate"], status["jack"]["period"]) == (RATE, 256)
    assert status["jack"]["xruns"] >= 0
    for process in ("engine", "control"):
        assert {"pid", "since", "version"} <= set(status[process])
        assert is_alive(status[process]["pid"])
    assert status["sessions"] == []
    assert [stream["uri"] for stream in status["streams"]] == [IDLE, TAPE]
    store = status["store"]
    assert store["root"] == str(studio.rig.root)
    assert store["bytes"] == sum(path.stat().st_size for path in studio.rig.content_files())
    # Samples and overviews, down to the reserve.
    usable, rate = store["free_bytes"] - (64 << 20), (4 + 12 / 256) * RATE
    assert store["seconds_left"] == pytest.approx(usable / rate, rel=0.01)
    assert not store["disk_low"]
    assert studio.rig.cli("store", "status")["root"] == store["root"]

    stream = studio.rig.cli("stream", "status", TAPE)
    assert stream["status"] == "recording"
    assert stream["format"] == {"type": "audio", "sample_rate": RATE, "channels": 1, "sample_format": "f32"}
    assert stream["head_bytes"] == 4 * stream["head_sample"] > 0
    assert stream["head_wall_clock"].startswith("20")
    assert stream["chunks"] == {"sealed": 0, "staging": 1}
    assert (stream["gaps"], stream["lost_frames"]) == ([], 0)
    assert stream["xruns"] >= 0
    assert 0 <= stream["ring_fill"] < 1
    (connection,) = stream["connections"]
    assert (connection["port"], connection["connections"]) == ("jackcapture:test-tape_1", ["source:out_1"])
    assert connection["latency"] == {"min": 0, "max": 0}
    assert (stream["unconnected"], stream["clipped_samples"]) == ([], 0)
    assert [take["samples"] for take in stream["takes"]] == [None]


def test_ports_are_listed_with_their_connections(studio: Studio) -> None:
    (port,) = studio.rig.cli("ports", "^source:")
    assert (port["name"], port["type"], port["direction"]) == ("source:out_1", "audio", "output")
    assert sorted(port["connections"]) == ["jackcapture:test-idle_1", "jackcapture:test-tape_1"]
    assert studio.rig.cli("ports", "^nobody:") == []


def test_artifacts_are_listed_shown_and_saved(studio: Studio) -> None:
    rig = studio.rig
    made = rig.cli(*cut(IDLE, "sample:10", "sample:20", "--format", "raw"))
    assert [item["id"] for item in rig.cli("artifact", "list", "--kind", "slice", "--stream", IDLE)] == [
        made["artifact_id"]
    ]
    assert rig.cli("artifact", "list", "--tag", "none such") == []
    shown = rig.cli("artifact", "show", made["artifact_id"])
    assert shown["content_hash"] == made["content_hash"]
    assert shown["bytes"] == 40
    copy = studio.folder / "copy.raw"
    saved = rig.cli("artifact", "save", made["artifact_id"], str(copy))
    assert saved == {"artifact_id": made["artifact_id"], "path": str(copy), "bytes": 40}
    assert copy.read_bytes() == rig.content(made["content_hash"]).read_bytes()
    take = rig.cli("stream", "status", IDLE)["takes"][0]
    samples = np.fromfile(copy, np.float32).reshape(-1, 1)
    np.testing.assert_array_equal(samples, expected_samples(take["start_frame"] + 10, 10, 1))
    refused(rig, ("artifact", "save", made["artifact_id"], str(copy)), 4, "conflict", str(copy), "exists")


def test_the_doctor_asks_what_runs(studio: Studio) -> None:
    """It knows the server, the graph, and what the streams bring; its status tells scripts whether all is well."""
    done = studio.rig.run("doctor", "--json")
    result = json.loads(done.stdout)
    found = {it["check"]: it for it in result["findings"]}
    assert done.returncode == (0 if result["ok"] else 4)
    assert f"{studio.rig.server}: 48000 Hz, 256 frames a period (5.33 ms)" in found["jack"]["message"]
    assert found["jack-mode"]["severity"] == "ok"  # -S
    assert "2 other clients on the JACK graph: source, system" in found["graph"]["message"]
    assert "the streams bring 0.4 MB/s" in found["disk-speed"]["message"]
    assert "the rings take 0" not in found["shared-memory"]["message"]
    assert found["engine-thread"]["check"] == "engine-thread"
    assert studio.rig.run("doctor").stdout.count("\n") >= len(found)


def test_watch_shows_levels_and_ends_in_order(studio: Studio) -> None:
    """Once without a terminal; in one again and again, until Ctrl-C, which is its ordinary end."""
    seen = studio.rig.cli("watch")
    streams = {it["uri"]: it for it in seen["streams"]}
    assert len(streams[TAPE]["peak_db"]) == 1
    assert streams[TAPE]["peak_db"][0] <= 0
    assert streams[IDLE]["peak_db"] is None
    printed = studio.rig.run("watch").stdout
    assert f"JACK {studio.rig.server}: 48000 Hz, 256 frames" in printed
    assert any(line.startswith(TAPE) and "recording" in line and "dB" in line for line in printed.splitlines())
    assert "\x1b" not in printed

    terminal, its_end = pty.openpty()
    environment = {**studio.rig.environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    process = subprocess.Popen(
        [*COMMAND, "watch", "--interval", "0.1"], stdin=its_end, stdout=its_end, stderr=its_end, env=environment,
    )  # fmt: skip
    os.close(its_end)
    drawn = b""
    while drawn.count(b"recording") < 3:
        drawn += os.read(terminal, 65536)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # the terminal ends with it
        while os.read(terminal, 65536):
            pass
    assert process.wait(20) == 0
    os.close(terminal)


def test_text_for_people_goes_the_same_way(studio: Studio) -> None:
    """Without --json a result is text on standard output, an error text on standard error, one line each."""
    listed = studio.rig.run("stream", "list")
    assert TAPE in listed.stdout
    assert listed.stderr == ""
    wrong = studio.rig.run("stream", "status", NEW)
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert wrong.stderr.startswith("jackcapture: ")
    assert NEW in wrong.stderr


def test_what_recorded_all_the_time_lost_nothing(studio: Studio) -> None:
    """The last of the tests on the module's rig."""
    with studio.rig.client() as client:
        stopped = client.call("stream_stop", uris=[TAPE])[0]
        assert (stopped["status"], stopped["error"], stopped["gap_count"]) == ("stopped", None, 0)
        whole = client.call("stream_slice", uri=TAPE, from_place="start", to_place="head")
        samples = studio.rig.samples(whole)
        assert len(samples) == stopped["head_sample"]
        start_frame = stopped["takes"][0]["start_frame"]
        np.testing.assert_array_equal(samples, expected_samples(start_frame, len(samples), 1))
    assert studio.rig.staging_files() == []


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[RigProcess]:
    """A jackcapture that is not started."""
    rig = RigProcess(tmp_path, "jct-nowhere", None, {})
    yield rig
    rig.__exit__(None, None, None)


def test_the_doctor_works_without_control(nobody: RigProcess) -> None:
    result = json.loads(nobody.run("doctor", "--json").stdout)
    found = {it["check"]: it for it in result["findings"]}
    assert found["jack"]["severity"] == "note"
    assert "jct-nowhere" in found["jack"]["message"]
    assert str(nobody.root) in found["file-system"]["message"]


def test_without_control_a_command_fails_fast(nobody: RigProcess) -> None:
    for left in ("nothing", "directory", "socket"):
        if left == "directory":
            nobody.runtime.mkdir(mode=0o700)
        if left == "socket":
            with socket.socket(socket.AF_UNIX) as stale:  # as a control leaves it that was killed
                stale.bind(str(nobody.runtime / "control.sock"))
        begun = time.monotonic()
        refused(nobody, ("stream", "list"), 5, "unreachable", str(nobody.runtime), "jackcapture up")
        assert time.monotonic() - begun < 3, left


@pytest.mark.parametrize(
    ("option", "value", "status", "code"),
    [
        ("--root", "{file}/store", 6, "storage"),
        ("--root", "/proc/jackcapture", 6, "storage"),
        ("--root", "{folder}", 4, "conflict"),
        ("--runtime", "{file}/run", 6, "storage"),
        ("--runtime", "/", 2, "invalid_value"),
        ("--runtime", "{scratch}/" + 100 * "x", 2, "invalid_value"),
        ("--server", "no/server", 2, "invalid_value"),
    ],
)
def test_up_says_where_it_cannot_run(
    nobody: RigProcess, tmp_path: Path, option: str, value: str, status: int, code: str
) -> None:
    """The error is that of control, whole: code, message with the path, exit status."""
    file = tmp_path / "file"
    file.write_bytes(b"mine")
    with tempfile.TemporaryDirectory(prefix="jct-") as scratch:
        named = value.format(file=file, folder=tmp_path, scratch=scratch)
        refused(nobody, ("up", option, named), status, code, named)
        assert os.listdir(scratch) == []
    assert file.read_bytes() == b"mine"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_up_in_order(
    number: signal.Signals, jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """What records is sealed, and nothing is left: no process, no staging file, no ring, no second document."""
    frame_source(jack_server, 1)
    rig = start_rig(jack_server)
    rig.cli(*create(TAPE, "--channels", "1", "--chunk-bytes", "65536", "--source", "source:out_1"))
    rig.cli("stream", "start", TAPE)
    with rig.client() as client:
        head = rig.wait_until_recorded(client, TAPE, RATE // 4)["head_sample"]
    process = rig.process
    assert process is not None
    assert process.stdout is not None
    process.send_signal(number)
    assert process.wait(20) == 0
    assert process.stdout.read() == b""  # after the line `ready`; no other process holds it open either
    process.stdout.close()
    assert not is_alive(rig.ready["control"])
    assert not is_alive(rig.ready["engine"])
    assert rig.staging_files() == []
    assert not os.path.exists(rig.rings)
    assert [name for name in os.listdir(rig.runtime) if name.endswith(".sock")] == []
    with rig.start().client() as client:
        (take,) = client.call("stream_status", uri=TAPE)["takes"]
        assert take["samples"] >= head
        assert take["error"] is None
        whole = client.call("stream_slice", uri=TAPE, from_place="start", to_place="head")
        samples = rig.samples(whole)
        np.testing.assert_array_equal(samples, expected_samples(take["start_frame"], take["samples"], 1))


def test_up_waits_for_jack_and_ends_without_it(nobody: RigProcess, tmp_path: Path) -> None:
    """And tells systemd when it is ready, that it lives, and that it is ending."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        nobody.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        waits_for_jack_and_ends(nobody)
        told = [manager.recv(4096).decode().splitlines() for _ in range(3)]
    assert told[0] == ["READY=1", "STATUS=no JACK server jct-nowhere, 0 of 0 streams record, 0 gaps"]
    assert told[1][0] == "WATCHDOG=1"
    assert told[2][0] in ("WATCHDOG=1", "STOPPING=1")


def test_what_a_dead_control_left_does_not_outlive_the_next_one_however_short_that_runs(nobody: RigProcess) -> None:
    nobody.start()
    assert nobody.stop() == 0
    name = "ab" * 32
    orphan = nobody.root / "staging" / "blake3" / name[:2] / name[2:4] / name
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"a spare that was not given away")
    nobody.start()
    assert nobody.stop() == 0
    assert nobody.staging_files() == []


def waits_for_jack_and_ends(nobody: RigProcess) -> None:
    nobody.start()
    assert not nobody.cli("status")["jack"]["running"]
    assert "'jct-nowhere' is not running" in nobody.log
    nobody.cli(*create(TAPE, "--channels", "1", "--rate", "48000"))
    refused(nobody, ("stream", "start", TAPE), 5, "unreachable", "'jct-nowhere'", "not running")
    assert nobody.staging_files() == []
    assert nobody.cli("down") == {"done": True}
    assert nobody.wait() == 0


def test_control_killed_twice_in_a_row_comes_back(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """Also the control that took the streams up may be killed: the take stays one, and exact."""
    frame_source(jack_server, 1)
    rig = start_rig(jack_server)
    rig.cli(*create(TAPE, "--channels", "1", "--chunk-bytes", "16384", "--source", "source:out_1"))
    start = rig.cli("stream", "start", TAPE)[0]["takes"][0]["start_frame"]
    pids = [rig.ready["control"]]
    for _ in range(2):
        os.kill(pids[-1], signal.SIGKILL)
        done = wait_for(
            lambda: rig.run("status", "--json"),
            lambda done: done.returncode == 0 and json.loads(done.stdout)["control"]["pid"] not in pids,
            "a new control",
        )
        pids.append(json.loads(done.stdout)["control"]["pid"])
    with rig.client() as client:
        head = client.call("stream_status", uri=TAPE)["head_sample"]
        rig.wait_until_recorded(client, TAPE, head + RATE)
        stopped = rig.cli("stream", "stop", TAPE)[0]
        assert (stopped["gap_count"], len(stopped["takes"]), stopped["error"]) == (0, 1, None)
        whole = client.call("stream_slice", uri=TAPE, from_place="start", to_place="head")
    samples = rig.samples(whole)
    assert len(samples) == stopped["head_sample"]
    np.testing.assert_array_equal(samples, expected_samples(start, len(samples), 1))
    wait_for(rig.staging_files, lambda files: files == [], "empty staging")
