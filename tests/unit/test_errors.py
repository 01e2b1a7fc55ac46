"""The error tree: one code each, the exit statuses that scripts rely on, and the way over a wire and back."""

import json
import re

import pytest

from jackcapture import errors
from jackcapture.errors import BY_CODE, JackCaptureError, from_code

# Pinned: scripts test for these.
CONTRACT = {
    "JackCaptureError": ("internal", 1),
    "InvalidValueError": ("invalid_value", 2),
    "NotFoundError": ("not_found", 3),
    "ConflictError": ("conflict", 4),
    "UnreachableError": ("unreachable", 5),
    "OperationCancelledError": ("cancelled", 130),
    "StorageError": ("storage", 6),
    "StorageFullError": ("storage_full", 6),
    "StorageDamagedError": ("storage_damaged", 6),
}


def tree(cls: type[JackCaptureError]) -> list[type[JackCaptureError]]:
    below = [sub for sub in cls.__subclasses__() if sub.__module__ == errors.__name__]
    return [cls, *(one for sub in below for one in tree(sub))]


CLASSES = tree(JackCaptureError)


def test_codes_and_exit_statuses_are_those_of_the_contract() -> None:
    assert {cls.__name__: (cls.code, cls.exit_status) for cls in CLASSES} == CONTRACT


def test_every_class_has_a_code_of_its_own() -> None:
    assert {cls.code: cls for cls in CLASSES} == dict(BY_CODE)
    assert len(BY_CODE) == len(CLASSES)


def test_the_table_in_the_docstring_is_the_tree() -> None:
    rows = re.findall(r"^[ │├└─]*(\w+Error) +(\w+) +(\d+) +\w", errors.__doc__ or "", re.MULTILINE)
    rows += re.findall(r"^[ │├└─]*(\w+Error) (\w+) +(\d)   \w", errors.__doc__ or "", re.MULTILINE)
    assert {name: (code, int(status)) for name, code, status in rows} == CONTRACT


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.code)
def test_an_error_comes_back_from_its_json_as_it_was(cls: type[JackCaptureError]) -> None:
    sent = json.loads(json.dumps(cls("what is wrong", uri="stream://a/b", limits=[1, 2]).as_json()))["error"]
    back = from_code(sent["code"], sent["message"], sent["details"])
    assert type(back) is cls
    assert (str(back), back.message) == ("what is wrong", "what is wrong")
    assert back.details == {"uri": "stream://a/b", "limits": [1, 2]}


def test_an_unknown_code_is_kept() -> None:
    back = from_code("from_the_future", "new", {"a": 1})
    assert type(back) is JackCaptureError
    assert back.details == {"a": 1, "code": "from_the_future"}
