"""Reaper projects: tracks with items at their places, and markers; written with the library rpp.

All times are whole frames of the project's sample rate. MIDI is written into the project, in ticks of one frame, with
a tempo of its own that the project's does not change; a MIDI file beside it would be read by the project's tempo, and
its ticks be rounded.

Source: what Reaper 6 and 7 write and read; Cockos has published no specification.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jackcapture.model.durations import SECOND_NS

REAPER_TYPE = "application/x-reaper-project"

_MAX_TICKS = 32_767  # per quarter note
_PLACES = Decimal("0.000000000001")
_LINE_BYTES = 96
_END = ("b0", "7b", "00")  # all notes off: the last event gives a MIDI source its length

MidiEvent = tuple[int, bytes]
"""A frame, from the item's begin, and a whole MIDI message."""


@dataclass(frozen=True, slots=True)
class ReaperItem:
    """An item: `file`, a path from the project's folder, or `events` in order, `frames` long from `position` on."""

    name: str
    position: int
    frames: int
    file: str | None = None
    events: Sequence[MidiEvent] = ()


@dataclass(frozen=True, slots=True)
class ReaperTrack:
    """A track of so many audio channels; 2 for MIDI."""

    name: str
    channels: int
    items: Sequence[ReaperItem]


def render_reaper_project(
    sample_rate: int, saved_at_ns: int, tracks: Iterable[ReaperTrack], markers: Iterable[tuple[int, str]]
) -> bytes:
    """Give the bytes of a project; `markers` are frames and names. The same values give the same bytes."""
    import rpp  # noqa: PLC0415 - only those who write projects wait for its parser

    def element(tag: str, attributes: Sequence[str], children: list[Any]) -> Any:
        return rpp.Element(tag=tag, attrib=attributes, children=children)

    def source(item: ReaperItem) -> Any:
        if item.file is not None:
            return element("SOURCE", ("WAVE",), [["FILE", item.file]])
        ticks, beats_per_minute = _resolution(sample_rate)
        lines: list[Any] = [["HASDATA", "1", str(ticks), "QN"]]
        before = 0
        for frame, message in item.events:
            delta, before = str(frame - before), frame
            if message[0] == 0xF0:
                lines.append(element("X", (delta, "0"), _base64_lines(message)))
            else:
                status, first, second = (*message, 0, 0)[:3]
                lines.append(["E", delta, f"{status:02x}", f"{first:02x}", f"{second:02x}"])
        lines.append(["E", str(item.frames - before), *_END])
        lines.append(["IGNTEMPO", "1", beats_per_minute, "4", "4"])
        return element("SOURCE", ("MIDI",), lines)

    def item_element(item: ReaperItem) -> Any:
        lines: list[Any] = [
            ["POSITION", _seconds(item.position, sample_rate)],
            ["LENGTH", _seconds(item.frames, sample_rate)],
            ["LOOP", "0"],
            ["BEAT", "0"],  # placed by time, whatever the tempo
            ["FADEIN", "0", "0", "0"],
            ["FADEOUT", "0", "0", "0"],
            ["NAME", item.name],
            ["SOFFS", "0"],
            source(item),
        ]
        return element("ITEM", (), lines)

    def track_element(track: ReaperTrack) -> Any:
        channels = max(2, track.channels + track.channels % 2)
        lines: list[Any] = [["NAME", track.name], ["NCHAN", str(channels)]]
        return element("TRACK", (), lines + [item_element(item) for item in track.items])

    project: list[Any] = [
        ["TIMELOCKMODE", "0"],
        ["SAMPLERATE", str(sample_rate), "1", "0"],
        ["TEMPO", "120", "4", "4"],
        *(
            ["MARKER", str(number), _seconds(frame, sample_rate), name, "0"]
            for number, (frame, name) in enumerate(markers, 1)
        ),
        *map(track_element, tracks),
    ]
    written: str = rpp.dumps(
        element("REAPER_PROJECT", ("0.1", "6.0/jackcapture", str(saved_at_ns // SECOND_NS)), project)
    )
    return written.encode()


def _seconds(frames: int, sample_rate: int) -> str:
    """Give frames in seconds, exactly enough for a reader to come to the same frame."""
    return format((Decimal(frames) / sample_rate).quantize(_PLACES).normalize(), "f")


def _resolution(sample_rate: int) -> tuple[int, str]:
    """Give ticks per quarter note and a tempo, in beats per minute, with which a tick is a frame."""
    divisor = 1
    while sample_rate // divisor > _MAX_TICKS:
        divisor *= 2
    ticks = sample_rate // divisor
    return ticks, format((Decimal(60 * sample_rate) / ticks).normalize(), "f")


def _base64_lines(data: bytes) -> list[Any]:
    return [base64.b64encode(data[begin : begin + _LINE_BYTES]).decode() for begin in range(0, len(data), _LINE_BYTES)]
