"""The one error tree.

Every error that a user can meet is one of these. Each has a stable code, the same in Python, in JSON, on the
ZeroMQ sockets and as the command line's exit status::

    JackCaptureError          internal            1   a defect of ours, or something nobody foresaw
    ├── InvalidValueError     invalid_value       2   an argument, a message or a file does not hold up
    ├── NotFoundError         not_found           3   the thing named does not exist
    ├── ConflictError         conflict            4   right in itself, but not in the present state
    ├── UnreachableError      unreachable         5   engine, control or JACK does not answer
    ├── OperationCancelledError cancelled         130 its caller wanted it no more, or has gone
    └── StorageError          storage             6   the store cannot be read or written
        ├── StorageFullError  storage_full        6   too little space for what was asked
        └── StorageDamagedError storage_damaged   6   what lies in the store is not what was put there

A message says what was wrong, with the value, and what would be right.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class JackCaptureError(Exception):
    """Base of all errors of jackcapture; by itself: a defect of ours (`internal`).

    `message` is for people; `details` (JSON values only) is for programs.
    """

    code: ClassVar[str] = "internal"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, /, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = details

    def as_json(self) -> dict[str, Any]:
        """Give the error in the one JSON shape that every door uses."""
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}


class InvalidValueError(JackCaptureError):
    """An argument, a message from outside or a file on disk does not hold up."""

    code = "invalid_value"
    exit_status = 2


class NotFoundError(JackCaptureError):
    """The stream, artifact, range or chunk that was named does not exist."""

    code = "not_found"
    exit_status = 3


class ConflictError(JackCaptureError):
    """What was asked is right in itself, but not in the present state."""

    code = "conflict"
    exit_status = 4


class UnreachableError(JackCaptureError):
    """Engine, control or the JACK server does not answer."""

    code = "unreachable"
    exit_status = 5


class OperationCancelledError(JackCaptureError):
    """The operation ended before it was done, because its caller wanted that or has gone; its work is undone."""

    code = "cancelled"
    exit_status = 130
    """What shells show of a command that was ended by Ctrl-C."""


class StorageError(JackCaptureError):
    """The store cannot be read or written."""

    code = "storage"
    exit_status = 6


class StorageFullError(StorageError):
    """There is too little space for what was asked."""

    code = "storage_full"


class StorageDamagedError(StorageError):
    """What lies in the store is not what was put there."""

    code = "storage_damaged"


def _tree(cls: type[JackCaptureError]) -> list[type[JackCaptureError]]:
    return [cls] + [below for sub in cls.__subclasses__() for below in _tree(sub)]


BY_CODE: Mapping[str, type[JackCaptureError]] = {cls.code: cls for cls in _tree(JackCaptureError)}


def from_code(code: str, message: str, details: Mapping[str, Any]) -> JackCaptureError:
    """Rebuild an error that came over a wire; an unknown code becomes the base class, its code kept in details."""
    cls = BY_CODE.get(code)
    if cls is None:
        return JackCaptureError(message, **{**details, "code": code})
    return cls(message, **details)
