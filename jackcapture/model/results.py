"""What operations give back; the field names are those that every door shows."""

from dataclasses import dataclass, field
from typing import Any

from jackcapture.model.latency_results import LatencyResult
from jackcapture.model.session_results import SessionSummary


@dataclass(frozen=True, slots=True)
class GapResult:
    """Frames that were lost, from sample position `position` of the stream."""

    position: int
    frames: int
    cause: str


@dataclass(frozen=True, slots=True)
class WallClockRange:
    """ISO 8601 times in UTC of the first frame and of the frame after the last, and how far they may be off.

    `drift_ppm` is by how many millionths the sound card was fast by the wall clock, within `drift_error_ppm`; None
    where nothing tells.
    """

    from_: str
    to: str
    error_ms: float
    drift_ppm: float | None = None
    drift_error_ppm: float | None = None


@dataclass(frozen=True, slots=True)
class SliceResult:
    """A range `[from, to)` of a stream, cut into an artifact; `channels` is None for MIDI.

    `source_chunks` are content hashes, and staging ids of what was not sealed when the slice was cut. `clipped` tells
    that less was there than was asked for (grab only). A virtual slice has the MIME type, hash and `bytes` of its
    document; the file that it stands for has `rendered_bytes` and `rendered_type`, as any slice has. `capture_latency`
    is, for each port of the stream, that of the takes that the slice covers.
    """

    artifact_id: str
    content_hash: str
    mime_type: str
    bytes: int
    stream_uri: str
    sample_range: tuple[int, int]
    sample_rate: int
    channels: int | None
    sample_format: str | None
    source_chunks: tuple[str, ...]
    takes: tuple[int, ...]
    gaps: tuple[GapResult, ...]
    wall_clock: WallClockRange | None
    virtual: bool = False
    rendered_bytes: int = 0
    rendered_type: str = ""
    clipped: bool = False
    path: str | None = None
    capture_latency: tuple[LatencyResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Waveform:
    """One channel at each point of an overview: the least and the greatest sample, and the RMS; full scale is 1."""

    min: tuple[float, ...]
    max: tuple[float, ...]
    rms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class OverviewResult:
    """A range `[from, to)` of a stream, drawn with few points.

    Point n is of the frames from `sample_range[0] + n * frames_per_point` on. Below 256 frames per point all is exact.
    Else it is a multiple of 256; `sample_range` is what was asked for, each end moved outwards to the end of a block of
    256 frames, and a block counts where it begins. `waveforms` are in the order of the channels.
    """

    stream_uri: str
    sample_range: tuple[int, int]
    sample_rate: int
    frames_per_point: int
    points: int
    channels: int
    waveforms: tuple[Waveform, ...]
    takes: tuple[int, ...]
    gaps: tuple[GapResult, ...]


@dataclass(frozen=True, slots=True)
class WaveformResult:
    """A range `[from, to)` of a stream, drawn into an artifact: a picture, or peaks.

    A picture has a `width` and a `height` in pixels, and a point for each column between its margins; its
    `frames_per_point` need not be whole. That of peaks is, and is as `OverviewResult` tells.
    """

    artifact_id: str
    content_hash: str
    mime_type: str
    bytes: int
    stream_uri: str
    sample_range: tuple[int, int]
    sample_rate: int
    channels: int
    frames_per_point: float
    points: int
    width: int | None
    height: int | None
    takes: tuple[int, ...]
    gaps: tuple[GapResult, ...]
    path: str | None = None


@dataclass(frozen=True, slots=True)
class TakeResult:
    """One take of a stream; `samples` is None while it runs.

    `latencies` are those of capture of its ports, as last seen; `clipped_samples` went beyond the full scale of an
    integer format and were cut to it.
    """

    number: int
    first_sample: int
    samples: int | None
    start_frame: int
    started_at: str
    ended_at: str | None
    error: str | None
    latencies: tuple[LatencyResult, ...] = ()
    clipped_samples: int = 0


@dataclass(frozen=True, slots=True)
class ChunkCounts:
    """Chunks in the store and chunks still in staging (full or being written)."""

    sealed: int
    staging: int


@dataclass(frozen=True, slots=True)
class PortResult:
    """A port of the JACK graph."""

    name: str
    type: str
    direction: str
    physical: bool
    connections: tuple[str, ...]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """How much of a stream is kept, at most; None: no limit. `keep_seconds` is recorded time."""

    keep_seconds: float | None = None
    keep_bytes: int | None = None
    keep_chunks: int | None = None


@dataclass(frozen=True, slots=True)
class PinResult:
    """A range of a stream that is kept, whatever its retention says."""

    name: str
    stream_uri: str
    sample_range: tuple[int, int]
    created_at: str


@dataclass(frozen=True, slots=True)
class GarbageRun:
    """Neighbouring chunks of a take that were removed, or would be; `reason` is the limit of the retention."""

    stream_uri: str
    take: int
    sample_range: tuple[int, int]
    chunks: int
    bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class HeldRun(GarbageRun):
    """Such a run that stays all the same: `held_by` says because of what."""

    held_by: str


@dataclass(frozen=True, slots=True)
class GarbageResult:
    """What was removed (with `dry_run`: what would be), how much in all, and what is held."""

    dry_run: bool
    chunks: int
    bytes: int
    removed: tuple[GarbageRun, ...]
    held: tuple[HeldRun, ...]


@dataclass(frozen=True, slots=True)
class ConnectionResult:
    """A port of a stream, what is connected to it, and the capture latency of that."""

    port: str
    connections: tuple[str, ...]
    latency: LatencyResult


@dataclass(frozen=True, slots=True)
class StreamResult:
    """A stream's definition and state. Positions in frames, `head_bytes` of the newest take, `ring_fill` 0 to 1.

    `takes` and `gaps` are the newest 100, oldest first; `gap_count`, `lost_frames` and `clipped_samples` are over all
    takes. `unconnected` are the sources that name no port there is, and so are recorded as silence.
    """

    uri: str
    status: str
    error: str | None
    format: dict[str, Any]
    device_identity: str
    chunk_size_bytes: int
    sources: tuple[str, ...]
    retention: RetentionResult
    head_sample: int
    head_bytes: int
    head_wall_clock: str | None
    takes: tuple[TakeResult, ...]
    chunks: ChunkCounts
    gaps: tuple[GapResult, ...]
    gap_count: int
    lost_frames: int
    xruns: int
    ring_fill: float
    connections: tuple[ConnectionResult, ...]
    unconnected: tuple[str, ...]
    clipped_samples: int


@dataclass(frozen=True, slots=True)
class LateEventResult:
    """An event that was sent `frames` frames after its own."""

    index: int
    frames: int


@dataclass(frozen=True, slots=True)
class MidiOutputResult:
    """A MIDI output of ours, and what it was given last: the first `sent` of `events` are sent.

    `start_frame` is the 64-bit JACK frame of the first; `late` lists at most 1,000 of `late_count`. `error` tells why
    not all were sent.
    """

    output: str
    port: ConnectionResult
    start_frame: int
    events: int
    sent: int
    late: tuple[LateEventResult, ...]
    late_count: int
    done: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class FindingResult:
    """What a check of the machine saw; `severity` is ok, note, warning or problem, `remedy` None where all is well."""

    check: str
    severity: str
    message: str
    remedy: str | None


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """What would cost samples on this machine; `ok`: no finding is a problem."""

    ok: bool
    findings: tuple[FindingResult, ...]


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """One of our processes."""

    pid: int
    since: str
    version: str


@dataclass(frozen=True, slots=True)
class JackResult:
    """The JACK server; `sample_rate` in Hz and `period` in frames are None while it does not run."""

    server: str
    running: bool
    sample_rate: int | None
    period: int | None
    xruns: int


@dataclass(frozen=True, slots=True)
class StoreResult:
    """The store: bytes kept and bytes free, the reserve included.

    `seconds_left` is how long the streams that record go on at the present rate before the first has to end;
    `disk_low`: the space of some disk lasts for less than the setting `disk_low_seconds`.
    """

    root: str
    uuid: str
    bytes: int
    free_bytes: int
    seconds_left: float | None
    disk_low: bool = False


@dataclass(frozen=True, slots=True)
class CheckedCounts:
    """How much a check looked at: files of content, and rows of chunks and artifacts."""

    content: int
    chunks: int
    artifacts: int


@dataclass(frozen=True, slots=True)
class ProblemResult:
    """Something wrong with the store; `kind` and `address` as docs/store.md lists them."""

    kind: str
    address: str
    message: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found; `problems` lists at most 1,000 of `problem_count`. With `read_data`, every byte was read."""

    ok: bool
    checked: CheckedCounts
    problems: tuple[ProblemResult, ...]
    problem_count: int
    read_data: bool


@dataclass(frozen=True, slots=True)
class RecoveredResult:
    """Content of which only the bytes are known, now an artifact with the tag `recovered`."""

    artifact_id: str
    content_hash: str
    mime_type: str
    bytes: int


@dataclass(frozen=True, slots=True)
class LostResult:
    """A run of chunks of a take that a manifest names and that is not in the store."""

    stream_uri: str
    take: int
    chunks: int
    sample_range: tuple[int, int]


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """A catalog that was made anew from the store: how much is in it, and what could not be known.

    `recovered` and `lost` list at most 1,000 of `recovered_count` and `lost_count`. `replaced` is where the old catalog
    lies now; None if there was none.
    """

    streams: int
    takes: int
    chunks: int
    sessions: int
    artifacts: int
    recovered: tuple[RecoveredResult, ...]
    recovered_count: int
    lost: tuple[LostResult, ...]
    lost_count: int
    unknown: tuple[str, ...]
    replaced: str | None


@dataclass(frozen=True, slots=True)
class HttpResult:
    """Where MCP is served over HTTP, and the file with the bearer token that it asks for."""

    url: str
    token_file: str


@dataclass(frozen=True, slots=True)
class StatusResult:
    """Everything at a glance; `http` is None while nothing is served over HTTP."""

    jack: JackResult
    engine: ProcessResult | None
    control: ProcessResult
    streams: tuple[StreamResult, ...]
    sessions: tuple[SessionSummary, ...]
    store: StoreResult
    warnings: tuple[str, ...]
    http: HttpResult | None = None


@dataclass(frozen=True, slots=True)
class ArtifactResult:
    """A catalog entry for content, and where the content lies."""

    id: str
    kind: str
    content_hash: str
    mime_type: str
    bytes: int
    created_at: str
    stream_uri: str | None
    parents: tuple[str, ...]
    tags: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    content_path: str = ""


@dataclass(frozen=True, slots=True)
class BytesResult:
    """`length` bytes from byte `offset` of an artifact's file (`total` long), in base64; fewer where it ends."""

    artifact_id: str
    mime_type: str
    offset: int
    length: int
    total: int
    base64: str


@dataclass(frozen=True, slots=True)
class SavedResult:
    """A file that was written outside the store."""

    artifact_id: str
    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class DoneResult:
    """Nothing to tell but that it was done."""

    done: bool = True
