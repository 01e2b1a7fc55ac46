"""Operations that tell how things are, and the one that ends them."""

import asyncio
import os

from jackcapture._version import VERSION
from jackcapture.control.jack_presence import engine_with_jack
from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.operations.sessions import session_list
from jackcapture.control.operations.streams import describe_known_streams, reachable_engine
from jackcapture.model.results import (
    DoneResult,
    HttpResult,
    JackResult,
    PortResult,
    ProcessResult,
    StatusResult,
    StoreResult,
)
from jackcapture.model.times import iso
from jackcapture.processes.http_door import read_address
from jackcapture.protocol.messages import EngineState, PortList, PortsRequest


@operation
async def status(context: Context) -> StatusResult:
    """Give the state of JACK, engine, control, streams, sessions and store."""
    services = context.services
    engine = await reachable_engine(context)
    streams, sessions, store = await asyncio.gather(
        describe_known_streams(context, services.streams.all(), engine), session_list(context), store_status(context)
    )
    return StatusResult(
        jack=_jack(context, engine),
        engine=None if engine is None else ProcessResult(engine.pid, iso(engine.since_ns), engine.version),
        control=ProcessResult(os.getpid(), iso(services.started_at_ns), VERSION),
        streams=streams,
        sessions=sessions,
        store=store,
        warnings=(*(() if engine is None else engine.warnings), *services.disks.warnings()),
        http=_http(services.settings.runtime),
    )


@operation
async def store_status(context: Context) -> StoreResult:
    """Give where the store is, what it holds, and how long its space lasts at the present rate."""
    services = context.services
    report, stored = await asyncio.gather(
        services.disks.look(), services.reads.read("bytes", services.catalog.stored_bytes)
    )
    return StoreResult(
        root=services.store.root,
        uuid=services.store.uuid,
        bytes=stored,
        free_bytes=report.free_bytes,
        seconds_left=None if report.seconds_left is None else round(report.seconds_left, 1),
        disk_low=report.low is not None,
    )


@operation
async def ports(context: Context, pattern: str = "") -> tuple[PortResult, ...]:
    """List the ports of the JACK graph whose name matches a regular expression (empty: all)."""
    await engine_with_jack(context.services.link)
    found = await context.services.link.request(PortsRequest(pattern), PortList)
    return tuple(
        PortResult(
            name=port.name,
            type=port.type.value,
            direction="output" if port.is_output else "input",
            physical=port.is_physical,
            connections=port.connections,
            aliases=port.aliases,
        )
        for port in found.ports
    )


@operation
async def shutdown(context: Context) -> DoneResult:
    """Stop all recordings, seal them, and end engine and control."""
    context.services.end_soon()
    return DoneResult()


def _http(runtime: str) -> HttpResult | None:
    found = read_address(runtime)
    return None if found is None else HttpResult(found["url"], found["token_file"])


def _jack(context: Context, engine: EngineState | None) -> JackResult:
    if engine is None or not engine.connected:
        return JackResult(context.services.settings.server, running=False, sample_rate=None, period=None, xruns=0)
    return JackResult(engine.server, True, engine.sample_rate, engine.period, engine.xruns)
