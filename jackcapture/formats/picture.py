"""A waveform as a PNG picture: title, wall clock, a lane per channel, time axis.

Pillow draws the text, in the font that it brings, and writes the file. The same picture has the same bytes, as long as
Pillow is the same; no time of making is in them.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jackcapture.errors import InvalidValueError
from jackcapture.formats.lanes import COLOURS, FULL_SCALE, Ink, draw_lane, group_channels
from jackcapture.formats.overview import MAX, MIN
from jackcapture.formats.ticks import ClockSpan, clock_ticks, place_labels, range_ticks
from jackcapture.model.levels import level_in_words
from jackcapture.model.takes import Gap

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import ImageDraw, ImageFont

    from jackcapture.formats.overview import Blocks

WIDTHS = range(200, 10_001)
HEIGHTS = range(100, 4_001)
MAX_PIXELS = 10_000_000
"""Width times height: 30 MB while it is drawn."""

DEFAULT_WIDTH = 1200

_FONT_SIZE = 12
_LABEL_GAP = 8  # between two texts of a line
_NS = 1_000_000_000
_LANE_PITCH = 14  # the least that leaves a lane its label
_LANE_GAP = 4
_TALL_LANE = 84  # has room for what its rows mean
_DEFAULT_LANES = 620  # rows of all lanes together, where nobody asked for another height
_DEFAULT_LANE = range(24, 156)
_TICK = 4
_EDGE = 4  # pixels that stay free at the edges of the picture
_BROAD = 4  # columns that are seen by their paler ink
_TEXT = (52, 58, 66)
_FAINT_TEXT = (104, 112, 122)


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture shows: the sample positions `[from_sample, to_sample)` of a stream.

    `columns` has the shape (columns, channels, 3), min, max and RMS, with as many columns as `Layout` says. `takes` are
    the number and the first sample position in the range of each take; `clock` is empty where it is unknown.
    """

    title: str
    from_sample: int
    to_sample: int
    sample_rate: int
    columns: "Blocks"
    takes: tuple[tuple[int, int], ...] = ()
    gaps: tuple[Gap, ...] = ()
    clock: tuple[ClockSpan, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things stand in a picture, in pixels; made by `lay_out`.

    The lanes lie between `left` and `left + columns`, from `top` on; lane n shows the `group` channels from n * group.
    """

    width: int
    height: int
    channels: int
    left: int
    columns: int
    top: int
    title_rows: int
    lanes: int
    group: int
    lane_rows: int
    pitch: int

    @property
    def bottom(self) -> int:
        """The row below the last lane."""
        return self.top + (self.lanes - 1) * self.pitch + self.lane_rows

    def lane_top(self, lane: int) -> int:
        """Give the first row of a lane."""
        return self.top + lane * self.pitch

    def channel_name(self, lane: int) -> str:
        """Give the numbers of the channels that a lane shows, from 1."""
        first, last = lane * self.group + 1, min((lane + 1) * self.group, self.channels)
        return str(first) if first == last else f"{first}-{last}"


def lay_out(channels: int, width: int | None = None, height: int | None = None) -> Layout:
    """Lay out a picture of so many channels; raises `InvalidValueError` for a size that is not possible.

    Unless given, it is 1200 wide and as high as its channels need. Where there is no room for a lane and its label for
    each channel, neighbours share one.
    """
    width = DEFAULT_WIDTH if width is None else width
    wanted = min(max(_DEFAULT_LANES // channels, _DEFAULT_LANE.start), _DEFAULT_LANE.stop - 1)
    if height is None:
        height = min(_margins(HEIGHTS.stop) + channels * wanted, HEIGHTS.stop - 1, MAX_PIXELS // max(width, 1))
    for value, allowed, what in ((width, WIDTHS, "wide"), (height, HEIGHTS, "high")):
        if value not in allowed:
            raise InvalidValueError(
                f"{value} pixels {what}: a picture is {allowed.start} to {allowed.stop - 1} pixels {what}", pixels=value
            )
    if width * height > MAX_PIXELS:
        raise InvalidValueError(
            f"{width} x {height} pixels: a picture has at most {MAX_PIXELS}; make it smaller",
            width=width,
            height=height,
        )
    room = height - _margins(height)
    group = -(-channels // max(1, room // _LANE_PITCH))
    lanes = -(-channels // group)
    pitch = (room + _LANE_GAP) // lanes
    lane_rows = pitch - _LANE_GAP
    lane_rows -= 1 - lane_rows % 2  # odd: silence is in the middle
    digits = len(f"{channels}-{channels}" if group > 1 else str(channels))
    left = max(14 + 7 * digits, 0 if lane_rows < _TALL_LANE else 42)
    right = 64 if width >= 480 else 10
    return Layout(
        width=width,
        height=height,
        channels=channels,
        left=left,
        columns=width - left - right,
        top=_title_rows(height) + _axis_rows(height),
        title_rows=_title_rows(height),
        lanes=lanes,
        group=group,
        lane_rows=lane_rows,
        pitch=pitch,
    )


def draw_png(picture: Picture, layout: Layout) -> bytes:
    """Draw a picture and give its PNG file."""
    import numpy as np  # noqa: PLC0415 - the doors must not wait for it
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415

    inks = np.zeros((layout.height, layout.width), np.uint8)
    across = slice(layout.left, layout.left + layout.columns)
    ground = _ground(picture, layout)
    values = group_channels(picture.columns, layout.group)
    for lane in range(layout.lanes):
        top = layout.lane_top(lane)
        draw_lane(inks[top : top + layout.lane_rows, across], values[:, lane], ground)
    inks[layout.top - 3 : layout.top - 1, across][:, ground != Ink.LANE] = Ink.GAP_MARK
    palette = np.zeros((len(Ink), 3), np.uint8)
    for ink, colour in COLOURS.items():
        palette[ink] = colour
    image = Image.fromarray(palette[inks])
    lettering = _Lettering(ImageDraw.Draw(image), ImageFont.load_default(_FONT_SIZE), picture, layout)
    lettering.title()
    lettering.clock_axis()
    lettering.time_axis()
    lettering.lanes(values)
    lettering.gaps()
    lettering.takes()
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    return file.getvalue()


class _Lettering:
    """Writes into a picture what is text or a single line."""

    def __init__(
        self,
        draw: "ImageDraw.ImageDraw",
        font: "ImageFont.FreeTypeFont | ImageFont.ImageFont",
        picture: Picture,
        layout: Layout,
    ) -> None:
        self._draw = draw
        self._font = font
        self._picture = picture
        self._layout = layout

    def _width(self, text: str) -> float:
        return self._font.getlength(text)

    def _write(self, x: float, y: float, text: str, anchor: str, colour: tuple[int, int, int] = _TEXT) -> None:
        self._draw.text((round(x), round(y)), text, fill=colour, font=self._font, anchor=anchor)

    def _x(self, position: float) -> float:
        """Give the place of a sample position across the picture."""
        picture = self._picture
        share = (position - picture.from_sample) / (picture.to_sample - picture.from_sample)
        return self._layout.left + share * self._layout.columns

    def title(self) -> None:
        """Write the title and what was drawn, as far as there is room, and what the colours mean, if there is."""
        picture, layout = self._picture, self._layout
        y = layout.title_rows / 2 + 1
        numbers = [number for number, _ in picture.takes]
        parts = [picture.title, f"{picture.from_sample} to {picture.to_sample}"]
        if numbers:
            parts.insert(1, f"take {numbers[0]}" if len(numbers) == 1 else f"takes {numbers[0]} to {numbers[-1]}")
        x = 10.0
        end = layout.width - 10
        for index, part in enumerate(parts):
            text = part if index else self._shortened(part, end - x)
            if x + self._width(text) > end:
                break
            self._write(x, y, text, "lm", _FAINT_TEXT if index else _TEXT)
            x += self._width(text) + 2 * _LABEL_GAP
        self._legend(x, y)

    def _shortened(self, text: str, room: float) -> str:
        if self._width(text) <= room:
            return text
        while text and self._width(text + "...") > room:
            text = text[:-1]
        return text + "..."

    def _legend(self, left: float, y: float) -> None:
        picture = self._picture
        shown = [(Ink.PEAK, "peak"), (Ink.RMS, "RMS")]
        columns = picture.columns
        if (columns[..., MAX] >= FULL_SCALE).any() or (columns[..., MIN] <= -FULL_SCALE).any():
            shown.append((Ink.CLIPPED, "full scale"))
        if picture.gaps:
            shown.append((Ink.GAP_MARK, "gap"))
        widths = [14 + self._width(text) + 2 * _LABEL_GAP for _, text in shown]
        x = self._layout.width - 10 + 2 * _LABEL_GAP - sum(widths)
        if x < left + 2 * _LABEL_GAP:
            return
        for (ink, text), width in zip(shown, widths, strict=True):
            self._draw.rectangle((round(x), round(y) - 4, round(x) + 8, round(y) + 4), fill=COLOURS[ink])
            self._write(x + 14, y, text, "lm", _FAINT_TEXT)
            x += width

    def clock_axis(self) -> None:
        """Write times of day above the lanes."""
        picture, layout = self._picture, self._layout
        line = layout.top - 5
        y = (layout.title_rows + line - _TICK) / 2
        if not picture.clock:
            self._write(layout.left, y, "wall clock unknown", "lm", _FAINT_TEXT)
            return
        ns_per_pixel = (picture.to_sample - picture.from_sample) * _NS / picture.sample_rate / layout.columns
        ticks = clock_ticks(picture.clock, ns_per_pixel, self._width)
        self._axis(line, -_TICK, y, [(self._x(position), tick.label) for position, tick in ticks])

    def time_axis(self) -> None:
        """Write the time from the start of the range below the lanes."""
        picture, layout = self._picture, self._layout
        length_ns = (picture.to_sample - picture.from_sample) * _NS // picture.sample_rate
        line = layout.bottom + 4
        y = (line + _TICK + layout.height) / 2
        ticks = range_ticks(length_ns, layout.columns, self._width)
        share = layout.columns / max(length_ns, 1)
        self._axis(line, _TICK, y, [(layout.left + tick.at * share, tick.label) for tick in ticks])

    def _axis(self, line: int, tick: int, y: float, marks: list[tuple[float, str]]) -> None:
        """Draw a line with marks, which go from it by `tick`, and their labels, as many as there is room for."""
        layout, colour = self._layout, COLOURS[Ink.AXIS]
        last = layout.left + layout.columns - 1
        self._draw.line((layout.left, line, last, line), fill=colour)
        for at, _ in marks:
            x = min(round(at), last)
            self._draw.line((x, line, x, line + tick), fill=colour)
        for start, label in place_labels(marks, _EDGE, layout.width - _EDGE, self._width):
            self._write(start, y, label, "lm")

    def lanes(self, values: "npt.NDArray[np.float64]") -> None:
        """Write the channels' numbers and what the rows mean to the left, each channel's peak to the right."""
        layout = self._layout
        right = layout.left + layout.columns
        for lane in range(layout.lanes):
            top, bottom = layout.lane_top(lane), layout.lane_top(lane) + layout.lane_rows - 1
            middle = (top + bottom) / 2
            self._write(8, middle, layout.channel_name(lane), "lm")
            if layout.lane_rows >= _TALL_LANE:
                for share, text in ((0, "0 dB"), (0.25, "-6"), (0.75, "-6"), (1, "0 dB")):
                    y = min(max(top + share * (layout.lane_rows - 1), top + 5), bottom - 5)
                    self._write(layout.left - 5, y, text, "rm", _FAINT_TEXT)
            if layout.width - right >= 40:
                peak = max(-float(values[:, lane, MIN].min()), float(values[:, lane, MAX].max()))
                self._write(right + 6, middle, level_in_words(peak), "lm", _FAINT_TEXT)

    def gaps(self) -> None:
        """Name the cause of each gap that has the room, and its length."""
        layout, rate = self._layout, self._picture.sample_rate
        y = layout.top + 10
        if layout.lane_rows < 3 * _FONT_SIZE:
            return
        for gap in self._picture.gaps:
            left = max(self._x(gap.position), layout.left)
            right = min(self._x(gap.position + gap.frames), layout.left + layout.columns)
            cause = gap.cause.value.replace("_", " ")
            for text in (f"{cause}, {gap.frames / rate:.3g} s", cause):
                if self._width(text) + 8 <= right - left:
                    self._write((left + right) / 2, y, text, "mm")
                    break

    def takes(self) -> None:
        """Draw a line where a take begins inside the range, and name it where there is room."""
        layout = self._layout
        free = float(layout.left)
        for number, position in self._picture.takes:
            if position <= self._picture.from_sample:
                continue
            x = int(self._x(position))
            self._draw.line((x, layout.top - 5, x, layout.bottom + 3), fill=COLOURS[Ink.TAKE])
            text = f"take {number}"
            end = x + 9 + self._width(text)
            if x >= free and end <= layout.left + layout.columns and layout.lane_rows >= 3 * _FONT_SIZE:
                box = (x, layout.bottom - 15, round(end), layout.bottom - 1)
                self._draw.rectangle(box, fill=COLOURS[Ink.TAKE])
                self._write(x + 5, layout.bottom - 8, text, "lm", COLOURS[Ink.PAPER])
                free = end + 2


def _ground(picture: Picture, layout: Layout) -> "npt.NDArray[np.uint8]":
    """Give the ink behind each column: another where frames were lost, and a strong one where that is soon over."""
    import numpy as np  # noqa: PLC0415

    frames = picture.to_sample - picture.from_sample
    found = np.full(layout.columns, Ink.LANE, np.uint8)
    for first, last in _inside(picture.gaps, picture.from_sample, picture.to_sample):
        start, end = first * layout.columns // frames, -(-last * layout.columns // frames)
        found[start:end] = Ink.GAP if end - start >= _BROAD else Ink.GAP_MARK
    return found


def _inside(gaps: Sequence[Gap], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Give the part of each gap that is in the range, from its start; at least one frame long."""
    for gap in gaps:
        start = max(gap.position, first)
        yield start - first, max(min(gap.position + gap.frames, last), start + 1) - first


def _title_rows(height: int) -> int:
    return 26 if height >= 160 else 17


def _axis_rows(height: int) -> int:
    return 26 if height >= 160 else 20


def _margins(height: int) -> int:
    """Give the rows above and below the lanes."""
    return _title_rows(height) + 2 * _axis_rows(height)
