"""What the operation on session templates gives back, and how a template is named."""

import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TemplateStreamResult:
    """A stream of a template: what it records, from where, how, and how much of it is kept.

    `channels` is None for MIDI, and so is `format`. What is None otherwise is as `stream_create` has it by default.
    """

    uri: str
    midi: bool
    channels: int | None
    sources: tuple[str, ...]
    format: str | None
    chunk_size_bytes: int | None
    sample_rate: int | None
    device_identity: str | None
    keep: str | None
    keep_bytes: str | int | None
    keep_chunks: int | None


@dataclass(frozen=True, slots=True)
class TemplateResult:
    """A session template. `origin` is shipped, user or file; the user's own `replaces_shipped` ones of the same name.

    `settings` are those that it sets. `error` says why it cannot be used, and then all about its content is empty.
    """

    name: str
    origin: str
    path: str
    replaces_shipped: bool
    description: str
    about: str
    mode: str | None
    settings: dict[str, Any]
    streams: tuple[TemplateStreamResult, ...]
    error: str | None = None


def template_argument(template: str | os.PathLike[str]) -> str:
    """Give a template as operations take it: a name, or, of what is a path, the absolute path."""
    text = os.fspath(template)
    is_path = not isinstance(template, str) or os.sep in text or text.endswith(".toml")
    return os.path.abspath(os.path.expanduser(text)) if is_path else text
