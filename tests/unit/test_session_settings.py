"""The settings of sessions: what is refused, and what is kept."""

import datetime
from typing import Any

import pytest

from jackcapture.control.sessions.settings import SessionSettings, session_settings, settings_as_json
from jackcapture.errors import InvalidValueError
from jackcapture.model.sessions import SessionMode


@pytest.mark.parametrize(
    ("given", "key", "said"),
    [
        ({"triger": {}}, "triger", "did you mean 'trigger'?"),
        ({"trigger": {"threshold": -3}}, "trigger.threshold", "did you mean 'trigger.threshold_db'?"),
        ({"trigger": {"xyz": 1}}, "trigger.xyz", "there are trigger.threshold_db, trigger.hold_seconds"),
        ({"trigger": {"threshold_db": "-3"}}, "trigger.threshold_db", "'-3'"),
        ({"trigger": {"threshold_db": 3}}, "trigger.threshold_db", "less than or equal to 0"),
        ({"trigger": {"threshold_db": float("nan")}}, "trigger.threshold_db", "finite"),
        ({"trigger": {"hold_seconds": float("nan")}}, "trigger.hold_seconds", "nan"),
        ({"trigger": {"auto": 1}}, "trigger.auto", "boolean"),
        ({"trigger": 1}, "trigger", "object"),
        ({"transport": {"on_relocate": "stop"}}, "transport.on_relocate", "'mark' or 'segment'"),
        ({"request": {"to": "fluidsynth"}}, "request.to", "array"),
        ({"request": {"max_seconds": datetime.date(2026, 1, 1)}}, "request.max_seconds", "number"),
        ({"pre_roll_seconds": -1}, "pre_roll_seconds", "greater than or equal to 0"),
    ],
)
def test_what_is_no_setting_is_refused_by_its_key(given: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        session_settings(given)
    assert caught.value.details["key"] == key
    assert said in caught.value.message


def test_a_session_keeps_its_mode_s_part_whole() -> None:
    given = {"request": {"to": ["fluidsynth"], "max_seconds": 5}}
    kept = settings_as_json(session_settings(given), SessionMode.REQUEST_RESPONSE, given)
    assert kept == {
        "request": {
            "to": ["fluidsynth"],
            "threshold_db": -60.0,
            "hold_seconds": 1.0,
            "max_seconds": 5.0,
            "max_request_seconds": 600.0,
        }
    }
    assert session_settings(kept) == session_settings(given)
    assert settings_as_json(SessionSettings(), SessionMode.PASSIVE, {}) == {}


def test_a_part_of_another_mode_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="create it with --mode triggered") as caught:
        settings_as_json(SessionSettings(), SessionMode.REQUEST_RESPONSE, {"trigger": {}})
    assert caught.value.details["key"] == "trigger"
