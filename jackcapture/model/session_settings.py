"""The settings of a session, as its row has them."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jackcapture.errors import InvalidValueError


class OnRelocate(enum.StrEnum):
    """What a relocation of the transport does to the segment that runs."""

    MARK = "mark"
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Whether the session follows JACK's transport, and how."""

    follow: bool = False
    on_relocate: OnRelocate = OnRelocate.MARK


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """All settings."""

    transport: TransportSettings = TransportSettings()


def session_settings(settings: Mapping[str, Any]) -> SessionSettings:
    """Read them."""
    transport = settings.get("transport", {})
    return SessionSettings(
        TransportSettings(bool(transport.get("follow")), OnRelocate(transport.get("on_relocate", "mark")))
    )


def parse_on_relocate(text: str) -> OnRelocate:
    """Read what a relocation is to do; raises `InvalidValueError`."""
    try:
        return OnRelocate(text)
    except ValueError:
        raise InvalidValueError(
            f"{text!r} is nothing that a relocation can make: it must be {' or '.join(OnRelocate)}", on_relocate=text
        ) from None
