"""The operation that exports a session."""

import os

from jackcapture.control.copying import check_new_file
from jackcapture.control.exports.exporter import Exporter, expected_bytes
from jackcapture.control.exports.plan import ExportFormat, Plan, parse_export_format, plan_export
from jackcapture.control.operations.registry import Context, Services, operation
from jackcapture.errors import ConflictError, StorageFullError
from jackcapture.model.export_results import ExportResult


@operation(cancellable=True)
async def session_export(context: Context, session_id: str, out: str, output_format: str = "folder") -> ExportResult:
    """Write all that a session has into a new folder or archive at `out`, an absolute path of which nothing is there.

    `output_format`: folder (a WAV or MIDI file for each stream and segment; marks, timeline and provenance as JSON; a
    README), tar (the same in one uncompressed archive), bagit (the same as a bag, with checksums by which it proves
    itself) or reaper (the folder with a Reaper project). The session must not play. The same session gives the same
    bytes.
    """
    found = parse_export_format(output_format)
    services = context.services
    check_new_file(out, "file" if found is ExportFormat.TAR else "folder")

    def work() -> ExportResult:
        session = services.catalog.sessions.get(session_id)
        definitions = {uri: services.catalog.stream(uri).definition for uri in session.streams}
        plan = plan_export(session, definitions)
        check_sealed(services, plan)
        _check_room(services, plan, out)
        exporter = Exporter(services.store, services.catalog, services.contents)
        return exporter.export(plan, found, out, context.progress, context.check)

    return await context.cut(work)


def check_sealed(services: Services, plan: Plan) -> None:
    """Raise `ConflictError` if some of it is not sealed yet: its hashes and gaps would be others later. Blocks."""
    for part in plan.parts:
        stream = services.streams.get(part.uri)
        live = stream.take
        if live is None or live.number != part.take_number:
            continue
        pending = [full.first_sample for full in list(live.pending.values())]
        sealed = services.catalog.sealed_end(part.uri, part.take_number)
        if sealed < part.to_sample or min(pending, default=part.to_sample) < part.to_sample:
            seconds = live.seconds_in_chunk(part.definition)
            lasting = f", which may last {seconds:.0f} s more" if seconds else ""
            raise ConflictError(
                f"{part.uri} records on, and the end of segment {part.segment} of {plan.session.id} lies in the chunk "
                f"that is being recorded{lasting}; export when that is full, or stop the stream",
                session_id=plan.session.id,
                uri=part.uri,
            )


def _check_room(services: Services, plan: Plan, out: str) -> None:
    """Raise `StorageFullError` if it will not fit. An export must not use up what recordings need. Blocks."""
    size, folder = expected_bytes(plan), os.path.dirname(out)
    space = services.supply.space
    if os.stat(folder).st_dev in (space.staging().device, space.content().device, space.catalog().device):
        space.check_artifact(f"the export of {plan.session.id}", size)
        return
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < size:
        raise StorageFullError(
            f"no room for the export of {plan.session.id} in {folder}: it needs {size} bytes, {free} are free; make "
            "room, or export it elsewhere",
            path=folder,
            bytes_needed=size,
            bytes_free=free,
        )
