"""What users get wrong: a clear error with its exit status, and nothing lost by it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from parts.jackd import JackServer, StartServer
from parts.rig import COMMAND, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples

URI = "stream://test/stereo"
RATE = 48000

CREATE = ("stream", "create", "stream://test/other")
SLICE = ("slice", URI)

# The command, its exit status, its code, and words that its message must have.
REFUSED: list[tuple[tuple[str, ...], int, str, tuple[str, ...]]] = [
    (("stream", "create", "stream:/test/x", "--channels", "2"), 2, "invalid_value", ("stream:/test/x", "stream://")),
    (("stream", "create", "stream://Test/x", "--channels", "2"), 2, "invalid_value", ("stream://Test/x", "a-z")),
    ((*CREATE, "--channels", "0"), 2, "invalid_value", ("0 channels", "1 to 1024")),
    ((*CREATE, "--channels", "1025"), 2, "invalid_value", ("1025 channels", "1 to 1024")),
    ((*CREATE, "--channels", "two"), 2, "invalid_value", ("two",)),
    (CREATE, 2, "invalid_value", ("channels",)),
    ((*CREATE, "--midi", "--channels", "2"), 2, "invalid_value", ("MIDI", "channels")),
    ((*CREATE, "--midi", "--chunk-bytes", "4096"), 2, "invalid_value", ("4096", "65536", "MIDI")),
    (("midi", "send", "90 40"), 2, "invalid_value", ("'90 40'", "3 bytes")),
    (("midi", "send", "nonsense"), 2, "invalid_value", ("'nonsense'", "hexadecimal")),
    (("midi", "send", "90 40 7f", "--to", "nobody:in"), 3, "not_found", ("nobody:in",)),
    (("midi", "send", "90 40 7f", "--at", "-5s"), 2, "invalid_value", ("-5s", "JACK frame")),
    (("midi", "cancel"), 3, "not_found", ("midi-out",)),
    ((*CREATE, "--channels", "2", "--format", "f64"), 2, "invalid_value", ("f64", "f32, i24, i16")),
    ((*CREATE, "--channels", "2", "--chunk-bytes", "4095"), 2, "invalid_value", ("4095", "4096")),
    ((*CREATE, "--channels", "2", "--rate", "44100"), 4, "conflict", ("44100", "48000")),
    ((*CREATE, "--channels", "2", "--source", "("), 2, "invalid_value", ("'('", "regular expression")),
    (("stream", "create", URI, "--channels", "2"), 4, "conflict", (URI, "exists")),
    (("stream", "start", URI), 4, "conflict", ("recording already",)),
    (("stream", "start", "stream://test/none"), 3, "not_found", ("stream://test/none", URI)),
    (("stream", "start", "stream://test/idle", "stream://test/none"), 3, "not_found", ("stream://test/none",)),
    (("stream", "stop", "stream://test/idle"), 4, "conflict", ("not recording",)),
    (("stream", "stop", "stream://test/none"), 3, "not_found", ("stream://test/none",)),
    (("stream", "status", "stream://test/none"), 3, "not_found", ("stream://test/none",)),
    ((*SLICE, "--from", "head", "--to", "start"), 2, "invalid_value", ("after", "positions 0 to")),
    ((*SLICE, "--from", "sample:9", "--to", "sample:9"), 2, "invalid_value", ("at least one frame",)),
    ((*SLICE, "--from", "-1h", "--to", "head"), 3, "not_found", ("positions 0 to",)),
    ((*SLICE, "--from", "start", "--to", "sample:999999999"), 3, "not_found", ("999999999", "positions 0 to")),
    ((*SLICE, "--from", "yesterday", "--to", "head"), 2, "invalid_value", ("'yesterday'", "sample:N")),
    ((*SLICE, "--from", "bar:17", "--to", "head"), 3, "not_found", ("transport did not move",)),
    ((*SLICE, "--from", "bar:0", "--to", "head"), 2, "invalid_value", ("'bar:0'",)),
    ((*SLICE, "--from", "start"), 2, "invalid_value", ("--to",)),
    ((*SLICE, "--from", "start", "--to", "head", "--format", "mid"), 2, "invalid_value", ("mid", "wav")),
    ((*SLICE, "--from", "start", "--to", "head", "--out", "/no/such/x.wav"), 2, "invalid_value", ("/no/such",)),
    ((*SLICE, "--from", "start", "--to", "head", "--out", "/etc/passwd"), 4, "conflict", ("/etc/passwd", "exists")),
    (("slice", "stream://test/idle", "--from", "start", "--to", "head"), 3, "not_found", ("nothing yet",)),
    (("grab", "0s"), 2, "invalid_value", ("0s",)),
    (("grab", "1s", "--out", "/no/such"), 2, "invalid_value", ("/no/such",)),
    (("grab", "1s", "stream://test/idle"), 4, "conflict", ("not recording",)),
    (("artifact", "show", "slice-0"), 3, "not_found", ("slice-0",)),
    (("artifact", "save", "slice-0", "x"), 3, "not_found", ("slice-0",)),
    (("ports", "("), 2, "invalid_value", ("'('",)),
    (("nonsense",), 2, "invalid_value", ("nonsense",)),
    (("stream", "start"), 2, "invalid_value", ("uris",)),
    (("status", "--no-such-option"), 2, "invalid_value", ("--no-such-option",)),
]


def check_refused(
    rig: RigProcess, command: tuple[str, ...], status: int, code: str, words: tuple[str, ...]
) -> dict[str, Any]:
    """Run a command that must fail, and check the error that it prints."""
    document = rig.cli(*command, status=status)
    assert set(document) == {"error"}, command
    error: dict[str, Any] = document["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["code"] == code, command
    for word in words:
        assert word in error["message"], (command, error["message"])
    return error


@pytest.mark.timeout(180)
def test_refusals_cost_a_running_take_nothing(
    jack_server: JackServer, frame_source: StartSource, start_rig: StartRig
) -> None:
    """Each wrong command has its error, and the stream that records meanwhile is whole."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    sources = ("--source", "source:out_.*")
    rig.cli("stream", "create", URI, "--channels", "2", "--chunk-bytes", "65536", *sources)
    rig.cli("stream", "create", "stream://test/idle", "--channels", "1")
    start = rig.cli("stream", "start", URI)[0]["takes"][0]["start_frame"]
    for command, status, code, words in REFUSED:
        check_refused(rig, command, status, code, words)
    assert [stream["uri"] for stream in rig.cli("stream", "list")] == ["stream://test/idle", URI]
    assert rig.cli("stream", "status", "stream://test/idle")["takes"] == []
    stopped = rig.cli("stream", "stop", URI)[0]
    assert stopped["gap_count"] == 0
    with rig.client() as client:
        whole = client.call("stream_slice", uri=URI, from_place="start", to_place="head")
    samples = rig.samples(whole)
    assert (samples == expected_samples(start, len(samples), 2)).all()
    assert rig.staging_files() == []
    kinds = [artifact["kind"] for artifact in rig.cli("artifact", "list")]
    assert sorted(kinds) == ["definition", "definition", "manifest", "slice"]


