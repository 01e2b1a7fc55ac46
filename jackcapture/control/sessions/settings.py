"""The settings of a session: what users and templates may set, with defaults and limits; JSON in its row and document.

Each mode has a part of its own. A part is kept whole, so that a later default changes no session that is there.
"""

import enum
import json
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from jackcapture.errors import InvalidValueError
from jackcapture.model.nearest import did_you_mean
from jackcapture.model.sessions import SessionMode

MAX_PRE_ROLL_SECONDS = 600.0

_Seconds = Annotated[float, pydantic.Field(ge=0.01, le=3600.0)]
_Level = Annotated[float, pydantic.Field(ge=-140.0, le=0.0, allow_inf_nan=False)]
_PreRoll = Annotated[float, pydantic.Field(ge=0.0, le=MAX_PRE_ROLL_SECONDS)]


class OnRelocate(enum.StrEnum):
    """What a relocation of the transport does to the segment that runs."""

    MARK = "mark"
    SEGMENT = "segment"


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class TransportSettings(_Part):
    """Whether the session follows JACK's transport, and how."""

    follow: bool = False
    on_relocate: OnRelocate = OnRelocate.MARK


class RequestSettings(_Part):
    """How requests are sent, and when an answer is over; of the mode request-response.

    `to` are MIDI ports, or patterns over them. An answer has decayed when no stream has had a sample of `threshold_db`
    (dBFS, peak) or a MIDI message for `hold_seconds` after the last message was sent; it ends `max_seconds` after that
    one at the latest. `max_request_seconds` is how long a request itself may be.
    """

    to: tuple[str, ...] = ()
    threshold_db: _Level = -60.0
    hold_seconds: _Seconds = 1.0
    max_seconds: _Seconds = 30.0
    max_request_seconds: _Seconds = 600.0


class TriggerSettings(_Part):
    """What stands out of streams that record on; of the mode triggered.

    A range stands out from its first sample of `threshold_db` (dBFS, peak), or its first MIDI message if `midi`, until
    there was none for `hold_seconds`; a suggestion has `pre_roll_seconds` before it as well. What is shorter than
    `min_seconds`, without the hold, is none. With `auto` suggestions are accepted as they come.
    """

    threshold_db: _Level = -40.0
    hold_seconds: _Seconds = 0.5
    pre_roll_seconds: _PreRoll = 1.0
    min_seconds: Annotated[float, pydantic.Field(ge=0.0, le=3600.0)] = 0.0
    midi: bool = True
    auto: bool = False


class SessionSettings(_Part):
    """All settings. A segment begins `pre_roll_seconds` before it is played, as far as the rings reach."""

    pre_roll_seconds: _PreRoll = 0.0
    transport: TransportSettings = TransportSettings()
    request: RequestSettings = RequestSettings()
    trigger: TriggerSettings = TriggerSettings()


MODE_PARTS = {"request": SessionMode.REQUEST_RESPONSE, "trigger": SessionMode.TRIGGERED}
"""Settings that only one mode has."""


def session_settings(settings: Mapping[str, Any]) -> SessionSettings:
    """Read settings as JSON values; raises `InvalidValueError`, whose details have the `key`, as in request.to."""
    try:
        # As JSON, since that has no tuples and enums; what it has not, such as TOML's dates, is text of the wrong type.
        return SessionSettings.model_validate_json(json.dumps(dict(settings), default=str))
    except pydantic.ValidationError as error:
        problem = error.errors(include_url=False)[0]
        keys = [part for part in problem["loc"] if isinstance(part, str)]
        key = ".".join(keys)
        if problem["type"] == "extra_forbidden":
            raise InvalidValueError(f"there is no setting {key!r}; {_nearest(keys)}", key=key) from None
        given = str(problem["input"])[:80]
        raise InvalidValueError(f"{key} = {given!r}: {problem['msg']}", key=key) from None


def settings_as_json(settings: SessionSettings, mode: SessionMode, given: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a session of this mode keeps; raises `InvalidValueError`, with a `key`, if settings do not go together.

    Those are parts of another mode in `given`, and a pre-roll with a transport that is followed.
    """
    for part, of_mode in MODE_PARTS.items():
        if part in given and mode is not of_mode:
            raise InvalidValueError(
                f"{part!r} are settings of the mode {of_mode.value}, and this session is {mode.value}: leave them out, "
                f"or create it with --mode {of_mode.value}",
                key=part,
            )
    if settings.transport.follow and settings.pre_roll_seconds:
        raise InvalidValueError(
            f"pre_roll_seconds = {settings.pre_roll_seconds:g}, and the session follows the transport, so that its "
            "segments begin on the transport's frame: set it to 0, or do not follow the transport",
            key="pre_roll_seconds",
        )
    values: dict[str, Any] = {
        name: value for name, value in settings.model_dump(mode="json").items() if name in SessionSettings.model_fields
    }
    unused = {part for part, of_mode in MODE_PARTS.items() if mode is not of_mode}
    if not settings.transport.follow:
        unused.add("transport")
    if not settings.pre_roll_seconds:
        unused.add("pre_roll_seconds")
    return {name: value for name, value in values.items() if name not in unused}


def _nearest(keys: list[str]) -> str:
    """Name the setting that was perhaps meant, or those that there are."""
    part = SessionSettings() if len(keys) == 1 else getattr(SessionSettings(), keys[0])
    there_are = type(part).model_fields
    return did_you_mean(keys[-1], there_are, "".join(f"{key}." for key in keys[:-1]))
