"""The tools as clients are told of them: what control says of its operations, and what tools.py adds."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from mcp_types import Tool, ToolAnnotations

from jackcapture.mcp.tools import ARGUMENTS, TOOLS, Shows, ToolEntry


def offered_tools(operations: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """Give the tools among the operations that control describes, as `operation_list` gives them."""
    described = {operation["name"]: operation for operation in operations}
    return [_tool(described[name], entry) for name, entry in TOOLS.items() if name in described]


def object_schema(result: Mapping[str, Any]) -> dict[str, Any]:
    """Give the schema of a result as structured content, which must be an object: a list stands under `result`."""
    if result.get("type") == "object":
        return dict(result)
    inner = {key: value for key, value in result.items() if key != "$defs"}
    wrapped = {
        "type": "object",
        "properties": {"result": inner},
        "required": ["result"],
        "additionalProperties": False,
    }
    return wrapped | ({"$defs": result["$defs"]} if "$defs" in result else {})


def _tool(operation: Mapping[str, Any], entry: ToolEntry) -> Tool:
    return Tool(
        name=operation["name"],
        title=entry.title,
        description=f"{entry.when}\n\n{operation['help']}",
        input_schema=_with_help(operation["arguments"]),
        output_schema=None if entry.shows is Shows.CONTENT else object_schema(operation["result"]),
        annotations=ToolAnnotations(
            title=entry.title,
            read_only_hint=entry.reads_only,
            destructive_hint=entry.destroys,
            idempotent_hint=entry.is_idempotent,
            open_world_hint=entry.open_world,
        ),
    )


def _with_help(arguments: Mapping[str, Any]) -> dict[str, Any]:
    schema = copy.deepcopy(dict(arguments))
    for name, described in schema.setdefault("properties", {}).items():
        if name in ARGUMENTS:
            described.setdefault("description", ARGUMENTS[name])
    return schema
