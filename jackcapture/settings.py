"""Where things are and how they are tuned: defaults, then TOML file, then environment, then command line."""

import contextlib
import dataclasses
import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.nearest import did_you_mean

ENVIRONMENT = {
    "root": "JACKCAPTURE_ROOT",
    "runtime": "JACKCAPTURE_RUNTIME",
    "server": "JACK_DEFAULT_SERVER",
    "config": "JACKCAPTURE_CONFIG",
}

_RUNTIME_PARENT = "/run/user"
"""Where the runtime directories of users lie, by their number, unless XDG_RUNTIME_DIR says where."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. Directories are absolute; sizes in bytes, times in seconds."""

    root: str
    runtime: str
    server: str = "default"
    client_name: str = "jackcapture"
    ring_seconds: float = 10.0
    ring_directory: str = ""  # empty: one of its own in /dev/shm
    spare_seconds: float = 2.0  # how long the spare chunks of a stream last
    disk_reserve_bytes: int = 64 << 20  # left free for the catalog and for what is recorded already
    disk_low_seconds: float = 600.0  # warned of when the space lasts no longer
    seal_threads: int = 4
    http_host: str = "127.0.0.1"  # where `up` serves MCP over HTTP; empty: nowhere
    http_port: int = 15225  # 0: any that is free
    http_token_file: str = ""  # empty: mcp-token beside the configuration file

    def __post_init__(self) -> None:
        for name, low, high in (
            ("ring_seconds", 1.0, 600.0),
            ("spare_seconds", 0.5, 600.0),
            ("disk_reserve_bytes", 0, 1 << 50),
            ("disk_low_seconds", 0.0, 1e9),
            ("seal_threads", 1, 64),
            ("http_port", 0, 65535),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidValueError(f"{name} = {value}: it must be {low} to {high}", setting=name)
        for name in ("root", "runtime"):
            value = getattr(self, name)
            if not os.path.isabs(value):
                raise InvalidValueError(f"{name} = {value!r}: it must be an absolute path", setting=name)
        if self.http_host in ("0.0.0.0", "::", "*") or any(sign in self.http_host for sign in "/@ \0"):  # noqa: S104
            raise InvalidValueError(
                f"http_host = {self.http_host!r}: it must be the one address, or name, by which clients call this "
                "machine, such as 127.0.0.1: calls by any other are refused",
                setting="http_host",
            )
        for name in ("server", "client_name"):
            value = getattr(self, name)
            if not 1 <= len(value) <= 63 or "/" in value or ":" in value or "\0" in value:
                raise InvalidValueError(
                    f"{name} = {value!r}: it must have 1 to 63 characters, without '/' and ':'", setting=name
                )

    @property
    def rings(self) -> str:
        """The directory of the rings: in shared memory, one per runtime directory, so that a new engine finds them."""
        if self.ring_directory:
            return self.ring_directory
        digest = hashlib.sha256(os.fsencode(self.runtime)).hexdigest()[:16]
        return f"/dev/shm/jackcapture-{os.getuid()}-{digest}"  # noqa: S108 - made with mode 0700 and checked


def load_settings(
    overrides: Mapping[str, Any], environment: Mapping[str, str] = os.environ, config: str | None = None
) -> Settings:
    """Put the settings together; `overrides` that are None count as not given.

    Raises `InvalidValueError` for an unknown key or a value of the wrong type, `NotFoundError` for a file that was
    named and is not there.
    """
    values: dict[str, Any] = {}
    named = config or environment.get(ENVIRONMENT["config"])
    path = named or os.path.join(config_directory(environment), "config.toml")
    if named or os.path.exists(path):
        values.update(_read(path))
    for key in ("root", "runtime", "server"):
        if environment.get(ENVIRONMENT[key]):
            values[key] = environment[ENVIRONMENT[key]]
    values.update({key: value for key, value in overrides.items() if value is not None})
    if "root" not in values:
        values["root"] = _default_root()
    values.setdefault("runtime", _default_runtime(environment))
    if not values.get("http_token_file"):
        values["http_token_file"] = os.path.join(config_directory(environment), "mcp-token")
    for key in ("root", "runtime", "ring_directory", "http_token_file"):
        if values.get(key):
            if "\0" in values[key]:
                raise InvalidValueError(f"{key} = {values[key]!r}: it is not a path", setting=key)
            values[key] = os.path.realpath(os.path.expanduser(values[key]))
    return Settings(**values)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        raise NotFoundError(f"configuration file {path} does not exist", path=path) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidValueError(f"configuration file {path}: {error}", path=path) from error
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    for key, value in document.items():
        if key not in fields:
            raise InvalidValueError(
                f"configuration file {path}: unknown key {key!r}; {did_you_mean(key, fields)}", path=path, key=key
            )
        kind = fields[key].type
        accepted = {str: (str,), float: (int, float), int: (int,)}[kind]  # type: ignore[index]
        if not isinstance(value, accepted) or isinstance(value, bool):
            raise InvalidValueError(
                f"configuration file {path}: {key} = {value!r}: it must be of type {kind.__name__}",  # type: ignore[union-attr]
                path=path,
                key=key,
            )
    return document


def config_directory(environment: Mapping[str, str] = os.environ) -> str:
    """Give the user's directory of configuration files, which need not be there."""
    if environment.get("XDG_CONFIG_HOME"):
        return os.path.join(environment["XDG_CONFIG_HOME"], "jackcapture")
    import platformdirs  # noqa: PLC0415 - only this default needs it

    return platformdirs.user_config_dir("jackcapture", appauthor=False)


def _default_root() -> str:
    import platformdirs  # noqa: PLC0415 - only this default needs it

    return platformdirs.user_data_dir("jackcapture", appauthor=False)


def _default_runtime(environment: Mapping[str, str]) -> str:
    if environment.get("XDG_RUNTIME_DIR"):
        return os.path.join(environment["XDG_RUNTIME_DIR"], "jackcapture")
    usual = f"{_RUNTIME_PARENT}/{os.getuid()}"  # programs with agents start us without most of the user's environment
    with contextlib.suppress(OSError):
        if os.stat(usual).st_uid == os.getuid():
            return os.path.join(usual, "jackcapture")
    return f"/tmp/jackcapture-{os.getuid()}"  # noqa: S108 - made with mode 0700 and checked
