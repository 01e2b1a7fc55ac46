"""Operations on artifacts."""

import asyncio
import os

from jackcapture.control.copying import check_new_file, copy_range, new_file
from jackcapture.control.operations.describe import describe_artifact
from jackcapture.control.operations.registry import Context, operation
from jackcapture.model.addresses import Content
from jackcapture.model.artifacts import Artifact
from jackcapture.model.results import ArtifactResult, SavedResult
from jackcapture.model.uris import parse_stream_uri


@operation
async def artifact_list(
    context: Context, kind: str | None = None, tag: str | None = None, stream_uri: str | None = None
) -> tuple[ArtifactResult, ...]:
    """List the newest artifacts (at most 1,000), newest first; of a kind, with a tag, of a stream."""
    services = context.services
    if stream_uri is not None:
        parse_stream_uri(stream_uri)
    found = await asyncio.to_thread(lambda: services.catalog.artifacts(kind=kind, tag=tag, stream_uri=stream_uri))
    return tuple(describe_artifact(services.store, artifact) for artifact in found)


@operation
async def artifact_show(context: Context, artifact_id: str) -> ArtifactResult:
    """Give one artifact by its full id."""
    services = context.services
    return describe_artifact(services.store, await asyncio.to_thread(services.catalog.artifact, artifact_id))


@operation
async def artifact_save(context: Context, artifact_id: str, path: str) -> SavedResult:
    """Write an artifact's content to a new file; `path` is absolute."""
    services = context.services
    artifact = await asyncio.to_thread(services.catalog.artifact, artifact_id)
    await asyncio.get_running_loop().run_in_executor(services.cutting, save, context, artifact, path)
    return SavedResult(artifact.id, path, artifact.bytes)


def save(context: Context, artifact: Artifact, path: str) -> None:
    """Write an artifact's content to a new file. Blocks."""
    check_new_file(path)
    done = 0

    def moved(step: int) -> None:
        nonlocal done
        done += step
        context.progress(done, artifact.bytes, "bytes")

    source = context.services.store.open(Content(artifact.content_hash))
    try:
        with new_file(path) as target:
            copy_range(source, 0, target, 0, artifact.bytes, moved)
    finally:
        os.close(source)
