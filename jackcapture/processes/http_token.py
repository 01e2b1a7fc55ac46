"""The bearer token of the HTTP door: a file of its owner, made once."""

import contextlib
import os
import re
import secrets
import stat

from jackcapture.errors import InvalidValueError, StorageError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,256}")


def ensure_token(path: str) -> str:
    """Give the token in a file, which is made with mode 0600 if it is not there.

    Raises `InvalidValueError` for a file that others may read, or that holds no token, `StorageError` if none can be
    made.
    """
    try:
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            _make(path)
        return read_token(path)
    except OSError as error:
        raise StorageError(f"the token of the HTTP door, {path}: {error.strerror}", path=path) from error


def read_token(path: str) -> str:
    """Give the token in a file; raises `InvalidValueError` as `ensure_token` does, and OSError."""
    with open(path, "rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077 or not stat.S_ISREG(found.st_mode):
            raise InvalidValueError(
                f"{path} (mode {stat.S_IMODE(found.st_mode):04o}, user {found.st_uid}) must be a file of user "
                f"{os.getuid()} with mode 0600: whoever can read it may record and play; remove it, and a new one is "
                "made at the next start",
                path=path,
            )
        text = file.read(1024).decode("ascii", "replace").strip()
    if _TOKEN.fullmatch(text) is None:
        raise InvalidValueError(
            f"{path} holds no token: it must be 32 to 256 characters of A-Z, a-z, 0-9, '-' and '_'; remove it, and a "
            "new one is made at the next start",
            path=path,
        )
    return text


def _make(path: str) -> None:
    """Write a new token in one step: who reads it at the same time sees all of it or nothing."""
    temporary = f"{path}.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first, and its token holds
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
