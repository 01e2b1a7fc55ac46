"""Session templates as text for people."""

import json
import textwrap
from typing import Any

from jackcapture.cli.text import table


def templates(results: list[dict[str, Any]]) -> None:
    """Print templates as a table, and below it what is wrong with some."""
    rows = [("TEMPLATE", "MODE", "STREAMS", "FROM", "DESCRIPTION")]
    for result in results:
        broken = result["error"] is not None
        origin = result["origin"] + (", replaces the shipped one" if result["replaces_shipped"] else "")
        rows.append(
            (
                result["name"],
                "" if broken else result["mode"],
                "" if broken else str(len(result["streams"])),
                origin,
                "cannot be used" if broken else result["description"],
            )
        )
    table(rows)
    for result in results:
        if result["error"] is not None:
            print(f"{result['name']}: {result['error']}")


def template(results: list[dict[str, Any]]) -> None:
    """Explain one template."""
    (result,) = results
    print(f"{result['name']} ({result['origin']}): {result['path']}")
    if result["error"] is not None:
        print(f"  cannot be used: {result['error']}")
        return
    print(f"  {result['description']}")
    for line in textwrap.dedent(result["about"]).strip().splitlines():
        print(f"  {line}".rstrip())
    print(f"mode {result['mode']}")
    for key, value in result["settings"].items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for part, found in parts:
            print(f"  {key}{'.' if part else ''}{part} = {json.dumps(found)}")
    for stream in result["streams"]:
        _stream(stream)


def _stream(stream: dict[str, Any]) -> None:
    kind = "MIDI" if stream["midi"] else f"{stream['channels']} channels"
    details = [kind, *(f"{key} {stream[key]}" for key in _DETAILS if stream[key] is not None)]
    print(f"{stream['uri']}: {', '.join(details)}")
    for source in stream["sources"]:
        print(f"  <- {source}")


_DETAILS = ("format", "sample_rate", "chunk_size_bytes", "device_identity", "keep", "keep_bytes", "keep_chunks")
