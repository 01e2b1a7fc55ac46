"""Addresses in the content-addressed store."""

import re
from dataclasses import dataclass

from jackcapture.errors import InvalidValueError

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


def _check(kind: str, text: str) -> None:
    if _HEX.fullmatch(text) is None:
        raise InvalidValueError(f"{text!r} is not a {kind}: it must be 64 of the digits 0-9 and a-f")


@dataclass(frozen=True, slots=True, order=True)
class Content:
    """Immutable bytes, named by their BLAKE3 hash (64 hex digits)."""

    hash: str

    def __post_init__(self) -> None:
        _check("content hash", self.hash)


@dataclass(frozen=True, slots=True, order=True)
class Staging:
    """A file that is being written, named by the BLAKE3 hash of random bytes, so that addresses look alike."""

    id: str

    def __post_init__(self) -> None:
        _check("staging id", self.id)


@dataclass(frozen=True, slots=True, order=True)
class StagingOverview:
    """The overview of a staging chunk, beside it: it has the id of the chunk, and lives as long as that name."""

    id: str

    def __post_init__(self) -> None:
        _check("staging id", self.id)


CasAddress = Content | Staging | StagingOverview


def staging_of(path: str) -> Staging:
    """Give the address of the staging file at a path; raises `InvalidValueError` if its name is none."""
    return Staging(path.rpartition("/")[2])
