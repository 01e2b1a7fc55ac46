"""What agents are offered: every operation is a tool or has a reason not to be, and the documents tell of each."""

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import Tool

from jackcapture.control.operations import OPERATIONS
from jackcapture.control.operations.introspection import describe_operations
from jackcapture.control.result_json import as_json
from jackcapture.mcp import contents
from jackcapture.mcp.contents import link, shortened
from jackcapture.mcp.offers import object_schema, offered_tools
from jackcapture.mcp.prompts import PROMPTS
from jackcapture.mcp.server import make_server
from jackcapture.mcp.tools import ARGUMENTS, NOT_TOOLS, TOOLS
from jackcapture.model.results import GapResult, SliceResult, WallClockRange

ROOT = Path(__file__).parents[2]
DESCRIBED = as_json(describe_operations())
OFFERED: dict[str, Tool] = {tool.name: tool for tool in offered_tools(DESCRIBED)}


def test_every_operation_is_a_tool_or_has_a_reason_why_not() -> None:
    assert set(TOOLS) | set(NOT_TOOLS) == set(OPERATIONS)
    assert not set(TOOLS) & set(NOT_TOOLS)
    assert all(NOT_TOOLS.values())
    assert list(OFFERED) == list(TOOLS)
    assert len(TOOLS) <= 30


