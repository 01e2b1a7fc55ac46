"""Standard MIDI Files of a range of a MIDI stream, written with mido.

The file begins at the range's first frame and ends at its end. It begins with what was in force and sounding there
(formats/midi_chase.py), and ends what still sounds at its end. Each event is rounded to a tick from its own position,
by the file's tempo map as a reader reckons with it, so that it is at most half a tick away. docs/formats.md says more.

Source: MIDI Manufacturers Association, "Standard MIDI Files 1.0" (RP-001).
"""

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jackcapture.errors import InvalidValueError
from jackcapture.formats.midi_chase import CHASE_ALL, ChaseKind, MidiState
from jackcapture.formats.midi_messages import SkipReason, join_messages, no_place_in_a_file
from jackcapture.formats.midi_records import MidiRecord
from jackcapture.formats.smf_time import MICROSECONDS, TempoMap

if TYPE_CHECKING:
    from mido import MidiTrack

_Timed = tuple[int, Any]  # a tick, and a message of mido

SMF_TYPE = "audio/midi"
TICKS_PER_QUARTER = 960
_MAX_TICKS_PER_QUARTER = 0x7FFF
_MAX_TEMPO = 0xFFFFFF  # microseconds per quarter note, in 24 bits
_MAX_DELTA = 0xFFFFFFF  # ticks between two events, in 28 bits
_MAX_BEATS = 255
_MAX_BEAT_TYPE = 64


@dataclass(frozen=True, slots=True)
class Tempo:
    """A tempo and time signature from a sample position on, as JACK's transport has them.

    `beats_per_minute` counts beats of the note that `beat_type` names: 4 for a quarter note, 8 for an eighth.
    """

    sample_position: int
    beats_per_minute: float
    beats_per_bar: float = 4.0
    beat_type: float = 4.0

    def __post_init__(self) -> None:
        numbers = (self.beats_per_minute, self.beats_per_bar, self.beat_type)
        if not all(math.isfinite(number) and number > 0 for number in numbers):
            raise InvalidValueError(f"{self}: tempo and time signature must be above 0")
        if not 1 <= self.microseconds <= _MAX_TEMPO:
            raise InvalidValueError(
                f"{self}: {self.microseconds} microseconds per quarter note; a MIDI file can say 1 to {_MAX_TEMPO}, "
                "which is 3.58 quarter notes per minute or more"
            )

    @property
    def microseconds(self) -> int:
        """How long a quarter note is: what the file says, and its ticks go by."""
        return round(60 * MICROSECONDS / self.beats_per_minute * self.beat_type / 4)

    @property
    def signature(self) -> tuple[int, int] | None:
        """The time signature as a file can say it; None if it cannot."""
        beats, beat_type = int(self.beats_per_bar), int(self.beat_type)
        is_whole = (beats, beat_type) == (self.beats_per_bar, self.beat_type)
        if is_whole and beats <= _MAX_BEATS and beat_type <= _MAX_BEAT_TYPE and beat_type.bit_count() == 1:
            return beats, beat_type
        return None


@dataclass(frozen=True, slots=True)
class SmfOptions:
    """How a file is written: type 0 (one track) or 1 (tempo in a track of its own), its resolution, what is chased.

    `track_name` may be any text, written in UTF-8.
    """

    file_type: int = 1
    ticks_per_quarter: int = TICKS_PER_QUARTER
    chase: frozenset[ChaseKind] = CHASE_ALL
    track_name: str = ""

    def __post_init__(self) -> None:
        if self.file_type not in (0, 1):
            raise InvalidValueError(f"a MIDI file of type {self.file_type}: it must be 0 or 1")
        if not 1 <= self.ticks_per_quarter <= _MAX_TICKS_PER_QUARTER:
            raise InvalidValueError(
                f"{self.ticks_per_quarter} ticks per quarter note: it must be 1 to {_MAX_TICKS_PER_QUARTER}"
            )


DEFAULT_OPTIONS = SmfOptions()


@dataclass(frozen=True, slots=True)
class Smf:
    """A Standard MIDI File, and what went into it.

    `events` counts the messages of the range itself, `chased` those before them, `ended` those after them, `skipped`
    what is not in the file, by reason. `frames` has the exact sample positions of all these messages in the file's
    order (`chased` of the range's begin, `ended` of its end), which the ticks round.
    """

    data: bytes
    events: int
    chased: int
    ended: int
    skipped: Mapping[SkipReason, int]
    frames: tuple[int, ...]


