"""A virtual slice of an hour: how long it takes to make, its first byte, and how fast it is read in pieces of 1 MiB."""

import base64
from collections.abc import Iterator

from benchmarks.measuring import Row, figure, milliseconds, timed
from benchmarks.recordings import HOUR_FRAMES, Recording
from benchmarks.workspace import Workspace, control
from jackcapture.client import Client
from jackcapture.control.slices.artifact_files import MAX_READ_BYTES, read_file

URI = "stream://bench/hour"
_TIMES = 30
_PIECES = 64
_ROUNDS = 5


def virtual(workspace: Workspace) -> Iterator[Row]:
    """Make it and read its first byte, inside control and from outside."""
    made, rendered = [], []
    with workspace.hour() as recording:
        for _ in range(_TIMES):
            spent, result = timed(recording.cut, 0, HOUR_FRAMES, is_virtual=True)
            made.append(spent)
            spent, byte = timed(_first_byte, recording, result.artifact_id)
            rendered.append(spent)
            assert byte == b"R"
            recording.delete(result)
    yield milliseconds("virtual", "virtual slice of 1 h, durable", made, aim="≤ 10 ms")
    yield milliseconds("virtual", "first byte of its rendering", rendered, aim="≤ 5 ms")
    made, rendered = [], []
    with control(workspace.hour_root) as client:
        for _ in range(_TIMES):
            spent, slice_ = timed(client.slice, URI, "start", "head", virtual=True)
            made.append(spent)
            spent, reply = timed(client.call, "artifact_read", artifact_id=slice_["artifact_id"], length=1)
            rendered.append(spent)
            assert base64.b64decode(reply["base64"]) == b"R"
            client.call("artifact_delete", artifact_id=slice_["artifact_id"])
    yield milliseconds("virtual", "virtual slice of 1 h, by a client", made)
    yield milliseconds("virtual", "first byte of its rendering, by a client", rendered)


def read(workspace: Workspace) -> Iterator[Row]:
    """Read from the rendering of a virtual slice, and from a file, in the largest pieces that there are."""
    with control(workspace.hour_root) as client:
        for what, to_place, is_virtual in (
            ("a virtual slice of 1 h", "head", True),
            ("a slice of 20 min as a file", "start+20m", False),
        ):
            artifact_id = client.slice(URI, "start", to_place, virtual=is_virtual)["artifact_id"]
            speeds, waits = [], []
            for _ in range(_ROUNDS):
                spent = [timed(_piece, client, artifact_id, number * MAX_READ_BYTES)[0] for number in range(_PIECES)]
                speeds.append(_PIECES * MAX_READ_BYTES / sum(spent) / 1e6)
                waits += spent
            client.call("artifact_delete", artifact_id=artifact_id)
            yield figure("read", f"artifact_read of {what}, 1 MiB pieces", "MB/s", speeds)
            yield milliseconds("read", "one such piece", waits)


def _first_byte(recording: Recording, artifact_id: str) -> bytes:
    artifact = recording.catalog.artifact(artifact_id)
    return read_file(recording.store, recording.catalog, artifact, 0, 1)[0]


def _piece(client: Client, artifact_id: str, offset: int) -> None:
    reply = client.call("artifact_read", artifact_id=artifact_id, offset=offset)
    assert len(base64.b64decode(reply["base64"])) == MAX_READ_BYTES
