"""On which line a key of a TOML document stands, however it is written."""

import tomllib
from typing import Any

import pytest

from jackcapture.control.templates.toml_lines import KeyPath, key_lines, line_of

DOCUMENT = '''# uri = "in a comment"
description = "mode = 1" # about = 2
about = """
a key = "in text"
[streams]
"""
notes = \'\'\'
[[streams]]
\'\'\'
transport.follow = true
"quoted \\u0041.b" . 'c "d"' = 1

[request] # [trigger]
to = ["a", "#", # one
  "b]",
  # "a comment"
  { x = 1, "y z".w = 2 },
  [3,
   4],
]

[[streams]]
uri = "a"
[streams.sub]
q = 1
[[streams]]

  chanels = 2
  [[streams.inner]]
  a = 1
  [[ streams . inner ]]
  b = 1
  [streams.inner.deep]
  c = 1
[last.'of all']
"é" = "ü"
'''

LINES: dict[KeyPath, int] = {
    ("description",): 2,
    ("about",): 3,
    ("notes",): 7,
    ("transport", "follow"): 10,
    ("quoted A.b", 'c "d"'): 11,
    ("request",): 13,
    ("request", "to"): 14,
    ("request", "to", 0): 14,
    ("request", "to", 1): 14,
    ("request", "to", 2): 15,
    ("request", "to", 3): 17,
    ("request", "to", 3, "x"): 17,
    ("request", "to", 3, "y z", "w"): 17,
    ("request", "to", 4): 18,
    ("request", "to", 4, 0): 18,
    ("request", "to", 4, 1): 19,
    ("streams", 0): 22,
    ("streams", 0, "uri"): 23,
    ("streams", 0, "sub"): 24,
    ("streams", 0, "sub", "q"): 25,
    ("streams", 1): 26,
    ("streams", 1, "chanels"): 28,
    ("streams", 1, "inner", 0): 29,
    ("streams", 1, "inner", 0, "a"): 30,
    ("streams", 1, "inner", 1): 31,
    ("streams", 1, "inner", 1, "b"): 32,
    ("streams", 1, "inner", 1, "deep"): 33,
    ("streams", 1, "inner", 1, "deep", "c"): 34,
    ("last", "of all"): 35,
    ("last", "of all", "é"): 36,
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_key_has_its_line(newline: str) -> None:
    assert key_lines(DOCUMENT.replace("\n", newline).encode()) == LINES


def test_the_keys_are_those_that_tomllib_finds() -> None:
    found: set[KeyPath] = set()

    def visit(value: Any, place: KeyPath) -> None:
        if isinstance(value, dict | list):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                visit(item, (*place, key))
        else:
            found.add(place)

    visit(tomllib.loads(DOCUMENT), ())
    assert found <= set(LINES)
    inner = {place[:length] for place in found for length in range(1, len(place))}
    assert set(LINES) <= found | inner


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("streams", 1, "chanels"), 28),
        (("streams", 1, "uri"), 26),  # not written: the table
        (("streams", 1), 26),
        (("streams",), 22),  # all of them: where the first one begins
        (("transport",), 10),
        (("transport", "on_relocate"), 10),
        (("mode",), 1),
        ((), 1),
    ],
)
def test_what_is_not_written_has_the_line_of_what_it_would_be_in(path: KeyPath, line: int) -> None:
    assert line_of(path, LINES) == line


def test_keys_that_nobody_knows_the_depth_of_are_passed_over() -> None:
    deep = ".".join("a" * 40).encode()
    document = b"[" + deep + b"]\nb = 1\n[c]\n" + deep + b" = 2\nd = " + b"[" * 40 + b"]" * 40 + b"\n"
    assert line_of(("c", "d"), key_lines(document)) == 5
    assert max(map(len, key_lines(document))) <= 17
