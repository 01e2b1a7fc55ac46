"""The demo: a private JACK server, real clients, both processes; records, grabs while recording, leaves the files."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from jackcapture.cli import text
from jackcapture.cli.session import control_pid, say, show
from jackcapture.client import Client
from jackcapture.errors import InvalidValueError, JackCaptureError, StorageError, UnreachableError
from jackcapture.processes import children
from jackcapture.processes.jackd import DummyServer
from jackcapture.processes.rig import Rig
from jackcapture.settings import Settings

PLAYED = "stream://demo/player"
QUAD = "stream://demo/four-channels"
KEYS = "stream://demo/keys"
CHUNK_BYTES = 256 << 10
"""Small, so that many chunks change hands in a few seconds."""

_LOOKS_PER_SECOND = 5
_PATIENCE = 10.0


def run_demo(seconds: float, out: str, server: str | None) -> None:
    """Run the demo; what it makes lies in `out`, or in a new directory below the current one."""
    folder = _make_folder(out)
    with tempfile.TemporaryDirectory(prefix="jackcapture-demo-") as scratch, contextlib.ExitStack() as stack:
        if server is None:
            server = stack.enter_context(DummyServer()).name
        log_path = os.path.join(folder, "log.txt")
        log = stack.enter_context(open(log_path, "wb"))
        settings = Settings(root=os.path.join(folder, "store"), runtime=os.path.join(scratch, "run"), server=server)
        stack.enter_context(
            Rig(settings, None, lambda: control_pid(settings, lambda status: status["jack"]["running"]), output=log)
        )
        stack.enter_context(_player(server, log))
        client = stack.enter_context(Client(runtime=settings.runtime))
        say(f"recording {seconds:g} s from JACK server {server}")
        result = _record(client, seconds, folder)
    result["files"].append({"path": settings.root, "what": "the store: every sample, in content-addressed chunks"})
    result["files"].append({"path": log_path, "what": "what engine and control logged"})
    show(result, _show_files)


def _record(client: Client, seconds: float, folder: str) -> dict[str, Any]:
    client.call("stream_create", uri=PLAYED, channels=2, sources=["player:out_.*"], chunk_size_bytes=CHUNK_BYTES)
    client.call("stream_create", uri=QUAD, channels=4, sources=["player:out_left"], chunk_size_bytes=CHUNK_BYTES)
    client.call("stream_create", uri=KEYS, midi=True, sources=["player:midi"])
    uris = [PLAYED, QUAD, KEYS]
    session = client.session(*uris, name="Demo")
    session.play()
    for number, part in enumerate((1 / 3, 2 / 3), 1):
        _watch(client, seconds * part)
        session.mark(f"verse-{number}")
    _watch(client, seconds)
    grabbed = client.call("grab", duration=f"{min(4.0, seconds / 2):g}s", uris=[PLAYED], out=folder)[0]
    if sys.stderr.isatty():
        say("")
    session.stop(close=True)
    stopped = [client.call("stream_status", uri=uri) for uri in uris]
    frames = {stream["takes"][-1]["start_frame"] for stream in stopped}
    exported = session.export(os.path.join(folder, "session"), output_format="reaper")
    whole = client.call(
        "stream_slice", uri=PLAYED, from_place="start", to_place="head", out=os.path.join(folder, "player.wav")
    )
    played = client.call(
        "stream_slice", uri=KEYS, from_place="start", to_place="head", out=os.path.join(folder, "keys.mid")
    )
    drawn = client.call(
        "stream_waveform", uri=PLAYED, from_place="start", to_place="head", out=os.path.join(folder, "player.png")
    )
    return {
        "streams": stopped,
        "began_on_one_frame": len(frames) == 1,
        "files": [
            {"path": whole["path"], "what": "all that the player played, 32-bit float WAV"},
            {"path": drawn["path"], "what": "its waveform as a picture, with the time and the wall clock"},
            {"path": played["path"], "what": "the notes that it sent meanwhile, as a MIDI file"},
            {"path": grabbed["path"], "what": "its last seconds, grabbed while the recording went on"},
            {
                "path": exported["path"],
                "what": "the session: all streams as WAV and MIDI files, aligned, with marks, a Reaper project and a "
                "README",
            },
        ],
        "session": exported,
        "slices": [whole, played, grabbed],
    }


def _watch(client: Client, seconds: float) -> None:
    """Wait until so much is recorded, showing how far it has come."""
    deadline = time.monotonic() + 2 * seconds + _PATIENCE
    while True:
        stream = client.call("stream_status", uri=PLAYED)
        recorded = stream["head_sample"] / stream["format"]["sample_rate"]
        if stream["status"] != "recording" or time.monotonic() > deadline:
            raise JackCaptureError(f"the demo's recording has stopped: {stream['status']}, {stream['error']}")
        if sys.stderr.isatty():
            chunks = stream["chunks"]["sealed"]
            print(f"\r{text.duration(recorded)} recorded, {chunks} chunks sealed", end="", file=sys.stderr, flush=True)
        if recorded >= seconds:
            return
        time.sleep(min(1 / _LOOKS_PER_SECOND, seconds - recorded))


def _show_files(result: dict[str, Any]) -> None:
    for stream in result["streams"]:
        audio = stream["format"]
        length = text.duration(stream["head_sample"] / audio["sample_rate"])
        kind = f"{audio['channels']} channels" if audio["type"] == "audio" else "MIDI"
        print(f"{stream['uri']}: {length}, {kind}, {stream['gap_count']} gaps")
    for file in result["files"]:
        print(f"{file['path']}: {file['what']}")


def _make_folder(out: str) -> str:
    folder = os.path.abspath(out or f"demo-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}", path=folder) from error
    if os.listdir(folder):
        raise InvalidValueError(f"{folder} is not empty; name a new directory with --out", path=folder)
    return folder


@contextlib.contextmanager
def _player(server: str, log: Any) -> Iterator[None]:
    """Run the client that plays, as a process of its own."""
    command = [sys.executable, "-m", "jackcapture.processes.player", "--server", server]
    player = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    assert player.stdout is not None
    try:
        if player.stdout.readline() != b"ready\n":
            raise UnreachableError("the demo's JACK client did not start; the log says why")
        yield
    finally:
        children.end(player, _PATIENCE)
        player.stdout.close()
