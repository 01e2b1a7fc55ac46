"""The server: the same over stdio and HTTP, in both protocol eras."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, ListToolsResult, PaginatedRequestParams

from jackcapture._version import VERSION
from jackcapture.errors import JackCaptureError
from jackcapture.mcp.calls import call_tool
from jackcapture.mcp.door import Door, open_door
from jackcapture.mcp.offers import offered_tools
from jackcapture.mcp.prompts import get_prompt, list_prompts
from jackcapture.mcp.resources import list_resources, list_templates, read_resource
from jackcapture.mcp.subscriptions import Subscriptions

INSTRUCTIONS = """\
jackcapture records whatever is patched into JACK, as an endless tape: named streams of audio and MIDI, exact to the \
frame, while they go on. Begin with status. The usual way: ports, to find what to record; stream_create with those \
ports as sources; stream_start, or a session (session_create, session_play) for streams that belong together; grab for \
what was just played, or stream_slice for a range; stream_waveform to look, artifact_read to listen.
Streams are named in full, as stream://<device>/<name>; ids are full, too, and nothing is guessed from a part of one. \
Places: head, -30s, sample:N, take:2.start, mark:NAME, bar:17, a wall clock time. Ranges are sample positions [from, \
to). A gap is a place where frames were lost: tell the user of each.
An error says what was wrong and what would be right. unreachable means that the recorder or JACK does not run: ask \
the user to start it. Never stop a recording that the user did not ask you to stop."""


def make_server(runtime: str | None, config: str | None) -> "Server[Door]":
    """Make a server for the control in `runtime`, which need not run yet; it connects when it is run."""
    subscriptions = Subscriptions()

    @contextlib.asynccontextmanager
    async def lifespan(_: "Server[Door]") -> AsyncIterator[Door]:
        async with open_door(runtime, config) as door, subscriptions.watching(door):
            yield door

    return Server(
        "jackcapture",
        version=VERSION,
        title="jackcapture",
        description="An endless tape for JACK.",
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        get_tool_input_schema=lambda name: None,  # no argument of ours travels in a header
        on_list_tools=_list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=subscriptions.subscribe,
        on_unsubscribe_resource=subscriptions.unsubscribe,
        on_subscriptions_listen=subscriptions.listen,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


async def _list_tools(
    context: ServerRequestContext[Door, Any], params: PaginatedRequestParams | None
) -> ListToolsResult:
    try:
        return ListToolsResult(tools=offered_tools(await context.lifespan_context.operations()))
    except JackCaptureError as error:
        raise MCPError(INTERNAL_ERROR, f"{error.code}: {error.message}", error.as_json()["error"]) from None