def test_the_document_has_every_tool_and_what_it_does() -> None:
    text = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([a-z_]+)` \| (reads|makes|acts) \|", text, re.MULTILINE))
    does = {
        name: "acts" if entry.open_world else "reads" if entry.reads_only else "makes" for name, entry in TOOLS.items()
    }
    assert told == does
    assert list(told) == list(TOOLS)
    assert all(f"`{name}`" in text for name in PROMPTS)


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_a_tool_says_when_to_use_it_and_what_it_does_to_the_world(name: str) -> None:
    tool, entry = OFFERED[name], TOOLS[name]
    assert tool.description is not None
    assert tool.description.startswith("Use ")
    assert OPERATIONS[name].help in tool.description
    hints = tool.annotations
    assert hints is not None
    assert None not in (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)
    assert (hints.destructive_hint, hints.read_only_hint) == (False, entry.reads_only)
    assert not (entry.reads_only and entry.open_world)
    assert tool.title == entry.title


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_the_schemas_are_schemas_and_strict(name: str) -> None:
    tool = OFFERED[name]
    jsonschema.Draft202012Validator.check_schema(tool.input_schema)
    assert tool.input_schema["additionalProperties"] is False
    assert set(tool.input_schema["properties"]) == set(OPERATIONS[name].arguments.model_fields)
    if tool.output_schema is not None:
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)
        assert tool.output_schema["type"] == "object"


def test_every_argument_that_is_explained_exists() -> None:
    known = {name for tool in OFFERED.values() for name in tool.input_schema["properties"]}
    assert set(ARGUMENTS) <= known


def test_a_result_has_the_fields_that_its_schema_names() -> None:
    made = SliceResult(
        artifact_id="slice-1", content_hash="ab" * 32, mime_type="audio/vnd.wave", bytes=44, stream_uri="stream://a/b",
        sample_range=(1, 2), sample_rate=48_000, channels=2, sample_format="f32", source_chunks=("cd",), takes=(1,),
        gaps=(GapResult(1, 1, "xrun"),), wall_clock=WallClockRange("t0", "t1", 0.1),
    )  # fmt: skip
    described = {it["name"]: it["result"] for it in DESCRIBED}
    check = jsonschema.Draft202012Validator(described["stream_slice"])
    check.validate(as_json(made))
    assert "from" in described["stream_slice"]["$defs"]["WallClockRange"]["properties"]
    with pytest.raises(jsonschema.ValidationError):
        check.validate({**as_json(made), "sample_range": [1]})
    with pytest.raises(jsonschema.ValidationError):
        check.validate({key: value for key, value in as_json(made).items() if key != "virtual"})
    several = jsonschema.Draft202012Validator(object_schema(described["grab"]))
    several.validate({"result": [as_json(made)]})
    with pytest.raises(jsonschema.ValidationError):
        several.validate([as_json(made)])


def test_a_link_tells_what_a_virtual_slice_stands_for() -> None:
    virtual = {
        "artifact_id": "slice-1",
        "mime_type": "x",
        "bytes": 5,
        "rendered_type": "audio/flac",
        "rendered_bytes": 9,
    }
    found = link(virtual)
    assert (found.uri, found.mime_type, found.size) == ("jackcapture://artifacts/slice-1/content", "audio/flac", 9)


def test_lists_that_no_client_would_take_are_cut() -> None:
    short = {"a": [1, 2, 3]}
    assert shortened(short) == (short, None)
    long = {"name": "x", "inner": {"chunks": ["a" * 64] * 100_000}, "few": [1, 2]}
    cut, items = shortened(long)
    assert items is not None
    assert cut["inner"]["chunks"] == ["a" * 64] * items
    assert (cut["name"], cut["few"]) == ("x", [1, 2])
    assert len(json.dumps(cut)) <= contents.MAX_RESULT
    assert "cut to their first" in contents.as_text(cut, items).text


@pytest.mark.parametrize("path", sorted((ROOT / "contrib" / "mcp").glob("*.json")), ids=lambda path: path.name)
def test_the_ready_configurations_name_what_there_is(path: Path) -> None:
    (servers,) = json.loads(path.read_text(encoding="utf-8")).values()
    assert list(servers) == ["jackcapture"]
    server: dict[str, Any] = servers["jackcapture"]
    assert f"({'../contrib/mcp/' + path.name})" in (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
    if "url" in server:
        from jackcapture.settings import Settings

        defaults = Settings(root="/r", runtime="/r")
        assert server["url"] == f"http://{defaults.http_host}:{defaults.http_port}/mcp"
        assert server["headers"]["Authorization"].startswith("Bearer ${")
        return
    assert server["command"] == "jackcapture"
    assert "Serve MCP over standard input" in help_of(*server["args"])


@functools.cache
def help_of(*arguments: str) -> str:
    command = [sys.executable, "-c", "from jackcapture.cli.main import main; main()", *arguments, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_other_commands_do_not_wait_for_the_sdk() -> None:
    look = (
        "import sys, jackcapture.cli.main, jackcapture.client, jackcapture.processes.http_door;"
        "print([it for it in ('mcp', 'mcp_types', 'starlette', 'uvicorn', 'pydantic', 'numpy') if it in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_without_control_everything_is_listed_and_calls_say_what_to_start(tmp_path: Path) -> None:
    async def work() -> None:
        for era in ("2026-07-28", "legacy"):
            async with Client(make_server(str(tmp_path), None), mode=era, cache=None) as client:
                if era == "legacy":  # it takes a process of control's
                    assert [tool.name for tool in (await client.list_tools()).tools] == list(TOOLS)
                assert len((await client.list_resources()).resources) == 4
                assert len((await client.list_resource_templates()).resource_templates) == 5
                answer = await client.call_tool("status", {})
                assert answer.is_error
                assert answer.structured_content["error"]["code"] == "unreachable"
                assert "jackcapture up" in answer.content[0].text  # type: ignore[union-attr]
                with pytest.raises(MCPError, match="no tool 'statsu'; there are status, ports"):
                    await client.call_tool("statsu", {})
                with pytest.raises(MCPError, match="unreachable"):
                    await client.read_resource("jackcapture://status")

    tmp_path.chmod(0o700)
    anyio.run(work)


def test_a_prompt_has_its_arguments_in_its_text_and_names_tools_that_exist(tmp_path: Path) -> None:
    async def work() -> None:
        async with Client(make_server(str(tmp_path), None), mode="2026-07-28", cache=None) as client:
            listed = {it.name: it for it in (await client.list_prompts()).prompts}
            assert list(listed) == list(PROMPTS)
            for name, prompt in listed.items():
                given = {it.name: f"<{it.name} {{x}}>" for it in prompt.arguments or ()}
                text = (await client.get_prompt(name, given)).messages[0].content.text  # type: ignore[union-attr]
                assert all(value in text for value in given.values())
                named = set(re.findall(r"\b(?:stream|session|artifact|midi)_[a-z]+\b", PROMPTS[name].text))
                assert named <= set(TOOLS) | {"session_id"}
                required = [it.name for it in prompt.arguments or () if it.required]
                if required:
                    with pytest.raises(MCPError, match=f"missing {', '.join(required)}"):
                        await client.get_prompt(name, {})
                with pytest.raises(MCPError, match="unknown please"):
                    await client.get_prompt(name, {**given, "please": "yes"})
            with pytest.raises(MCPError, match="no prompt 'nothing'"):
                await client.get_prompt("nothing", {})

    tmp_path.chmod(0o700)
    anyio.run(work)
