"""Operations that say what is kept, and remove what is not."""

import asyncio
import time
from collections.abc import Iterable

from jackcapture.control.garbage import DoomedRun, plan
from jackcapture.control.operations.describe import describe_pin, describe_retention
from jackcapture.control.operations.ranges import find_range
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.retention_words import parse_retention
from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.results import (
    DoneResult,
    GarbageResult,
    GarbageRun,
    HeldRun,
    PinResult,
    RetentionResult,
)
from jackcapture.model.retention import Hold, HolderKind
from jackcapture.model.uris import parse_name


@operation
async def stream_keep(
    context: Context,
    uri: str,
    keep: str | None = None,
    keep_bytes: str | int | None = None,
    keep_chunks: int | None = None,
) -> RetentionResult:
    """Say how much of a stream is kept, at most: what a limit leaves out is removed, oldest chunks first, all the time.

    `keep` is recorded time back from the newest (24h), `keep_bytes` a size (50GB, 2GiB, or a number), `keep_chunks` a
    number of sealed chunks. A limit that is not given is lifted; without any, everything is kept. Chunks that a slice,
    a pin or a session needs stay.
    """
    retention = parse_retention(keep, keep_bytes, keep_chunks)
    return describe_retention((await context.services.streams.keep(uri, retention)).record.retention)


@operation
async def stream_pin(context: Context, uri: str, from_place: str, to_place: str, name: str) -> PinResult:
    """Keep the range from one place to another, whatever the stream's retention says, until it is unpinned.

    `name` is the pin's own in its stream. Places: start, head, -30s (before the head), sample:N.
    """
    services = context.services
    pin = parse_name(name, "a pin's name")
    found = await find_range(context, uri, from_place, to_place)
    hold = Hold(found.stream.uri, HolderKind.PIN, pin, found.from_sample, found.to_sample, time.time_ns())

    def add() -> None:
        with services.contents.marking():  # what is being marked at this moment would be gone and held
            services.catalog.keeping.add_pin(hold)

    await asyncio.to_thread(add)
    return describe_pin(hold)


@operation
async def stream_unpin(context: Context, uri: str, name: str) -> DoneResult:
    """Let go of a pinned range: from now on the stream's retention says what of it is kept."""
    services = context.services
    stream = services.streams.get(uri)
    removed = await asyncio.to_thread(services.catalog.keeping.remove_holds, stream.uri, HolderKind.PIN, name)
    if not removed:
        pins = await asyncio.to_thread(services.catalog.keeping.holds, stream.uri, HolderKind.PIN)
        there_are = f"there are {', '.join(pin.holder for pin in pins[:20])}" if pins else "there are none"
        raise NotFoundError(f"{stream.uri} has no pin {name!r}; {there_are}", uri=stream.uri, name=name)
    return DoneResult()


@operation
async def stream_pins(context: Context, uri: str) -> tuple[PinResult, ...]:
    """Give the pinned ranges of a stream, in order of their place."""
    stream = context.services.streams.get(uri)
    found = await asyncio.to_thread(context.services.catalog.keeping.holds, stream.uri, HolderKind.PIN)
    return tuple(describe_pin(hold) for hold in found)


@operation
async def stream_delete(context: Context, uri: str) -> DoneResult:
    """Delete a stream with all that it recorded; it must not record. What was cut out of it stays, by itself."""
    await context.services.streams.delete(uri)
    return DoneResult()


@operation
async def artifact_delete(context: Context, artifact_id: str) -> DoneResult:
    """Delete a slice, or another artifact that was made on request; the chunks that it held are its stream's again."""
    services = context.services

    def check_and_delete() -> None:
        artifact = services.catalog.artifact(artifact_id)
        if artifact.kind in ("definition", "manifest"):
            raise InvalidValueError(
                f"{artifact_id} is the {artifact.kind} of {artifact.stream_uri}, by which the store is made anew after "
                "damage; it goes with its stream",
                artifact_id=artifact_id,
            )
        if artifact.kind == "session":
            raise InvalidValueError(
                f"{artifact_id} is the document of {artifact.metadata.get('session_id')}; it goes with that, by "
                "'session delete'",
                artifact_id=artifact_id,
            )
        services.contents.remove_artifact(artifact_id)

    await asyncio.to_thread(check_and_delete)
    return DoneResult()


@operation(cancellable=True)
async def store_gc(context: Context, dry_run: bool = False) -> GarbageResult:
    """Remove now what is beyond the streams' retention, which also happens by itself all the time.

    With `dry_run` nothing is removed: the result tells what would be, and why. `held` is what is beyond the retention
    and stays, because a slice, a pin or a session needs it. What a cancelled one has removed is gone.
    """
    services = context.services
    planned = await asyncio.to_thread(plan, services.catalog)
    going = [run for run in planned if run.held_by is None]
    if not dry_run:
        context.check()
        going = await services.retention.collect(context.progress)
    return GarbageResult(
        dry_run=dry_run,
        chunks=sum(run.end_index - run.first_index for run in going),
        bytes=sum(run.bytes for run in going),
        removed=_described(going),
        held=tuple(
            HeldRun(
                run.uri,
                run.take_number,
                (run.first_sample, run.end_sample),
                run.end_index - run.first_index,
                run.bytes,
                run.reason.value,
                " ".join(run.held_by),
            )
            for run in planned
            if run.held_by is not None
        ),
    )


def _described(found: Iterable[DoomedRun]) -> tuple[GarbageRun, ...]:
    return tuple(
        GarbageRun(
            run.uri,
            run.take_number,
            (run.first_sample, run.end_sample),
            run.end_index - run.first_index,
            run.bytes,
            run.reason.value,
        )
        for run in found
    )
