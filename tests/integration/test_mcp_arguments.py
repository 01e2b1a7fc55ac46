"""What agents say wrong: every tool, with missing, wrong-typed, extreme and hostile arguments; nothing comes of it."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from mcp import Client

from jackcapture.errors import BY_CODE
from jackcapture.mcp.tools import TOOLS
from parts.agents import agent, text_of
from parts.jackd import JackServer
from parts.rig import RigProcess

pytestmark = pytest.mark.realtime

URI = "stream://desk/main"
NEW = "stream://desk/new"

VALID: dict[str, dict[str, Any]] = {
    "status": {},
    "ports": {},
    "stream_create": {"uri": NEW, "channels": 2},
    "stream_start": {"uris": [URI]},
    "stream_stop": {"uris": [URI]},
    "stream_status": {"uri": URI},
    "stream_slice": {"uri": URI, "from_place": "start", "to_place": "head"},
    "grab": {"duration": "1s", "uris": [URI]},
    "stream_waveform": {"uri": URI, "from_place": "start", "to_place": "head"},
    "session_create": {"streams": [URI]},
    "session_play": {"session_id": "session-0"},
    "session_stop": {"session_id": "session-0"},
    "session_status": {"session_id": "session-0"},
    "session_mark": {"session_id": "session-0", "name": "solo"},
    "session_export": {"session_id": "session-0", "out": "/nowhere/out"},
    "session_templates": {},
    "session_request": {"session_id": "session-0", "notes": [{"note": 60}]},
    "suggestion_list": {},
    "suggestion_accept": {"suggestion_id": "suggestion-0"},
    "suggestion_dismiss": {"suggestion_id": "suggestion-0"},
    "doctor": {},
    "artifact_list": {},
    "artifact_tag": {"artifact_id": "slice-0", "tags": ["keeper"]},
    "artifact_read": {"artifact_id": "slice-0"},
    "artifact_save": {"artifact_id": "slice-0", "path": "/nowhere/out"},
    "transport_status": {},
    "transport_start": {},
    "transport_stop": {},
    "transport_locate": {"place": "start"},
    "midi_send": {"events": [{"ms": 0.0, "data": "90 40 40"}]},
}
"""Arguments of which each by itself could be right: what is wrong is then what a test changes."""

NEAR = "stream://desk/mai"
"""Nearly the name of a stream that there is: nothing may take it for that."""

HOSTILE = [
    "",
    " ",
    "stream://DESK/main",
    NEAR,
    "stream://desk/main/",
    "stream://desk/../desk/main",
    "../../../etc/passwd",
    "\x00",
    "\ud800",
    "'; DROP TABLE streams; --",
    "$(touch /tmp/pwned)",
    "%s%n{0.__class__}",
    "a" * 100_000,
    "(" * 5_000,
]

FREE = {
    ("session_create", "name"),
    ("stream_create", "device_identity"),
    ("stream_create", "sources"),  # of a port that comes later
    ("stream_create", "keep_bytes"),
    ("midi_send", "to"),
}
"""Arguments that may be any text, or nearly any: what is right there is for the operation's own tests."""

WRONG: dict[str, list[Any]] = {
    "string": [7, 1.5, True, [], {}],
    "integer": ["1", 1.5, True, [], {}, -1, 1 << 63, 10**30],
    "number": ["1", [], {}, -1.0, 1e300],
    "boolean": ["true", 1, 0, []],
    "array": ["stream://desk/main", {}, [7], [None], [[]], 3],
    "object": ["{}", [], 7],
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RigProcess]:
    """A rig with one stream, which does not record and has nothing yet."""
    with JackServer() as server, RigProcess(tmp_path_factory.mktemp("said"), server, None, {}) as rig:
        with rig.client() as client:
            client.call("stream_create", uri=URI, channels=1)
        yield rig


def kinds_of(schema: dict[str, Any]) -> set[str]:
    return {part["type"] for part in schema.get("anyOf", [schema]) if "type" in part} | (
        {"object"} if any("$ref" in part for part in schema.get("anyOf", [schema])) else set()
    )


