"""Regular expressions over port names: none takes long, whatever it is."""

import time

import pytest

from jackcapture.engine.connections import matches
from jackcapture.errors import InvalidValueError
from jackcapture.model.patterns import MAX_PATTERN_LENGTH, compile_pattern

NAMES = ["system:capture_1", "system:capture_12", "synth:left (main)", "Tastatur ü:out", "a" * 300 + ":b"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("system:capture_[0-9]", NAMES[:1]),
        (r"system:capture_\d{1,3}", NAMES[:2]),
        ("(?i)SYSTEM:.*", NAMES[:2]),
        ("synth:left (main)", NAMES[2:3]),  # a name as it is
        (r"synth:left \(main\)", NAMES[2:3]),
        ("Tastatur .:out", NAMES[3:4]),
        ("[^:]+:out|.*_1", [NAMES[0], NAMES[3]]),
        ("capture", []),
        ("(", []),
    ],
)
def test_patterns_mean_what_they_say(pattern: str, found: list[str]) -> None:
    assert matches(pattern, NAMES) == found


@pytest.mark.parametrize("pattern", ["(.|.|.|.)*(.|.|.|.)*x$", "(a+)+$", "(a|aa)*c", "((.*)*)*x", ".{300}x"])
def test_no_pattern_takes_long(pattern: str) -> None:
    began = time.thread_time()
    for name in NAMES:
        compile_pattern(pattern).search(name)
        compile_pattern(pattern).fullmatch(name)
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize(
    "pattern", ["(", ".{500}.{500}", "x{99999}", "((a{999}){999}){999}", "(?=x)", r"(.)\1", "\ud800", "*"]
)
def test_what_is_no_pattern_is_refused_in_few_words(pattern: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        compile_pattern(pattern)
    assert 0 < len(refused.value.message) < 200


def test_a_pattern_has_a_longest_length() -> None:
    compile_pattern("x" * MAX_PATTERN_LENGTH)
    with pytest.raises(InvalidValueError, match="1025 characters: a pattern has at most 1024"):
        compile_pattern("x" * (MAX_PATTERN_LENGTH + 1))
