"""Enters the artifacts of requests, which the documents of sessions name, into a new catalog. Blocks."""

from collections.abc import Callable, Iterator

from jackcapture.catalog.rebuilding import NewCatalog
from jackcapture.control.maintenance.check_content import content_path
from jackcapture.formats.smf import SMF_TYPE
from jackcapture.model.artifacts import Artifact
from jackcapture.model.requests import Answer, Request
from jackcapture.model.retention import Hold, HolderKind
from jackcapture.model.sessions import Session
from jackcapture.store.survey import Survey


def enter_requests(
    catalog: NewCatalog, survey: Survey, session: Session, tell: Callable[[str], None]
) -> Iterator[Artifact]:
    """Enter the artifacts of a session that is entered, as far as their content is there; gives each."""
    for request in session.requests:
        if request.artifact_id is None or request.content_hash is None:
            continue
        sent = _artifact(survey, session, request, request.artifact_id, "request", request.content_hash, SMF_TYPE)
        if sent is None or catalog.has_artifact(sent.id):
            tell(f"{session.id}: what its request {request.number} sent, {request.artifact_id}, is not there")
            continue
        catalog.add_artifact(sent)
        yield sent
        for answer in request.answers:
            made = _answer(catalog, survey, session, request, answer)
            if made is None:
                tell(f"{session.id}: the answer of {answer.uri} to request {request.number} is not there")
                continue
            yield made


def _answer(catalog: NewCatalog, survey: Survey, session: Session, request: Request, answer: Answer) -> Artifact | None:
    parents = (*catalog.documents_of(answer.uri)[:1], request.artifact_id or "")
    found = _artifact(
        survey, session, request, answer.artifact_id, "slice", answer.content_hash, answer.mime_type, answer, parents
    )
    if found is None or catalog.has_artifact(found.id) or not catalog.has_stream(answer.uri):
        return None
    hold = Hold(answer.uri, HolderKind.ARTIFACT, found.id, answer.from_sample, answer.to_sample, found.created_at_ns)
    catalog.add_artifact(found, [hold] if answer.from_sample < answer.to_sample else [])
    return found


def _artifact(
    survey: Survey,
    session: Session,
    request: Request,
    artifact_id: str,
    kind: str,
    content_hash: str,
    mime_type: str,
    answer: Answer | None = None,
    parents: tuple[str, ...] = (),
) -> Artifact | None:
    """Give an artifact whose content is there."""
    file = survey.find(content_path(content_hash), content_hash)
    if file is None or not file.is_file:
        return None
    metadata = {"request": {"session_id": session.id, "number": request.number, "segment": request.segment}}
    ranged = {} if answer is None else {"sample_range": [answer.from_sample, answer.to_sample]}
    return Artifact(
        id=artifact_id,
        kind=kind,
        content_hash=content_hash,
        mime_type=mime_type,
        bytes=file.status.st_size,
        created_at_ns=file.status.st_mtime_ns,
        stream_uri=None if answer is None else answer.uri,
        parents=parents,
        metadata={**metadata, **ranged},
    )