def mistakes(tool: str, schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Give arguments with one mistake each, and what the error must name."""
    valid = VALID[tool]
    yield {**valid, "please": "yes"}, "please"
    yield {**valid, **{f"x{n}": n for n in range(3000)}}, "more arguments"
    for name in schema.get("required", []):
        yield {key: value for key, value in valid.items() if key != name}, name
    for name, described in schema["properties"].items():
        kinds = kinds_of(described)
        if "null" not in kinds:
            yield {**valid, name: None}, name
        accepted = {"integer", "number"} & kinds
        for kind in kinds - {"null"}:
            for value in WRONG[kind]:
                fits = {"string": str, "integer": int, "boolean": bool, "array": list}
                if any(type(value) is fits.get(other) for other in kinds - {kind}):
                    continue
                is_extreme = isinstance(value, int | float) and not isinstance(value, bool) and bool(accepted)
                yield {**valid, name: value}, "" if is_extreme else name


async def snapshot(client: Client) -> Any:
    """Give all that an agent could have changed."""
    found: list[Any] = []
    for tool in ("artifact_list", "ports"):
        answer: Any = (await client.call_tool(tool, {})).structured_content
        found += answer["result"]
    status: Any = (await client.call_tool("status", {})).structured_content
    found += [*status["streams"], *status["sessions"]]
    for it in found:
        it.pop("ring_fill", None), it.pop("xruns", None)
    return found


async def refused(client: Client, tool: str, arguments: dict[str, Any], named: str) -> None:
    answer = await client.call_tool(tool, arguments)
    shown = f"{tool} {sorted(arguments)}, {named!r}: {text_of(answer)[:500]}"
    assert answer.is_error, f"not refused: {shown}"
    error = answer.structured_content["error"]
    assert text_of(answer).startswith(f"{error['code']}: {error['message']}"), shown
    assert error["code"] in BY_CODE, shown
    assert error["code"] not in ("internal", "storage", "unreachable"), shown
    assert named in error["message"], shown
    assert 10 < len(error["message"]) < 5000, shown


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_a_mistake_in_the_arguments_is_told_and_changes_nothing(rig: RigProcess, tool: str) -> None:
    async def work() -> None:
        async with agent(rig, "process", "2026-07-28") as client:
            offered = {it.name: it for it in (await client.list_tools()).tools}[tool]
            before = await snapshot(client)
            for arguments, named in mistakes(tool, offered.input_schema):
                await refused(client, tool, arguments, named)
            for name, described in offered.input_schema["properties"].items():
                kinds = kinds_of(described)
                if (tool, name) in FREE or not kinds & {"string", "array"}:
                    continue
                for text in HOSTILE:
                    if (tool, name, text) == ("stream_create", "uri", NEAR):
                        continue  # there it is right
                    arguments = {**VALID[tool], name: hostile(described, text)}
                    answer = await client.call_tool(tool, arguments)
                    shown = f"{tool} {name}={text[:60]!r}: {text_of(answer)[:300]}"
                    assert answer.is_error or TOOLS[tool].reads_only, f"not refused: {shown}"
                    if answer.is_error:
                        assert answer.structured_content["error"]["code"] not in ("internal", "storage"), shown
            assert await snapshot(client) == before

    anyio.run(work)
    assert "Traceback" not in rig.log


def hostile(described: dict[str, Any], text: str) -> Any:
    if "string" in kinds_of(described):
        return text
    items = next(part["items"] for part in described.get("anyOf", [described]) if "items" in part)
    return [{"ms": 0.0, "data": text}] if "$ref" in items else [text]


def test_every_tool_has_valid_arguments_here() -> None:
    assert set(VALID) == set(TOOLS)


def test_what_no_message_can_carry_is_refused_before_it_is_sent(rig: RigProcess) -> None:
    async def work() -> None:
        async with agent(rig, "process", "2026-07-28") as client:
            await refused(client, "ports", {"pattern": "a" * (5 << 20)}, "at most")
            await refused(client, "artifact_list", {"limit": 10**5000}, "artifact_list")
            deep: Any = "x"
            for _ in range(200):  # the SDK's own client sends no more
                deep = [deep]
            await refused(client, "ports", {"pattern": deep}, "ports")
            assert not (await client.call_tool("status", {})).is_error

    anyio.run(work)
