"""What operations on suggestions give back; the field names are those that every door shows."""

from dataclasses import dataclass

from jackcapture.model.results import SliceResult


@dataclass(frozen=True, slots=True)
class SuggestionResult:
    """What stood out in a segment of a triggered session; `status` is open, pending, accepted or dismissed.

    `reason` is level or midi, and `stream_uri` where that came first. From `begin_frame` to before `end_frame`, 64-bit
    JACK frames, it stood out; `jack_frames` `[from, to)` are suggested, `sample_ranges` the same in each stream, and
    `seconds` how long that is: while it is open, nobody knows. `peak_db` is the largest sample of all audio streams, in
    dB of full scale, and None if only MIDI stood out. `began_at` is reckoned from the segment's start. `problem` says
    why it could not be accepted by itself.
    """

    id: str
    session_id: str
    segment: int
    status: str
    reason: str
    stream_uri: str
    peak_db: float | None
    begin_frame: int
    end_frame: int
    jack_frames: tuple[int, int | None]
    seconds: float | None
    sample_ranges: dict[str, tuple[int, int | None]]
    began_at: str
    found_at: str
    decided_at: str | None
    artifacts: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class AcceptedResult:
    """A suggestion that was accepted, and what was cut of each stream."""

    suggestion: SuggestionResult
    slices: tuple[SliceResult, ...]
