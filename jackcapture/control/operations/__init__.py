"""The operations: each thing that a user can do, once, as a typed function. Doors call them by name.

An operation is an `async def name(context, ...)` with `@operation`; its arguments are checked against its annotations,
its docstring is its help, its result is a dataclass of model/results.py (or a tuple of them).
"""

from jackcapture.control.operations import (
    artifacts,
    clocks,
    doctor,
    exports,
    introspection,
    keeping,
    maintenance,
    midi,
    overviews,
    requests,
    sessions,
    slices,
    status,
    streams,
    suggestions,
    templates,
    transport,
)
from jackcapture.control.operations.registry import OPERATIONS, Context, call, operation

__all__ = [
    "OPERATIONS",
    "Context",
    "artifacts",
    "call",
    "clocks",
    "doctor",
    "exports",
    "introspection",
    "keeping",
    "maintenance",
    "midi",
    "operation",
    "overviews",
    "requests",
    "sessions",
    "slices",
    "status",
    "streams",
    "suggestions",
    "templates",
    "transport",
]
