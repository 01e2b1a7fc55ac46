"""Loads the schemas, each once: pycapnp ends the process when a file ID is loaded twice."""

import importlib.resources
from typing import Any

import capnp

NAMES = ("common", "streams", "envelope", "broadcast")


def _load() -> dict[str, Any]:
    parser = capnp.SchemaParser()
    with importlib.resources.as_file(importlib.resources.files("jackcapture._schemas")) as folder:
        return {name: parser.load(str(folder / f"{name}.capnp"), imports=[str(folder)]) for name in NAMES} | {
            "parser": parser
        }  # the parser owns what it loaded


_loaded = _load()

common: Any = _loaded["common"]
streams: Any = _loaded["streams"]
envelope: Any = _loaded["envelope"]
broadcast: Any = _loaded["broadcast"]

PROTOCOL_VERSION: int = common.protocolVersion
