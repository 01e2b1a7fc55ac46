"""Documents that go into the store, so that the store alone can tell what it holds: definitions and manifests."""

import json
import time
from dataclasses import asdict, replace
from typing import Any

from jackcapture.catalog import Catalog, StreamRecord
from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.catalog.rows import differences
from jackcapture.control.contents import Contents
from jackcapture.model.artifacts import Artifact
from jackcapture.model.retention import HolderKind, Retention
from jackcapture.model.streams import StreamDefinition
from jackcapture.store import Sealed, Store

DEFINITION_TYPE = "application/vnd.jackcapture.definition+json"
MANIFEST_TYPE = "application/vnd.jackcapture.manifest+json"
_EVERYTHING = 1 << 62


def enter_definition(
    contents: Contents, catalog: Catalog, definition: StreamDefinition, retention: Retention
) -> StreamRecord:
    """Put a definition into store and catalog; raises `ConflictError` if the URI is taken. Blocks."""

    def add_row(sealed: Sealed) -> StreamRecord:
        artifact = _artifact(sealed, "definition", DEFINITION_TYPE, definition.uri, ())
        return catalog.add_stream(definition, artifact, retention)

    return contents.enter_document(render_definition(definition), add_row)


def render_definition(definition: StreamDefinition) -> bytes:
    """Give the bytes of a definition's document: the same for the same definition."""
    return rendered({"type": DEFINITION_TYPE, "version": 1, **definition.as_json()})


def enter_manifest(store: Store, contents: Contents, catalog: Catalog, stream: StreamRecord) -> Artifact:
    """Put the manifest of a stream, as it stands, into store and catalog. Blocks; linear in its length."""
    document = render_manifest(store, catalog, stream)
    ended = [take["number"] for take in document["takes"] if take["samples"] is not None]

    def add_row(sealed: Sealed) -> Artifact:
        artifact = replace(
            _artifact(sealed, "manifest", MANIFEST_TYPE, stream.definition.uri, (stream.definition_artifact,)),
            metadata={"last_take": ended[-1] if ended else 0},
        )
        catalog.add_artifact(artifact)
        return artifact

    return contents.enter_document(rendered(document), add_row)


def ensure_manifest(store: Store, contents: Contents, catalog: Catalog, stream: StreamRecord) -> None:
    """Enter the manifest of a stream unless there is one that tells of the end of its last take. Blocks.

    Control may have died, or the disk may have been full, after the end of the take was entered.
    """
    uri = stream.definition.uri
    ended = [record.take.number for record in catalog.takes(uri) if record.take.samples is not None]
    newest = catalog.artifacts(kind="manifest", stream_uri=uri, limit=1)
    if ended and not any(manifest.metadata.get("last_take") == ended[-1] for manifest in newest):
        enter_manifest(store, contents, catalog, stream)


def render_manifest(store: Store, catalog: Catalog, stream: StreamRecord) -> dict[str, Any]:
    """Give a stream's takes, chunks, gaps and clock snapshots as JSON values, in order."""
    uri = stream.definition.uri
    chunks = catalog.chunks(uri, 0, _EVERYTHING)
    removals = catalog.keeping.removals(uri, 0, _EVERYTHING)
    takes = []
    for record in catalog.takes(uri):
        take = record.take
        takes.append(
            {
                "number": take.number,
                "start_frame": take.start_frame,
                "first_sample": take.first_sample,
                "samples": take.samples,
                "started_at_ns": take.started_at_ns,
                "ended_at_ns": take.ended_at_ns,
                "error": record.error,
                "latencies": [{"min": latency.min, "max": latency.max} for latency in take.latencies],
                "removals": [
                    {
                        "first_index": gone.first_index,
                        "end_index": gone.end_index,
                        "first_sample": gone.first_sample,
                        "end_sample": gone.end_sample,
                        "reason": gone.reason.value,
                        "removed_at_ns": gone.removed_at_ns,
                    }
                    for gone in removals
                    if gone.take_number == take.number
                ],
                "chunks": [
                    {
                        "index": sealed.chunk.index,
                        "first_sample": sealed.chunk.first_sample,
                        "samples": sealed.chunk.samples,
                        "bytes": sealed.chunk.bytes,
                        "content_hash": sealed.content.hash,
                        "overview_hash": None if sealed.overview is None else sealed.overview.hash,
                        "wall_clock_ns": sealed.chunk.wall_clock_ns,
                        "clipped_samples": sealed.chunk.clipped_samples,
                    }
                    for sealed in chunks
                    if sealed.take_number == take.number
                ],
                "gaps": [
                    {"position": gap.position, "frames": gap.frames, "cause": gap.cause.value}
                    for gap in catalog.gaps(uri, take.first_sample, record.end_sample)
                ],
                "clocks": [
                    {
                        "sample_position": at.sample_position,
                        "jack_frame": at.jack_frame,
                        "monotonic_us": at.monotonic_us,
                        "wall_clock_ns": at.wall_clock_ns,
                        "reasons": [reason.value for reason in at.reasons],
                        "period": at.period,
                        "is_freewheeling": at.is_freewheeling,
                        "transport": differences(at.transport),
                        "midi_clock": differences(at.midi_clock),
                    }
                    for at in catalog.clocks(uri, take.number, 0, _EVERYTHING)
                ],
            }
        )
    return {
        "type": MANIFEST_TYPE,
        "version": 1,
        "store_uuid": store.uuid,
        "definition": stream.definition.as_json(),
        "created_at_ns": stream.created_at_ns,
        "retention": asdict(stream.retention),
        "pins": [
            {
                "name": hold.holder,
                "from_sample": hold.from_sample,
                "to_sample": hold.to_sample,
                "created_at_ns": hold.created_at_ns,
            }
            for hold in catalog.keeping.holds(uri, HolderKind.PIN)
        ],
        "takes": takes,
    }


def rendered(document: dict[str, Any]) -> bytes:
    """Give the bytes of a document."""
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _artifact(sealed: Sealed, kind: str, mime_type: str, uri: str, parents: tuple[str, ...]) -> Artifact:
    return Artifact(
        id=new_artifact_id(kind),
        kind=kind,
        content_hash=sealed.content.hash,
        mime_type=mime_type,
        bytes=sealed.bytes,
        created_at_ns=time.time_ns(),
        stream_uri=uri,
        parents=parents,
    )
