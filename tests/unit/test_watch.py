"""The live view, drawn from a status."""

import io
from typing import Any

from rich.console import Console

from jackcapture.cli.watch import view


def stream(uri: str, status: str = "recording", **more: Any) -> dict[str, Any]:
    return {
        "uri": uri, "status": status, "format": {"type": "audio", "sample_rate": 48000}, "head_sample": 48000 * 3661,
        "ring_fill": 0.02, "gap_count": 0, "lost_frames": 0, "peak_db": None,
    } | more  # fmt: skip


def drawn(*streams: dict[str, Any], **more: Any) -> list[str]:
    status: dict[str, Any] = {
        "jack": {"server": "studio", "running": True, "sample_rate": 48000, "period": 256, "xruns": 2},
        "store": {"bytes": 1 << 30, "free_bytes": 1 << 40, "seconds_left": 7200.0},
        "streams": streams, "sessions": [], "warnings": [],
    } | more  # fmt: skip
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(view(status))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def test_levels_rings_and_gaps() -> None:
    lines = drawn(
        stream("stream://desk/main", peak_db=[-0.5, -30.0, None]),
        stream("stream://desk/lost", "starved", peak_db=[None], gap_count=1, lost_frames=64),
        stream("stream://keys/midi", format={"type": "midi", "sample_rate": 48000}),
        stream("stream://desk/idle", "stopped"),
        stream("stream://desk/wide", peak_db=[-6.0] * 64),
        sessions=[
            {"id": "session-1", "name": "Night", "status": "playing", "segment_count": 2},
            {"id": "session-0", "name": "Day", "status": "closed", "segment_count": 1},
        ],
        warnings=["the disk is nearly full"],
    )
    assert lines[:4] == [
        "JACK studio: 48000 Hz, 256 frames, 2 xruns",
        "store: 1.0 GiB, 1.0 TiB free, lasts 2:00:00",
        "session-1 (Night) plays segment 2",
        "warning: the disk is nearly full",
    ]
    assert lines[4].split() == ["stream", "state", "recorded", "level", "peak", "ring", "gaps"]
    assert lines[5].split() == ["stream://desk/main", "recording", "1:01:01", "█▄", "-0.5", "dB", "2%", "0"]
    assert lines[6].split() == ["stream://desk/lost", "starved", "1:01:01", "silent", "2%", "1", "(64", "frames)"]
    assert lines[7].split() == ["stream://keys/midi", "recording", "1:01:01", "MIDI", "2%", "0"]
    assert lines[8].split() == ["stream://desk/idle", "stopped", "1:01:01", "0"]
    assert "+32" in lines[9]


def test_no_server_and_no_rate() -> None:
    gone = {"server": "studio", "running": False}
    lines = drawn(jack=gone, store={"bytes": 0, "free_bytes": 0, "seconds_left": None})
    assert lines[:2] == ["JACK studio: not running", "store: 0 B, 0 B free"]
