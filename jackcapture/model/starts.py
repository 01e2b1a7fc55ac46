"""When a take is to begin, as users write it."""

import re
from dataclasses import dataclass

from jackcapture.errors import ConflictError, InvalidValueError
from jackcapture.model.durations import check_length, duration_frames, nanoseconds_with_unit

MAX_FRAME = 2**63 - 1
MAX_START_AHEAD_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class BeforeNow:
    """A time before now, in nanoseconds; 0 is now."""

    nanoseconds: int


@dataclass(frozen=True, slots=True)
class AsFarAs:
    """At most a time before now, in nanoseconds: later where a ring does not reach so far, and not before a frame."""

    nanoseconds: int
    not_before: int = 0


@dataclass(frozen=True, slots=True)
class AtFrame:
    """A 64-bit JACK frame."""

    frame: int


StartMoment = BeforeNow | AsFarAs | AtFrame


def parse_start(text: str) -> StartMoment:
    """Read when a take is to begin: `now`, `-DURATION` or a 64-bit JACK frame; raises `InvalidValueError`."""
    check_length("start", text)
    if text == "now":
        return BeforeNow(0)
    try:
        if re.fullmatch(r"[0-9]+", text):
            frame = int(text)
            if frame > MAX_FRAME:
                raise ValueError(f"a frame is at most {MAX_FRAME}")
            return AtFrame(frame)
        if text.startswith("-"):
            return BeforeNow(nanoseconds_with_unit(text[1:]))
        raise ValueError("it must be now, -DURATION (such as -5s) or a JACK frame in digits")
    except ValueError as error:
        raise InvalidValueError(f"{text!r} is not a moment at which a take can begin: {error}", at=text) from None


def frames_before(start: StartMoment, sample_rate: int) -> int | None:
    """Give how many frames before now a start lies; None for a frame that is named, wherever now is."""
    return None if isinstance(start, AtFrame) else duration_frames(start.nanoseconds, sample_rate)


def resolve_start(start: StartMoment, *, frame: int, sample_rate: int, oldest_frame: int = 0) -> int:
    """Give the 64-bit JACK frame of a start; `frame` is JACK's now, `sample_rate` in Hz.

    `oldest_frame` is the oldest one that all rings hold.

    Raises `ConflictError` for a time before JACK began to count, `InvalidValueError` for a frame far ahead.
    """
    wanted = start.frame if isinstance(start, AtFrame) else frame - duration_frames(start.nanoseconds, sample_rate)
    if isinstance(start, AsFarAs):
        wanted = min(frame, max(wanted, oldest_frame, start.not_before))
    if wanted < 0:
        raise ConflictError(
            f"a take cannot begin {(frame - wanted) / sample_rate:.2f} s before now: its ring goes back to frame 0 at "
            f"the most, {frame / sample_rate:.2f} s before now",
            frame=frame,
        )
    if wanted > frame + MAX_START_AHEAD_SECONDS * sample_rate:
        raise InvalidValueError(
            f"a take cannot begin at frame {wanted}: JACK is at frame {frame}; a start may lie before that, as far as "
            f"the ring holds, and at most {MAX_START_AHEAD_SECONDS} s after it",
            start_frame=wanted,
            frame=frame,
        )
    return wanted
