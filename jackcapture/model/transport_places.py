"""Places of JACK's transport as users write them: where to locate it."""

import re
from dataclasses import dataclass

from jackcapture.errors import InvalidValueError
from jackcapture.model.durations import SECOND_NS, check_length, nanoseconds_with_unit
from jackcapture.model.places import MAX_TRANSPORT_FRAME, BarPlace, StartPlace, TransportPlace, parse_place

_FRAME = re.compile(r"[0-9]+")
_CLOCK = re.compile(r"(?:(?P<h>[0-9]{1,3}):(?=[0-9]{2}:))?(?P<m>[0-9]{1,3}):(?P<s>[0-9]{2})(?:\.(?P<ns>[0-9]{1,9}))?")
_DURATION = re.compile(r"[0-9][0-9.]*(?:h|ms|m|s)[0-9.hms]*")
_NOTHING = re.compile(r"0+(?:\.0+)?(?:h|ms|m|s)")

_UNDERSTOOD = (
    "it must be a frame of the transport (480000), a time from its beginning (1:30, 1:02:03.5, 2.5s, 1m30s), start, or "
    "bar:BAR[.BEAT[.TICK]], each but the first two with an offset if that is wanted, such as bar:17-2s"
)


@dataclass(frozen=True, slots=True)
class LocatePlace:
    """Where to locate the transport: a frame, or a bar; and how long after it (before it: negative), in ns."""

    anchor: TransportPlace | BarPlace
    offset_ns: int = 0


def parse_locate_place(text: str) -> LocatePlace:
    """Read a place of the transport; raises `InvalidValueError`, which says what would be understood."""
    check_length("place", text)
    try:
        return _parsed(text)
    except ValueError as error:
        raise InvalidValueError(f"{text!r} is not a place of the transport: {error}", place=text) from None


def _parsed(text: str) -> LocatePlace:
    if _FRAME.fullmatch(text):
        return _at_frame(int(text))
    time = _CLOCK.fullmatch(text)
    if time is not None:
        return LocatePlace(TransportPlace(0), _time_ns(time))
    if _NOTHING.fullmatch(text):
        return LocatePlace(TransportPlace(0))
    if _DURATION.fullmatch(text):
        return LocatePlace(TransportPlace(0), nanoseconds_with_unit(text))
    if not text.startswith(("start", "transport:", "bar:")):
        raise ValueError(_UNDERSTOOD)
    try:
        found = parse_place(text)
    except InvalidValueError as error:
        raise ValueError(f"{error.message}; {_UNDERSTOOD}") from None
    match found.anchor:
        case StartPlace():
            return LocatePlace(TransportPlace(0), found.offset_ns)
        case TransportPlace() | BarPlace():
            return LocatePlace(found.anchor, found.offset_ns)
        case _:
            raise ValueError(_UNDERSTOOD)


def _at_frame(frame: int) -> LocatePlace:
    if frame > MAX_TRANSPORT_FRAME:
        raise ValueError(f"JACK counts the transport's frames in 32 bits, so the last one is {MAX_TRANSPORT_FRAME}")
    return LocatePlace(TransportPlace(frame))


def _time_ns(time: re.Match[str]) -> int:
    hours, minutes, seconds = int(time["h"] or 0), int(time["m"]), int(time["s"])
    if seconds > 59 or (time["h"] and minutes > 59):
        raise ValueError("minutes after hours, and seconds, go up to 59")
    return ((hours * 60 + minutes) * 60 + seconds) * SECOND_NS + int((time["ns"] or "").ljust(9, "0"))
