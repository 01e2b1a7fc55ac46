"""How old the newest frame of a slice to `head` is while a real JACK server runs at 64 frames a period.

Every sample of the source is its JACK frame, so the slice itself says how new it is; it may be newer than the call.
"""

import shutil
from collections.abc import Iterator

from benchmarks.measuring import Row, figure, milliseconds, skipped, timed
from benchmarks.workspace import Workspace
from parts.build import build
from parts.disturbers import JackRemote
from parts.jackd import JackServer
from parts.rig import RATE, RigProcess
from parts.sources import MODULUS, FrameSource, frames_of

PERIOD = 64
URI = "stream://bench/edge"
_SLICES = 100
_AIM = f"≤ {1000 * PERIOD / RATE + 20:.1f} ms"


def edge(workspace: Workspace) -> Iterator[Row]:
    """Cut the last second again and again while it is recorded."""
    what = "age of the newest frame in a slice to head, at the call"
    if shutil.which("jackd") is None:
        yield skipped("edge", what, "jackd is not installed")
        return
    folder = workspace.folder / "edge"
    folder.mkdir()
    ages, spent = [], []
    with (
        JackServer(PERIOD, RATE) as server,
        JackRemote(build("jack_remote.c", folder), server) as remote,
        FrameSource(build("frame_source.c", folder), server) as source,
        RigProcess(folder, server, None, {}) as rig,
        rig.client() as client,
    ):
        client.call("stream_create", uri=URI, channels=2, sources=source.ports)
        client.call("stream_start", uris=[URI])
        rig.wait_until_recorded(client, URI, 2 * RATE)
        for _ in range(_SLICES):
            called_at = remote.now().frame
            seconds, slice_ = timed(client.slice, URI, "-1s", "head")
            samples = slice_.array()
            newest = frames_of(samples) + len(samples) - 1
            # The shortest way round: a slice may also have what came after the call.
            age = (called_at - newest + MODULUS // 2) % MODULUS - MODULUS // 2
            ages.append(age / RATE)
            spent.append(seconds)
        client.call("stream_stop", uris=[URI])
    yield milliseconds("edge", what, ages, aim=_AIM, note="negative: newer than the call")
    late = sum(age * RATE > PERIOD + 0.02 * RATE for age in ages)
    yield figure("edge", f"of {_SLICES} slices, those older than that", "", [late])
    yield milliseconds("edge", "a slice of the last second while it is recorded", spent)
