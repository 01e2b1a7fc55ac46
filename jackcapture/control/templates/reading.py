"""Reads a session template. Everything here blocks."""

import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic

from jackcapture.control.sessions.settings import SessionSettings
from jackcapture.control.templates.schema import OTHER_WORDS, Problem, Template, known_keys
from jackcapture.control.templates.toml_lines import KeyPath, key_lines, line_of
from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.nearest import did_you_mean

MAX_BYTES = 64 << 10
MAX_LINE = 1024
"""Characters. What is within these limits is read in a second or two, however it is made: see the tests."""

_TOLD = 10  # problems of one template


@dataclass(frozen=True, slots=True)
class ReadTemplate:
    """A template that holds up; `settings` are those that are written, as of `session_create`."""

    name: str
    path: str
    content: Template
    settings: Mapping[str, Any]
    document: bytes

    def problem(self, path: KeyPath, said: str) -> InvalidValueError:
        """Give an error about a key of it."""
        return _refusal(self.path, self.document, [(path, said)])


def read_template(path: str, name: str) -> ReadTemplate:
    """Read a template and check all of it.

    Raises `NotFoundError`, or `InvalidValueError`: its message names file, line and key of each problem, its details
    `path` and, of the first one, `line` and `key`.
    """
    document, path = _bytes(path), as_text(path)
    written = _parsed(path, document)
    try:
        # As JSON, since that has no tuples and enums; what it has not, such as TOML's dates, is text of the wrong type.
        content = Template.model_validate_json(json.dumps(written, default=str))
    except pydantic.ValidationError as error:
        if error.errors(include_url=False)[0]["type"] == "json_invalid":  # which JSON of Python's own is not
            raise _too_deep(path) from None
        raise _refusal(path, document, [_explained(problem) for problem in error.errors(include_url=False)]) from None
    except ValueError as error:  # an integer of thousands of digits
        raise InvalidValueError(f"{path}: {error}", path=path) from None
    problems = list(content.problems(written))
    if problems:
        raise _refusal(path, document, problems)
    settings = {key: value for key, value in written.items() if key in SessionSettings.model_fields}
    return ReadTemplate(name, path, content, settings, document)


def as_text(path: str) -> str:
    """Give a path as text for people, also where it is no UTF-8."""
    return os.fsencode(path).decode(errors="replace")


def _bytes(path: str) -> bytes:
    shown = as_text(path)
    try:
        # Not to wait for a writer, should it be a pipe.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise InvalidValueError(f"template {shown} is not a regular file", path=shown)
            with open(file, "rb", closefd=False) as reader:
                document = reader.read(MAX_BYTES + 1)
        finally:
            os.close(file)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"template {shown} does not exist", path=shown) from None
    except (OSError, ValueError) as error:  # a ValueError: what is no path
        raise InvalidValueError(f"template {shown!r} cannot be read: {error}", path=shown) from None
    if len(document) > MAX_BYTES:
        raise InvalidValueError(f"template {shown} is longer than {MAX_BYTES} bytes, which is the most", path=shown)
    return document


def _parsed(path: str, document: bytes) -> dict[str, Any]:
    for number, line in enumerate(document.split(b"\n"), 1):
        if len(line) > MAX_LINE:
            raise InvalidValueError(
                f"{path}, line {number}: it has {len(line)} bytes: at most {MAX_LINE}; arrays may be broken after each "
                'comma, and text between """ anywhere',
                path=path,
                line=number,
            )
    try:
        return tomllib.loads(document.decode())
    except UnicodeDecodeError as error:
        number = document[: error.start].count(b"\n") + 1
        raise InvalidValueError(f"{path}, line {number}: it is not UTF-8", path=path, line=number) from None
    except RecursionError:
        raise _too_deep(path) from None
    except ValueError as error:  # tomllib.TOMLDecodeError, or an integer of thousands of digits
        at = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        number = int(at[1]) if at else document.count(b"\n") + 1
        reason = re.sub(r" \(at (line|end).*\)$", "", str(error))
        column = f", column {at[2]}" if at else ""
        raise InvalidValueError(f"{path}, line {number}{column}: not TOML: {reason}", path=path, line=number) from None


def _too_deep(path: str) -> InvalidValueError:
    return InvalidValueError(f"{path}: its arrays or tables are nested too deeply", path=path)


def _explained(problem: Any) -> Problem:
    """Say in plain words what pydantic has found."""
    path, given = tuple(problem["loc"]), problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            return path, f"unknown; {_meant(path)}"
        case "missing":
            return path, "missing"
        case "tuple_type" if path == ("streams",) and isinstance(given, dict):
            return path, "each stream is a table in an array: begin it with [[streams]]"
        case _:
            return path, f"{given!r:.80}: {problem['msg']}"


def _meant(path: KeyPath) -> str:
    known, key = known_keys(path[:-1]), str(path[-1])
    other = OTHER_WORDS.get(key)
    return did_you_mean(other if other in known else key, known)


def _refusal(path: str, document: bytes, problems: Sequence[Problem]) -> InvalidValueError:
    lines = key_lines(document)
    placed = sorted((line_of(place, lines), _written(place), said) for place, said in problems)
    told = [f"line {line}: {key}: {said}" if key else f"line {line}: {said}" for line, key, said in placed]
    more = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    line, key, _ = placed[0]
    return InvalidValueError(f"{path}, {'; '.join(told[:_TOLD])}{more}", path=path, line=line, key=key)


def _written(path: KeyPath) -> str:
    """Give a path as people write it, such as streams[2].channels."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")
