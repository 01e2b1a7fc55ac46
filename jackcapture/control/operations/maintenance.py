"""Operations that look after the store."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from jackcapture.control.maintenance.check import check_store
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.operations.registry import Context, operation
from jackcapture.errors import OperationCancelledError, UnreachableError
from jackcapture.model.results import CheckResult

STAGING_AGE_NS = 60 * 10**9
"""How old a staging file that nobody has must be to be called orphaned: slices are made there, and named later."""


@operation(cancellable=True)
async def store_check(context: Context, read_data: bool = False) -> CheckResult:
    """Look for damage in the store, while recording and slicing go on: each problem with its kind and address.

    With `read_data`, every byte in the store is read and compared with the hash that is its name.
    """
    services = context.services
    loop = asyncio.get_running_loop()

    async def in_use() -> frozenset[str] | None:
        try:
            used = await services.streams.staging_in_use(await services.engine_state())
        except UnreachableError:
            return None
        return None if used is None else frozenset(staging.id for staging in used)

    def is_to_end() -> bool:
        try:
            context.check()
        except OperationCancelledError:
            return True
        return services.is_ending()

    place = CheckPlace(
        services.store.root,
        progress=context.progress,
        is_cancelled=is_to_end,
        check=context.check,
        settled=services.contents.settled,
        staging_in_use=lambda: asyncio.run_coroutine_threadsafe(in_use(), loop).result(),
        staging_age_ns=STAGING_AGE_NS,
    )
    # A thread of its own: it may take hours, and slices must not wait for it.
    thread = ThreadPoolExecutor(1, thread_name_prefix="check")
    try:
        return await loop.run_in_executor(thread, lambda: check_store(place, read_data=read_data))
    finally:
        thread.shutdown(wait=False)
