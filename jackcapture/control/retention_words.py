"""How much of a stream is kept, as users write it."""

from typing import Annotated, Any

import pydantic

from jackcapture.errors import InvalidValueError
from jackcapture.model.durations import parse_duration
from jackcapture.model.retention import Retention

_BYTES = pydantic.TypeAdapter(Annotated[int, pydantic.ByteSize])


def parse_retention(keep: str | None, keep_bytes: str | int | None, keep_chunks: int | None) -> Retention:
    """Read a retention as users write it; raises `InvalidValueError`."""
    return Retention(
        None if keep is None else parse_duration(keep),
        None if keep_bytes is None else parse_bytes(keep_bytes),
        keep_chunks,
    )


def parse_bytes(size: Any) -> int:
    """Read a size, such as 50GB or a number of bytes; raises `InvalidValueError`."""
    try:
        if isinstance(size, bool):
            raise TypeError
        return int(_BYTES.validate_python(size))
    except (pydantic.ValidationError, TypeError):
        raise InvalidValueError(
            f"{size!r} is not a size: it must be such as 50GB, 2GiB, 800MB or a number of bytes", size=size
        ) from None
