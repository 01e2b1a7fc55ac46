"""What needs JACK waits a moment for it: it may be coming just now, as in a script that starts both."""

import asyncio
import time

from jackcapture.control.engine_link import EngineLink
from jackcapture.errors import UnreachableError
from jackcapture.protocol.messages import EngineState, PortList, PortsRequest, StateRequest

JACK_SECONDS = 1.0
"""How long JACK may take to come: twice as long as the engine waits at most before it looks for it again."""

_LOOK_SECONDS = 0.05

NO_STREAMS = StateRequest(uris=("",))
"""Asks for the engine's state without streams: none has this name, so the answer is short."""

_NO_PORTS = PortsRequest("^$")


async def engine_with_jack(link: EngineLink, consequence: str = "") -> EngineState:
    """Give the engine's state, without streams, once it has its JACK server, for which it may take a moment.

    Raises `UnreachableError`: that the engine does not answer, or why it has no JACK server, with the consequence.
    """
    deadline = time.monotonic() + JACK_SECONDS
    while not (engine := await link.request(NO_STREAMS, EngineState)).connected:
        if time.monotonic() > deadline:
            try:  # the engine looks once more before it says why
                await link.request(_NO_PORTS, PortList)
            except UnreachableError as error:
                raise UnreachableError(f"{error.message}{consequence}", **error.details) from None
        await asyncio.sleep(_LOOK_SECONDS)
    return engine
