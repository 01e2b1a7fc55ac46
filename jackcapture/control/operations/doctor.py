"""The operation that examines the machine, with what control knows of streams and JACK."""

from jackcapture.control.operations.registry import Context, operation
from jackcapture.control.operations.streams import reachable_engine
from jackcapture.doctor import Circumstances, JackFacts, StreamFacts, examine, report
from jackcapture.errors import UnreachableError
from jackcapture.model.results import DoctorResult
from jackcapture.model.streams import AudioFormat
from jackcapture.protocol.messages import EngineState, PortList, PortsRequest


@operation(cancellable=True)
async def doctor(context: Context) -> DoctorResult:
    """Look for what would cost samples on this machine, each finding with its remedy.

    Limits, shared memory, processors, clock, JACK, and the store's disk, to which it writes for up to some seconds.
    """
    services = context.services
    settings = services.settings
    engine = await reachable_engine(context)
    circumstances = Circumstances(
        root=settings.root,
        runtime=settings.runtime,
        server=settings.server,
        ring_directory=settings.rings,
        ring_seconds=settings.ring_seconds,
        is_running=True,
        engine_pid=None if engine is None else engine.pid,
        jack=await _jack(context, engine),
        streams=tuple(
            StreamFacts(stream.uri, stream.definition.format.byte_rate)
            for stream in services.streams.all()
            if isinstance(stream.definition.format, AudioFormat)
        ),
        warnings=(*(() if engine is None else engine.warnings), *services.disks.warnings()),
    )
    return await context.cut(lambda: report(examine(circumstances, context.check)))


async def _jack(context: Context, engine: EngineState | None) -> JackFacts | None:
    if engine is None or not engine.connected:
        return None
    try:
        ports = (await context.services.link.request(PortsRequest(), PortList)).ports
    except UnreachableError:
        return None
    clients = {port.name.partition(":")[0] for port in ports} - {engine.client_name}
    return JackFacts(engine.server, engine.sample_rate, engine.period, engine.xruns, tuple(sorted(clients)))
