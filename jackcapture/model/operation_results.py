"""What tells of the operations themselves; the field names are those that every door shows."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class OperationDescription:
    """An operation: its help, and JSON schemas (2020-12) of its arguments, an object, and of its result.

    One that is `cancellable` ends when its caller cancels it, and undoes its work.
    """

    name: str
    help: str
    cancellable: bool
    arguments: dict[str, Any]
    result: dict[str, Any]
