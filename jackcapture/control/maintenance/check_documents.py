"""Compares definitions and manifests in the store with the rows of the catalog. Blocks."""

import json
import os
import sqlite3

from blake3 import blake3

from jackcapture.catalog.audit import Audit, StreamRow
from jackcapture.control.maintenance.check_content import content_path
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.maintenance.documents_reading import Manifest, TakePart, read_definition, read_manifest
from jackcapture.errors import InvalidValueError
from jackcapture.model.checks import ProblemKind, artifact_address, chunk_address

MAX_PARSED_BYTES = 64 << 20
"""A longer manifest is compared with its hash only: as values it would take gigabytes of memory."""


def check_documents(place: CheckPlace, audit: Audit) -> None:
    """Read all definitions, and the newest manifest of each stream."""
    with audit.moment():
        streams = audit.streams()
        manifests: dict[str | None, sqlite3.Row] = {}
        for row in audit.artifacts("manifest"):
            manifests.setdefault(row["stream_uri"], row)
    for stream in streams:
        place.go_on()
        if stream.definition is not None:  # else it is told of already
            _check_definition(place, audit, stream)
            if stream.uri in manifests:
                _check_manifest(place, audit, stream, manifests[stream.uri])


def _check_definition(place: CheckPlace, audit: Audit, stream: StreamRow) -> None:
    with audit.moment():
        artifact = audit.artifact(stream.artifact)
    if artifact is None:
        return  # a dangling reference
    data = _read(place, artifact)
    if data is None:
        return
    try:
        definition = read_definition(data)
    except InvalidValueError as error:
        _differs(place, stream, f"{content_path(artifact['content_hash'])} is no definition: {error.message}")
        return
    if definition != stream.definition:
        _differs(
            place,
            stream,
            f"its row says {stream.text[:500]}; its definition, {content_path(artifact['content_hash'])}, says "
            f"{json.dumps(definition.as_json())[:500]}",
        )


def _differs(place: CheckPlace, stream: StreamRow, message: str) -> None:
    place.problems.add(ProblemKind.DEFINITION_DIFFERS, stream.uri, message)


def _check_manifest(place: CheckPlace, audit: Audit, stream: StreamRow, artifact: sqlite3.Row) -> None:
    data = _read(place, artifact)
    if data is None:
        return
    try:
        manifest = read_manifest(data)
    except InvalidValueError as error:
        _add(place, ProblemKind.MANIFEST_MALFORMED, artifact, f"it is no manifest: {error.message}")
        return
    if manifest.stream != stream.definition:
        _add(place, ProblemKind.MANIFEST_DIFFERS, artifact, f"it is that of another definition than {stream.uri} has")
        return
    wrong = _wrong_chunks(audit, stream, manifest)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        _add(place, ProblemKind.MANIFEST_DIFFERS, artifact, wrong[0] + more)


def _wrong_chunks(audit: Audit, stream: StreamRow, manifest: Manifest) -> list[str]:
    """Tell which chunks the manifest names otherwise than the catalog; what was removed since is no matter."""
    wrong = []
    with audit.moment():
        if not audit.has(stream):  # it was deleted meanwhile
            return []
        takes = {row["number"]: row for row in audit.takes(stream.id)}
        for take in manifest.takes:
            row = takes.get(take.number)
            if row is None:
                wrong.append(f"it has a take {take.number}, and the catalog none")
            elif take.samples is not None and (take.first_sample, take.samples) != (
                row["first_sample"],
                row["samples"],
            ):
                wrong.append(
                    f"take {take.number} has {take.samples} samples from {take.first_sample}; in the catalog "
                    f"{row['samples']} from {row['first_sample']}"
                )
            else:
                wrong += _wrong_chunks_of(audit, stream.uri, row["id"], take)
    return wrong


def _wrong_chunks_of(audit: Audit, uri: str, take_id: int, take: TakePart) -> list[str]:
    named = {chunk.index: (chunk.content_hash, chunk.overview_hash) for chunk in take.chunks}
    # An overview that was lost is made anew when it is asked for: a row may have none.
    return [
        f"{chunk_address(uri, take.number, row['chunk_index'])} has the content {named[row['chunk_index']][0]}; in the "
        f"catalog {row['content_hash']}"
        for row in audit.chunks(take_id)
        if row["chunk_index"] in named
        and (row["content_hash"], row["overview_hash"] or named[row["chunk_index"]][1]) != named[row["chunk_index"]]
    ]


def _add(place: CheckPlace, kind: ProblemKind, artifact: sqlite3.Row, message: str) -> None:
    where = content_path(artifact["content_hash"])
    place.problems.add(kind, where, f"{artifact_address(artifact['id'])}: {message}")


def _read(place: CheckPlace, artifact: sqlite3.Row) -> bytes | None:
    """Give a document; None if it is missing (which is told elsewhere), damaged or too long."""
    path = content_path(artifact["content_hash"])
    try:
        with open(f"{place.root}/{path}", "rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_PARSED_BYTES:
                return None
            data = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        place.problems.add(ProblemKind.CONTENT_UNREADABLE, path, f"it cannot be read: {error.strerror}")
        return None
    if len(data) != artifact["bytes"]:
        return None  # told already
    found = blake3(data).hexdigest()
    if found != artifact["content_hash"]:
        place.problems.add(
            ProblemKind.CONTENT_DAMAGED, path, f"its bytes are not those that were stored: they have the hash {found}"
        )
        return None
    return data
