"""The document of a session that is closed: what the store alone tells of it. Blocks."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from jackcapture.catalog import Catalog
from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.control.contents import Contents
from jackcapture.control.documents import enter_manifest, rendered
from jackcapture.model.artifacts import Artifact
from jackcapture.model.sessions import SegmentClock, Session, SessionMode
from jackcapture.model.suggestions import Suggestion
from jackcapture.model.uris import StreamUri
from jackcapture.store import Sealed, Store

SESSION_TYPE = "application/vnd.jackcapture.session+json"


def enter_session(
    store: Store,
    contents: Contents,
    catalog: Catalog,
    session: Session,
    add: Callable[[Artifact], None],
    decided: Suggestion | None = None,
) -> None:
    """Put the document of a session into the store; `add` enters its artifact, with what else changes.

    `decided` is a suggestion as it will be then, in the place of what the catalog has. The manifests that the document
    is linked to tell of all takes that the session has, also of one that runs on.
    """
    for uri in session.streams:
        _ensure_manifest(store, contents, catalog, session, uri)
    definitions = [catalog.stream(uri).definition_artifact for uri in session.streams]
    manifests = [
        manifest.id
        for uri in session.streams
        for manifest in catalog.artifacts(kind="manifest", stream_uri=uri, limit=1)
    ]
    hashes = [catalog.artifact(definition).content_hash for definition in definitions]
    suggestions = [
        decided if decided is not None and known.id == decided.id else known
        for known in catalog.suggestions.of_session(session.id)
    ]

    def add_row(sealed: Sealed) -> None:
        add(
            Artifact(
                id=new_artifact_id("session-document"),  # not to be taken for the id of a session
                kind="session",
                content_hash=sealed.content.hash,
                mime_type=SESSION_TYPE,
                bytes=sealed.bytes,
                created_at_ns=time.time_ns(),
                parents=(*definitions, *manifests),
                metadata={"session_id": session.id, "name": session.name},
            )
        )

    contents.enter_document(rendered(render_session(store.uuid, session, hashes, suggestions)), add_row)


def _ensure_manifest(store: Store, contents: Contents, catalog: Catalog, session: Session, uri: StreamUri) -> None:
    """Enter the manifest of a stream unless there is one that tells of what the session has of it."""
    takes = [found.take_number for segment in session.segments if (found := segment.range_of(uri)) is not None]
    if not takes:
        return
    for newest in catalog.artifacts(kind="manifest", stream_uri=uri, limit=1):
        # One that was made at the close tells of a take that runs on, too, as far as it was sealed.
        is_of_the_close = session.closed_at_ns is not None and newest.created_at_ns >= session.closed_at_ns
        if is_of_the_close or newest.metadata.get("last_take", 0) >= max(takes):
            return
    enter_manifest(store, contents, catalog, catalog.stream(uri))


def render_session(
    store_uuid: str, session: Session, definition_hashes: list[str], suggestions: Sequence[Suggestion] = ()
) -> dict[str, Any]:
    """Give a session with its segments, marks and suggestions as JSON values.

    Streams are named also by their definitions. A session that is not triggered says nothing of suggestions.
    """
    document = _rendered_session(store_uuid, session, definition_hashes)
    if session.mode is SessionMode.TRIGGERED:
        document["suggestions"] = [_suggestion_values(it) for it in suggestions]
    return document


def _suggestion_values(suggestion: Suggestion) -> dict[str, Any]:
    values = asdict(suggestion)
    del values["session_id"]
    return values


def _rendered_session(store_uuid: str, session: Session, definition_hashes: list[str]) -> dict[str, Any]:
    return {
        "type": SESSION_TYPE,
        "version": 1,
        "store_uuid": store_uuid,
        "id": session.id,
        "name": session.name,
        "mode": session.mode.value,
        "settings": dict(session.settings),
        "created_at_ns": session.created_at_ns,
        "closed_at_ns": session.closed_at_ns,
        "streams": [
            {"uri": uri, "definition_hash": definition}
            for uri, definition in zip(session.streams, definition_hashes, strict=True)
        ],
        "segments": [
            {
                "number": segment.number,
                "started": clock_values(segment.started),
                "ended": None if segment.ended is None else clock_values(segment.ended),
                "ranges": [
                    {
                        "stream_uri": it.uri,
                        "take": it.take_number,
                        "from_sample": it.from_sample,
                        "to_sample": it.to_sample,
                    }
                    for it in segment.ranges
                ],
            }
            for segment in session.segments
        ],
        "marks": [
            {
                "name": mark.name,
                "segment": mark.segment,
                "jack_frame": mark.jack_frame,
                "wall_clock_ns": mark.wall_clock_ns,
                "created_at_ns": mark.created_at_ns,
                "positions": dict(mark.positions),
            }
            for mark in session.marks
        ],
        "requests": [request.as_json() for request in session.requests],
        "relocations": [
            {
                "segment": relocation.segment,
                "at": clock_values(relocation.at),
                "from_frame": relocation.from_frame,
                "mark": relocation.mark,
            }
            for relocation in session.relocations
        ],
    }


def clock_values(clock: SegmentClock) -> dict[str, Any]:
    """Give the clocks at a frame as JSON values, as far as they are known."""
    return {name: value for name, value in asdict(clock).items() if value is not None}
