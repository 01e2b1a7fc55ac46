"""The JSON documents of an export: the session, its timeline, and where every byte comes from."""

from collections.abc import Iterable, Mapping
from typing import Any

from jackcapture.control.exports.plan import Plan
from jackcapture.control.sessions.document import clock_values
from jackcapture.model.sessions import SegmentClock
from jackcapture.model.times import iso
from jackcapture.model.uris import StreamUri

TIMELINE_TYPE = "application/vnd.jackcapture.timeline+json"
PROVENANCE_TYPE = "application/vnd.jackcapture.provenance+json"


def render_timeline(plan: Plan) -> dict[str, Any]:
    """Give where all of an export lies on its one timeline: in frames, and for people in seconds."""
    first = plan.segments[0].started
    return {
        "type": TIMELINE_TYPE,
        "version": 1,
        "session_id": plan.session.id,
        "sample_rate": plan.sample_rate,
        "frames": plan.frames,
        "seconds": plan.seconds(plan.frames),
        "begins_at": _clock(first),
        "segments": [
            {
                "segment": it.number,
                **_place(plan, it.position, it.frames),
                "placed_by": "jack_frame" if it.is_by_jack else "wall_clock",
                "started": _clock(it.started),
                "ended": _clock(it.ended),
            }
            for it in plan.segments
        ],
        "items": [
            {
                "segment": part.segment,
                "stream_uri": part.uri,
                "path": part.path,
                **_place(plan, part.position, part.frames),
                "sample_range": [part.from_sample, part.to_sample],
            }
            for part in plan.parts
        ],
        "marks": [
            {
                "name": it.mark.name,
                "segment": it.mark.segment,
                "position": it.position,
                "position_seconds": plan.seconds(it.position),
                "jack_frame": it.mark.jack_frame,
                "wall_clock": iso(it.mark.wall_clock_ns),
                "sample_positions": dict(it.mark.positions.items()),
            }
            for it in plan.marks
        ],
    }


def render_provenance(
    plan: Plan, store_uuid: str, hashes: Mapping[StreamUri, str], parts: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """Give the streams by their definitions, and of each part its file, chunks, gaps, clocks and capture latency."""
    return {
        "type": PROVENANCE_TYPE,
        "version": 1,
        "store_uuid": store_uuid,
        "session_id": plan.session.id,
        "streams": [
            {"uri": it.uri, "definition_hash": hashes[it.uri], "definition": it.as_json()} for it in plan.definitions
        ],
        "parts": list(parts),
    }


def _place(plan: Plan, position: int, frames: int) -> dict[str, Any]:
    return {
        "position": position,
        "position_seconds": plan.seconds(position),
        "frames": frames,
        "seconds": plan.seconds(frames),
    }


def _clock(clock: SegmentClock) -> dict[str, Any]:
    return clock_values(clock) | {"wall_clock": iso(clock.wall_clock_ns)}
