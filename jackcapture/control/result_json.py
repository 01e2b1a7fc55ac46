"""Results as JSON values, the same at every door."""

import dataclasses
import functools
from typing import Any


def as_json(value: Any) -> Any:
    """Turn a result into JSON values; `from_` becomes `from`, which Python does not allow as a name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {there: as_json(getattr(value, here)) for here, there in _names(type(value))}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value


def shown_name(name: str) -> str:
    """Give the name under which doors show a field."""
    return name.rstrip("_")


@functools.cache
def _names(kind: type) -> tuple[tuple[str, str], ...]:
    return tuple((field.name, shown_name(field.name)) for field in dataclasses.fields(kind))