def write_smf(
    events: Iterable[MidiRecord],
    from_sample: int,
    to_sample: int,
    sample_rate: int,
    tempo_map: Sequence[Tempo] = (),
    options: SmfOptions = DEFAULT_OPTIONS,
) -> Smf:
    """Make the file of `[from_sample, to_sample)`.

    `events` are in the order of their positions; those before the range are what is chased, and may be just the
    messages of a `MidiState.setup`. Those after it are not read. Without a tempo that begins at the range's begin or
    before, it is 120 beats per minute in 4/4 there. All is in memory, with some 1 kB for each event of the range.
    Raises `InvalidValueError` for a range without frames, or events out of order.
    """
    if to_sample <= from_sample:
        raise InvalidValueError(f"the range {from_sample} to {to_sample}: it must have at least one frame")
    state = MidiState()
    content: list[MidiRecord] = []
    skipped: Counter[SkipReason] = Counter()
    for position, message in join_messages(_in_order(events, to_sample)):
        reason = message if isinstance(message, SkipReason) else no_place_in_a_file(message)
        if position < from_sample:
            if not isinstance(message, SkipReason):
                state.feed(message)
        elif reason is not None:
            skipped[reason] += 1
        elif not isinstance(message, SkipReason):
            content.append((position, message))
    setup = [(from_sample, message) for message in state.setup(options.chase)]
    played = MidiState()
    for _, message in setup + content:
        played.feed(message)
    ending = [(to_sample, message) for message in played.ending()]

    tempos = _tempos_of(tempo_map, from_sample, to_sample)
    skipped[SkipReason.TIME_SIGNATURE] += sum(tempo.signature is None for tempo in tempos)
    frames = tuple(position for position, _ in setup + content + ending)
    return Smf(
        _file(setup + content + ending, from_sample, to_sample, sample_rate, tempos, options),
        len(content),
        len(setup),
        len(ending),
        {reason: count for reason, count in skipped.items() if count},
        frames,
    )


def _in_order(events: Iterable[MidiRecord], to_sample: int) -> Iterator[MidiRecord]:
    last = 0
    for position, data in events:
        if position < last:
            raise InvalidValueError(
                f"an event at position {position} after one at {last}: they must be in the order of their positions"
            )
        if position >= to_sample:
            return
        yield position, data
        last = position


def _tempos_of(tempo_map: Sequence[Tempo], from_sample: int, to_sample: int) -> list[Tempo]:
    """Give what is in force in a range: the first at its begin, each at another position, in order."""
    by_position = {from_sample: Tempo(from_sample, 120)}
    for tempo in sorted(tempo_map, key=lambda tempo: tempo.sample_position):
        if tempo.sample_position < to_sample:
            position = max(tempo.sample_position, from_sample)
            by_position[position] = replace(tempo, sample_position=position)
    return list(by_position.values())


def _file(
    events: list[MidiRecord],
    from_sample: int,
    to_sample: int,
    sample_rate: int,
    tempos: list[Tempo],
    options: SmfOptions,
) -> bytes:
    from mido import Message, MetaMessage, MidiFile  # noqa: PLC0415 - only those who write MIDI files wait for it

    ticks = TempoMap(sample_rate, options.ticks_per_quarter)
    conductor: list[_Timed] = []
    name = options.track_name.encode("utf-8", "replace").decode()
    names: list[_Timed] = [(0, MetaMessage("track_name", name=name))] if name else []
    microseconds, signature = None, None
    for tempo in tempos:
        tick = ticks.tick_at(tempo.sample_position - from_sample)
        if tempo.microseconds != microseconds:
            microseconds = tempo.microseconds
            ticks.change(tick, microseconds)
            conductor.append((tick, MetaMessage("set_tempo", tempo=microseconds)))
        if tempo.signature not in (None, signature):
            beats, beat_type = signature = tempo.signature
            click = max(1, 96 // beat_type)  # a beat, in MIDI clocks
            meta = MetaMessage("time_signature", numerator=beats, denominator=beat_type, clocks_per_click=click)
            conductor.append((tick, meta))
    played = [(ticks.tick_at(position - from_sample), Message.from_bytes(data)) for position, data in events]
    end = ticks.tick_at(to_sample - from_sample)
    if options.file_type == 0:
        tracks = [_track(names + sorted(conductor + played, key=lambda timed: timed[0]), end)]
    else:
        tracks = [_track(names + conductor, end), _track(names + played, end)]
    out = io.BytesIO()
    MidiFile(type=options.file_type, ticks_per_beat=options.ticks_per_quarter, charset="utf-8", tracks=tracks).save(
        file=out
    )
    return out.getvalue()


def _track(timed: list[_Timed], end: int) -> "MidiTrack":
    """Make a track of messages in the order of their ticks."""
    from mido import MetaMessage, MidiTrack  # noqa: PLC0415

    track = MidiTrack()
    now = 0
    for tick, message in [*timed, (end, MetaMessage("end_of_track"))]:
        while tick - now > _MAX_DELTA:
            track.append(MetaMessage("text", text="", time=_MAX_DELTA))  # says nothing but that time goes by
            now += _MAX_DELTA
        message.time = tick - now
        track.append(message)
        now = tick
    return track
