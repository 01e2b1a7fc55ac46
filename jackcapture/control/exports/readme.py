"""The README of an export, for somebody who has never heard of jackcapture."""

import textwrap
from collections.abc import Mapping, Sequence

from jackcapture.control.exports.plan import (
    PROJECT,
    PROVENANCE,
    SESSION,
    TIMELINE,
    ExportFormat,
    Part,
    Plan,
)
from jackcapture.model.times import iso

_WIDTH = 78


def render_readme(plan: Plan, output_format: ExportFormat, store_uuid: str, gap_counts: Mapping[Part, int]) -> bytes:
    """Give the text; `gap_counts` has those parts that have gaps."""
    session, first = plan.session, plan.segments[0].started
    streams, segments = _count(len(plan.definitions), "stream"), _count(len(plan.segments), "segment")
    title = "A recorded session" if session.name == session.id else f"A recorded session: {session.name}"
    sections = [
        f"{title}\n{'=' * len(title)}",
        _prose(
            f"This is a recording of {streams} (audio, MIDI or both), played in {segments} of time. It begins at "
            f"{iso(first.wall_clock_ns)} (UTC). All of it lies on one timeline of {_seconds(plan, plan.frames)}, "
            f"counted in samples at {plan.sample_rate} Hz."
        ),
        _prose(
            "The files are plain WAV and MIDI files; any audio program opens them. Within a segment all of them were "
            "recorded against one clock: put files of one segment at one place and they are aligned to the sample."
        ),
        _table("Streams", [_stream(plan, ordinal) for ordinal in range(1, len(plan.definitions) + 1)]),
        _table("Files, and where each begins on the timeline", [_file(plan, part, gap_counts) for part in plan.parts]),
    ]
    if plan.marks:
        marks = [(_seconds(plan, it.position), it.mark.name, f"segment {it.mark.segment}") for it in plan.marks]
        sections.append(_table("Marks, by their time on the timeline", marks))
    sections.append(_table("What explains them", _explanations(output_format)))
    sections += [
        _prose(
            "Where segments lie on the timeline: each as far from the one before it as the audio clock counted, "
            f'or, where that was started anew between them, as the wall clock says. "placed_by" in {TIMELINE} tells '
            "which. MIDI files round each event to a tick, 960 a quarter note; each begins with the notes, "
            "programs and controllers that were in force then."
        ),
        _prose(
            "Gaps: where the machine lost samples, the file has silence of the same length, so everything after it "
            f"is still in its place. {PROVENANCE} lists each gap with its position and its cause."
            + ("" if gap_counts else " This recording has none.")
        ),
        _prose(
            f"Recorded by jackcapture as {session.id} in the store {store_uuid}. The same session always gives these "
            "same bytes."
        ),
    ]
    if output_format is ExportFormat.BAGIT:
        sections.append(
            _prose(
                "This folder lies in a bag (BagIt, RFC 8493): the files beside it have a SHA-512 of every file here. "
                'To check all of them: "bagit.py --validate FOLDER", or, in the folder that has "data" in it, '
                '"sha512sum --check manifest-sha512.txt".'
            )
        )
    return ("\n\n".join(sections) + "\n").encode()


def _explanations(output_format: ExportFormat) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (SESSION, "the session as it was recorded: streams, segments, marks, clocks"),
        (TIMELINE, "where each file and mark lies on the timeline, in samples"),
        (PROVENANCE, "where every byte comes from, with hashes, gaps, clocks, latency"),
    ]
    if output_format is ExportFormat.REAPER:
        rows.insert(0, (PROJECT, "a project for Reaper, with all files and marks in place"))
    return rows


def _stream(plan: Plan, ordinal: int) -> tuple[str, ...]:
    definition = plan.definitions[ordinal - 1]
    if not definition.is_audio:
        return f"stream {ordinal}", definition.uri, "MIDI"
    audio = definition.audio
    return f"stream {ordinal}", definition.uri, f"audio, {_count(audio.channels, 'channel')}, {audio.sample_format}"


def _file(plan: Plan, part: Part, gap_counts: Mapping[Part, int]) -> tuple[str, ...]:
    length = f"{_seconds(plan, part.frames)} long"
    if gap_counts.get(part):
        length += f", {_count(gap_counts[part], 'gap')}"
    where = part.path or f"(nothing of {part.uri} in segment {part.segment})"
    return _seconds(plan, part.position), where, length


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return f"{title}\n{'-' * len(title)}\n" + "\n".join(f"  {line}" for line in lines)


def _prose(text: str) -> str:
    return textwrap.fill(text, _WIDTH)


def _seconds(plan: Plan, frames: int) -> str:
    return f"{plan.seconds(frames):.3f} s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
