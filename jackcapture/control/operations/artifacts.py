"""Operations on artifacts."""

import asyncio
import base64

from jackcapture.control.copying import check_new_file, new_file
from jackcapture.control.operations.describe import describe_artifact
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.slices.artifact_files import MAX_READ_BYTES, file_size, read_file, write_file
from jackcapture.errors import InvalidValueError, OperationCancelledError
from jackcapture.model.artifacts import Artifact
from jackcapture.model.results import ArtifactResult, BytesResult, SavedResult
from jackcapture.model.uris import parse_name, parse_stream_uri

MAX_LISTED = 1000


@operation
async def artifact_list(
    context: Context,
    kind: str | None = None,
    tag: str | None = None,
    stream_uri: str | None = None,
    limit: int = MAX_LISTED,
) -> tuple[ArtifactResult, ...]:
    """List the newest artifacts, newest first: of a kind, with a tag, of a stream; at most `limit` (1 to 1,000)."""
    services = context.services
    if not 1 <= limit <= MAX_LISTED:
        raise InvalidValueError(f"a limit of {limit}: it must be 1 to {MAX_LISTED}", limit=limit)
    if stream_uri is not None:
        parse_stream_uri(stream_uri)
    found = await asyncio.to_thread(
        lambda: services.catalog.artifacts(kind=kind, tag=tag, stream_uri=stream_uri, limit=limit)
    )
    return tuple(describe_artifact(services.store, artifact) for artifact in found)


@operation
async def artifact_show(context: Context, artifact_id: str) -> ArtifactResult:
    """Give one artifact by its full id."""
    services = context.services
    return describe_artifact(services.store, await asyncio.to_thread(services.catalog.artifact, artifact_id))


@operation(cancellable=True)
async def artifact_save(context: Context, artifact_id: str, path: str) -> SavedResult:
    """Write an artifact's file to a new one; `path` is absolute. A virtual slice is rendered."""
    services = context.services
    artifact = await asyncio.to_thread(services.catalog.artifact, artifact_id)
    size = await context.cut(lambda: save(context, artifact, path))
    return SavedResult(artifact.id, path, size)


@operation
async def artifact_tag(context: Context, artifact_id: str, tags: list[str]) -> ArtifactResult:
    """Add tags to an artifact, by which `artifact_list` finds it; those that it has are left."""
    services = context.services
    if not tags:
        raise InvalidValueError(f"no tag for {artifact_id}; give one at least", artifact_id=artifact_id)
    checked = [parse_name(tag, "a tag") for tag in tags]
    tagged = await asyncio.to_thread(services.catalog.tag_artifact, artifact_id, checked)
    return describe_artifact(services.store, tagged)


@operation(cancellable=True)
async def artifact_read(
    context: Context, artifact_id: str, offset: int = 0, length: int = MAX_READ_BYTES
) -> BytesResult:
    """Give bytes of an artifact's file, at most 1 MiB at a time; a virtual slice is rendered, only there."""
    services = context.services

    def read() -> BytesResult:
        artifact = services.catalog.artifact(artifact_id)
        data, total, mime_type = read_file(services.store, services.catalog, artifact, offset, length)
        return BytesResult(artifact.id, mime_type, offset, len(data), total, base64.b64encode(data).decode())

    return await context.cut(read)


@operation(cancellable=True)
async def artifact_materialise(context: Context, artifact_id: str) -> ArtifactResult:
    """Make a file in the store of a virtual slice, as an artifact of its own."""
    services = context.services
    made = await context.cut(lambda: services.slicer.materialise(artifact_id, context.progress))
    return describe_artifact(services.store, made)


def save(context: Context, artifact: Artifact, path: str) -> int:
    """Write an artifact's file to a new one, and give its bytes. Blocks."""
    check_new_file(path)
    services = context.services
    size, _ = file_size(services.store, artifact)
    done = 0

    def moved(step: int) -> None:
        nonlocal done
        done += step
        context.progress(done, size, "bytes")

    with new_file(path) as target:
        write_file(services.store, services.catalog, artifact, target, moved)
    return size


def save_new(context: Context, artifact: Artifact, path: str) -> None:
    """Write an artifact that this call has made to a new file; a call that is cancelled takes it back. Blocks."""
    try:
        save(context, artifact, path)
    except OperationCancelledError:
        context.services.contents.remove_artifact(artifact.id)
        raise
