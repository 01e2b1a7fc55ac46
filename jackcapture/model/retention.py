"""How much of a stream is kept, what keeps more than that, and why something is not there any more."""

import enum
from dataclasses import dataclass

from jackcapture.errors import InvalidValueError
from jackcapture.model.addresses import Content
from jackcapture.model.streams import StreamDefinition
from jackcapture.model.uris import StreamUri

_LARGEST = 2**63 - 1  # of an integer in the catalog


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a stream is kept, at most: what any of the limits leaves out goes, oldest first, in whole chunks.

    `keep_ns` counts recorded time back from the newest sealed sample: what a stopped stream has does not grow old, and
    a clock that is set wrong removes nothing. `keep_bytes` and `keep_chunks` count the newest sealed chunks.
    """

    keep_ns: int | None = None
    keep_bytes: int | None = None
    keep_chunks: int | None = None

    def __post_init__(self) -> None:
        for what, value in (("time", self.keep_ns), ("bytes", self.keep_bytes), ("chunks", self.keep_chunks)):
            if value is not None and not 1 <= value <= _LARGEST:
                raise InvalidValueError(f"a retention of {value} {what}: it must be from 1 to {_LARGEST}")

    @property
    def is_limited(self) -> bool:
        """Whether anything is ever removed because of it."""
        return self != KEEP_ALL

    def check_for(self, definition: StreamDefinition) -> None:
        """Raise `InvalidValueError` if the stream could not keep one chunk."""
        if self.keep_bytes is not None and self.keep_bytes < definition.chunk_size_bytes:
            raise InvalidValueError(
                f"{definition.uri}: to keep {self.keep_bytes} bytes is less than one chunk of "
                f"{definition.chunk_size_bytes}; keep at least that, or use smaller chunks in another stream",
                keep_bytes=self.keep_bytes,
                chunk_size_bytes=definition.chunk_size_bytes,
            )


KEEP_ALL = Retention()


class RemovalReason(enum.StrEnum):
    """Why chunks are not there any more."""

    KEEP_TIME = "keep"
    KEEP_BYTES = "keep_bytes"
    KEEP_CHUNKS = "keep_chunks"
    DELETED = "deleted"  # with their stream
    LOST = "lost"  # with the power, before they were sealed; or they were missing when the catalog was made anew


class HolderKind(enum.StrEnum):
    """What holds chunks."""

    ARTIFACT = "artifact"
    PIN = "pin"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Hold:
    """A range `[from_sample, to_sample)` of a stream whose chunks are not removed; `holder` names who holds it."""

    uri: StreamUri
    kind: HolderKind
    holder: str
    from_sample: int
    to_sample: int
    created_at_ns: int


@dataclass(frozen=True, slots=True)
class Removal:
    """A run of chunks `[first_index, end_index)` of a take, with its sample positions, that is not there any more."""

    take_number: int
    first_index: int
    end_index: int
    first_sample: int
    end_sample: int
    reason: RemovalReason
    removed_at_ns: int


@dataclass(frozen=True, slots=True)
class Doomed:
    """A sealed chunk that is beyond its stream's retention."""

    uri: StreamUri
    take_number: int
    index: int
    first_sample: int
    end_sample: int
    bytes: int  # with its overview
    contents: tuple[Content, ...]
    reason: RemovalReason
    held_by: tuple[HolderKind, str] | None  # a holder because of which it stays
