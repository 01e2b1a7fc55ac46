"""The frame of JACK's transport at a place that a user named."""

from jackcapture.clock.bars import beats_in_bar, has_bars, ticks_in, ticks_to
from jackcapture.errors import ConflictError, InvalidValueError
from jackcapture.model.durations import duration_frames
from jackcapture.model.places import MAX_TRANSPORT_FRAME, BarPlace, TransportPlace
from jackcapture.model.takes import Transport
from jackcapture.model.transport_places import LocatePlace


def locate_frame(place: LocatePlace, transport: Transport, frame_rate: int) -> int:
    """Give the transport's frame of a place; `transport` is JACK's at present, `frame_rate` in Hz.

    A bar is reckoned from the present tempo and measure, the only ones that JACK tells. Raises `ConflictError` where
    there are none, `InvalidValueError` for what the transport cannot reach.
    """
    anchor = place.anchor
    frame = anchor.frame if isinstance(anchor, TransportPlace) else _bar_frame(anchor, transport, frame_rate)
    offset = duration_frames(abs(place.offset_ns), frame_rate)
    frame += offset if place.offset_ns > 0 else -offset
    if not 0 <= frame <= MAX_TRANSPORT_FRAME:
        raise InvalidValueError(
            f"the transport cannot be located to frame {frame}: its frames are 0 to {MAX_TRANSPORT_FRAME}, which is "
            f"{MAX_TRANSPORT_FRAME / frame_rate / 3600:.1f} h at {frame_rate} Hz",
            frame=frame,
        )
    return frame


def _bar_frame(place: BarPlace, transport: Transport, frame_rate: int) -> int:
    if not has_bars(transport):
        raise ConflictError(
            f"bar {place.bar} cannot be found: no JACK client gives the transport bars and a tempo at present; "
            "locate it to a frame or a time, or start a client that does (a timebase master)"
        )
    beats, ticks = beats_in_bar(transport), transport.ticks_per_beat
    if place.beat > beats or place.tick >= ticks:
        raise InvalidValueError(
            f"there is no beat {place.beat}, tick {place.tick}: a bar has {beats} beats of {ticks:g} ticks at present",
            beats=beats,
            ticks=ticks,
        )
    away = ticks_to(transport, place.bar, place.beat, place.tick)
    return transport.frame + round(away / ticks_in(transport, 1, frame_rate))
