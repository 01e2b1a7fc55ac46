"""How the command line draws an overview."""

from typing import Any

import pytest

from jackcapture.cli.overviews import _draw


def result(*channels: list[float], gaps: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {
        "stream_uri": "stream://desk/main",
        "sample_range": [0, 256 * len(channels[0])],
        "sample_rate": 48000,
        "frames_per_point": 256,
        "waveforms": [
            {"min": [-peak for peak in peaks], "max": [peak / 2 for peak in peaks], "rms": [peak / 4 for peak in peaks]}
            for peaks in channels
        ],
        "gaps": list(gaps),
    }


def test_the_highest_peak_of_all_channels_fills_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    gap = {"frames": 3, "position": 7, "cause": "xrun"}
    _draw(result([0.5, 0.25, 0.0, 0.001], [0.25, 0.0, 0.0, 0.0], gaps=(gap,)))
    assert capsys.readouterr().out.splitlines() == [
        "stream://desk/main 0 to 1024 (0:00:00.021), 0:00:00.005 a column",
        "channel 1: peak -6.0 dB, RMS -23.1 dB",
        "█",
        "█",
        "██",
        "██ ▁",
        "channel 2: peak -12.0 dB, RMS -30.1 dB",
        "",
        "",
        "█",
        "█",
        "gap: 3 frames at 7 (xrun)",
    ]


def test_silence_is_drawn_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    _draw(result([0.0, 0.0]))
    assert capsys.readouterr().out.splitlines()[1:] == ["channel 1: peak silence, RMS silence", "", "", "", ""]