def test_without_jack(start_jack_server: StartServer, start_rig: StartRig) -> None:
    """Control runs without JACK and says so; another sample rate is refused with both rates."""
    server = start_jack_server()
    rig = start_rig(server)
    rig.cli("stream", "create", URI, "--channels", "1")
    server.stop()
    wait_for(lambda: rig.cli("status")["jack"]["running"], lambda running: not running, "the server's end")
    check_refused(rig, ("stream", "start", URI), 5, "unreachable", (server.name,))
    check_refused(rig, ("ports",), 5, "unreachable", (server.name,))
    check_refused(rig, (*CREATE, "--channels", "1"), 5, "unreachable", (server.name, "sample rate"))
    rig.cli(*CREATE, "--channels", "1", "--rate", "44100")
    server.start()  # and it is found by whoever needs it: nobody has to wait for that first
    error = check_refused(rig, ("stream", "start", "stream://test/other"), 4, "conflict", ("44100", "48000"))
    assert (error["details"]["sample_rate"], error["details"]["jack_sample_rate"]) == (44100, 48000)
    rig.cli("stream", "start", URI)
    rig.cli("stream", "stop", URI)


def test_second_up_is_refused(jack_server: JackServer, start_rig: StartRig) -> None:
    """A second `up` on the runtime directory or on the store ends with the process id of the first."""
    rig = start_rig(jack_server)
    for arguments in (("up",), ("up", "--runtime", str(rig.runtime.parent / "other"))):
        error = check_refused(rig, arguments, 4, "conflict", (str(rig.ready["control"]),))
        assert error["details"]["pid"] == rig.ready["control"]
    assert rig.cli("status")["control"]["pid"] == rig.ready["control"]


def test_down_seals_what_is_recorded(jack_server: JackServer, frame_source: StartSource, start_rig: StartRig) -> None:
    """`down` ends `up` in order: the take is whole and nothing is left running or lying about."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    rig.cli("stream", "create", URI, "--channels", "2", "--source", "source:out_.*")
    rig.cli("stream", "start", URI)
    with rig.client() as client:
        rig.wait_until_recorded(client, URI, RATE // 2)
    rig.cli("down")
    assert rig.wait() == 0
    assert rig.staging_files() == []
    assert not Path(rig.rings).exists()
    check_refused(rig, ("status",), 5, "unreachable", ("jackcapture up",))
    with rig.start().client() as client:
        (take,) = client.call("stream_status", uri=URI)["takes"]
        assert take["samples"] >= RATE // 2
        assert take["error"] is None


@pytest.mark.parametrize("root", ["/proc/nowhere", "/dev/null/store"])
def test_store_that_cannot_be_made(root: str, tmp_path: Path) -> None:
    """`up` ends with the status of storage."""
    done = subprocess.run(
        [*COMMAND, "up", "--json", "--root", root, "--runtime", str(tmp_path / "r"), "--server", "jct-none"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 6
    assert json.loads(done.stdout)["error"]["code"] == "storage"
    assert root in done.stderr
