"""Exports a session: its parts, and the documents that explain them. Everything here blocks."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from jackcapture.catalog import Catalog
from jackcapture.control.contents import Contents
from jackcapture.control.copying import new_file, new_folder
from jackcapture.control.documents import rendered
from jackcapture.control.exports.bag import PAYLOAD, add_tag_files, check_bag
from jackcapture.control.exports.documents import render_provenance, render_timeline
from jackcapture.control.exports.parts import PartFile, PartWriter
from jackcapture.control.exports.plan import (
    PROJECT,
    PROVENANCE,
    README,
    SESSION,
    TIMELINE,
    ExportFormat,
    Part,
    Plan,
)
from jackcapture.control.exports.readme import render_readme
from jackcapture.control.exports.reaper import render_project
from jackcapture.control.exports.targets import FolderTarget, Moved, Target, TarTarget
from jackcapture.control.sessions.document import render_session
from jackcapture.control.slices.files import counter
from jackcapture.formats.bext import BROADCAST_HEADER_BYTES
from jackcapture.model.export_results import ExportedFile, ExportedPart, ExportResult
from jackcapture.model.progress import Progress
from jackcapture.store import Store

_MIDI_BYTES = 1 << 16
"""What a MIDI part and the documents are taken to have, for the progress and for the room that is asked for."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """Exports sessions of one store. Any thread may call any method; all block."""

    store: Store
    catalog: Catalog
    contents: Contents

    def export(
        self, plan: Plan, output_format: ExportFormat, path: str, progress: Progress, check: Callable[[], None]
    ) -> ExportResult:
        """Write what is planned to `path`, which is new, all or nothing; `progress` and `check` raise to cancel."""
        keeps_midi = output_format is ExportFormat.REAPER
        writer = PartWriter(self.store, self.catalog, plan.session.id, check, keeps_midi)
        # Each byte is written, and read again for its hash.
        moved = counter(progress, 2 * expected_bytes(plan))
        with contextlib.ExitStack() as leases:
            # The session holds all of this; it may be deleted meanwhile.
            for part in plan.parts:
                since = writer.first_read(part)
                leases.enter_context(self.contents.reading(part.uri, since, part.to_sample))
            if output_format is ExportFormat.TAR:
                with new_file(path) as descriptor:
                    archive = TarTarget(descriptor, plan.session.id, plan.ended_at_ns, moved)
                    files = self._fill(plan, output_format, archive, "", writer, moved)
                    archive.finish()
                    check()
                return _result(plan, output_format, path, archive, files)
            has_bag = output_format is ExportFormat.BAGIT
            with new_folder(path) as temporary:
                folder = FolderTarget(temporary, plan.ended_at_ns, moved, has_sha512=has_bag)
                files = self._fill(plan, output_format, folder, PAYLOAD if has_bag else "", writer, moved)
                if has_bag:
                    add_tag_files(folder, plan, self.store.uuid)
                    check_bag(temporary)
                check()
            return _result(plan, output_format, path, folder, files)

    def _fill(
        self, plan: Plan, output_format: ExportFormat, target: Target, prefix: str, writer: PartWriter, moved: Moved
    ) -> list[PartFile]:
        """Write all files, in the order of their paths."""
        hashes = {
            uri: self.catalog.artifact(self.catalog.stream(uri).definition_artifact).content_hash
            for uri in plan.session.streams
        }
        gap_counts = self._gap_counts(plan)
        target.add_bytes(prefix + README, render_readme(plan, output_format, self.store.uuid, gap_counts))
        with_file = sorted((part.path, part) for part in plan.parts if part.path is not None)
        files = [writer.write(part, target, prefix, moved) for _, part in with_file]
        provenance = render_provenance(plan, self.store.uuid, hashes, [file.provenance for file in files])
        target.add_bytes(prefix + PROVENANCE, rendered(provenance))
        document = render_session(
            self.store.uuid,
            plan.session,
            list(hashes.values()),
            self.catalog.suggestions.of_session(plan.session.id),
        )
        target.add_bytes(prefix + SESSION, rendered(document))
        if output_format is ExportFormat.REAPER:
            target.add_bytes(prefix + PROJECT, render_project(plan, files))
        target.add_bytes(prefix + TIMELINE, rendered(render_timeline(plan)))
        return files

    def _gap_counts(self, plan: Plan) -> dict[Part, int]:
        counts = {part: len(self.catalog.gaps(part.uri, part.from_sample, part.to_sample)) for part in plan.parts}
        return {part: count for part, count in counts.items() if count}


def expected_bytes(plan: Plan) -> int:
    """Give about how many bytes an export has."""
    sizes = [
        part.frames * part.definition.audio.frame_bytes + BROADCAST_HEADER_BYTES
        if part.definition.is_audio
        else _MIDI_BYTES
        for part in plan.parts
    ]
    return sum(sizes) + _MIDI_BYTES


def _result(plan: Plan, output_format: ExportFormat, path: str, target: Target, files: list[PartFile]) -> ExportResult:
    by_part = {file.part: file for file in files}
    return ExportResult(
        session_id=plan.session.id,
        path=path,
        format=output_format.value,
        bytes=sum(file.bytes for file in target.written),
        sample_rate=plan.sample_rate,
        frames=plan.frames,
        files=tuple(ExportedFile(file.path, file.bytes, file.content_hash) for file in target.written),
        parts=tuple(
            ExportedPart(
                part.segment,
                part.uri,
                by_part[part].written.path if part in by_part else None,
                (part.from_sample, part.to_sample),
                part.position,
                len(by_part[part].provenance["gaps"]) if part in by_part else 0,
            )
            for part in plan.parts
        ),
    )
