"""The Reaper project of an export: a track for each stream, an item for each part, a marker for each mark."""

import io
from collections.abc import Mapping, Sequence

from jackcapture.control.exports.parts import PartFile
from jackcapture.control.exports.plan import Part, Plan
from jackcapture.formats.reaper import MidiEvent, ReaperItem, ReaperTrack, render_reaper_project
from jackcapture.formats.smf import Smf
from jackcapture.model.uris import StreamUri


def render_project(plan: Plan, files: Sequence[PartFile]) -> bytes:
    """Give the project that has all files of an export at their places."""
    events = {(it.part.segment, it.part.uri): _events(it.part, it.smf) for it in files if it.smf is not None}
    tracks = [
        ReaperTrack(
            definition.uri.removeprefix("stream://"),
            definition.audio.channels if definition.is_audio else 2,
            [_item(part, events) for part in plan.parts if part.definition is definition and part.path is not None],
        )
        for definition in plan.definitions
    ]
    markers = [(it.position, it.mark.name) for it in plan.marks]
    return render_reaper_project(plan.sample_rate, plan.ended_at_ns, tracks, markers)


def _item(part: Part, events: Mapping[tuple[int, StreamUri], Sequence[MidiEvent]]) -> ReaperItem:
    name = f"{part.uri.removeprefix('stream://')} {part.segment}"
    file = part.path if part.definition.is_audio else None
    return ReaperItem(name, part.position, part.frames, file, events.get((part.segment, part.uri), ()))


def _events(part: Part, smf: Smf) -> list[MidiEvent]:
    """Give the messages of a MIDI file at their exact frames, which its ticks round."""
    from mido import MidiFile  # noqa: PLC0415

    track = MidiFile(file=io.BytesIO(smf.data)).tracks[-1]
    messages = (bytes(message.bytes()) for message in track if not message.is_meta)
    return [(frame - part.from_sample, message) for frame, message in zip(smf.frames, messages, strict=True)]
