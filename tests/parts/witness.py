"""What JACK handed to the engine, cycle by cycle, written down outside of the engine's code (see witness.c).

From it follows what a take must hold: `expected_take` says so by JACK's counter alone, as docs/engine.md has it.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from parts.build import build_libjack, real_libjack
from parts.midi import read_events

_HEAD = struct.Struct("<IIQ")
_WRAP = 1 << 32


@dataclass(frozen=True)
class Call:
    """One call of a client's process callback.

    `client` counts the clients that were opened, from 1. `frame` is JACK's counter and `usecs` JACK's time at the start
    of the cycle, as the client was given them. `samples` (frames, watched ports) are None when it asked for no buffer.
    """

    client: int
    frame: int
    frames: int
    usecs: int
    samples: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class ExpectedTake:
    """What a take must hold. Gaps are (position in the take, frames, cause); `calls` those whose frames it holds.

    `second_calls`: how often JACK called once more in the same cycle.
    """

    samples: npt.NDArray[np.float32]
    gaps: list[tuple[int, int, str]]
    calls: list[Call]
    second_calls: int


class Witness:
    """A libjack that watches the ports `ports`_1, `ports`_2 ... of the program that is run with `environment`."""

    def __init__(self, folder: Path, ports: str) -> None:
        folder.mkdir()
        self.log = folder / "log"
        build_libjack("witness.c", folder)
        before = os.environ.get("LD_LIBRARY_PATH")
        self.environment = {
            "LD_LIBRARY_PATH": os.pathsep.join([str(folder), *([before] if before else [])]),
            "WITNESS_REAL": real_libjack(),
            "WITNESS_LOG": str(self.log),
            "WITNESS_PORTS": ports,
        }

    def calls(self) -> Iterator[Call]:
        """All that was written down, in order; complete once the program has ended."""
        for frame, data in read_events(self.log):
            client, frames, usecs = _HEAD.unpack_from(data)
            planar = np.frombuffer(data, "<f4", offset=_HEAD.size).reshape(-1, frames)
            yield Call(client, frame, frames, usecs, planar.T if len(planar) else None)


def expected_take(calls: Iterable[Call], start_frame: int, frames: int, channels: int, rate: int) -> ExpectedTake:
    """What a take of these 64-bit JACK frames must hold.

    What JACK delivered stands at its frame, and what it did not is a gap. Raises AssertionError when the engine left a
    call's frames alone although it had begun to take them from that client.
    """
    samples = np.zeros((frames, channels), np.float32)
    gaps: list[tuple[int, int, str]] = []
    taken: list[Call] = []
    second_calls = 0
    before: Call | None = None  # JACK's newest call, and its frame:
    frame = 0
    end = start_frame  # of what was delivered
    client_of_end = 0
    for call in calls:
        if before is not None and _is_second(before, call):
            second_calls += 1
            continue
        frame, before = _frame_of(call, before, frame, rate), call
        if call.samples is None:
            assert client_of_end != call.client, f"JACK's frame {call.frame} of client {call.client} was left alone"
            continue
        first, last = max(frame, start_frame), min(frame + call.frames, start_frame + frames)
        if first < last:
            if first > end:
                cause = "xrun" if client_of_end == call.client else "server_down"
                gaps.append((end - start_frame, first - end, cause))
            samples[first - start_frame : last - start_frame] = call.samples[first - frame : last - frame]
            taken.append(call)
            end = last
        client_of_end = call.client
    assert end == start_frame + frames, f"JACK delivered nothing after position {end - start_frame} of {frames}"
    return ExpectedTake(samples, gaps, taken, second_calls)


def _is_second(before: Call, call: Call) -> bool:
    return (call.client, call.frame, call.frames) == (before.client, before.frame, before.frames)


def _frame_of(call: Call, before: Call | None, frame: int, rate: int) -> int:
    """The 64-bit frame of a call; `frame` is the one of the call before it."""
    if before is None:
        return call.frame
    if call.client != before.client:  # another server: moved on by the time that has passed
        return frame + int((call.usecs - before.usecs) * rate / 1e6 + 0.5)
    ahead = (call.frame - before.frame - before.frames) % _WRAP
    return frame + before.frames + (ahead if ahead < _WRAP // 2 else 0)
