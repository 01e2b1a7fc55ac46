"""The C core, driven by threads without JACK or Python, does what it must; sanitizers find nothing in it.

tests/native is the harness: `threads` runs the core from the threads that an engine has and judges every frame, event
and mark; `corners` goes through cases that threads meet too seldom.
"""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import jackcapture.engine
from parts.sanitizers import ADDRESS, PLAIN, THREAD, Sanitizer, run

ENGINE = Path(jackcapture.engine.__file__).parent
ALL = pytest.mark.parametrize("sanitizer", [PLAIN, ADDRESS, THREAD], ids=lambda sanitizer: sanitizer.name)
Build = Callable[[Sanitizer], Path]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A function that gives the harness as a sanitizer has it: each is compiled once, when it is first asked for."""
    return cache(lambda sanitizer: sanitizer.build(ENGINE, tmp_path_factory.mktemp("native")))


@ALL
def test_the_corner_cases_hold(program: Build, sanitizer: Sanitizer) -> None:
    done = run(program(sanitizer), "corners")
    assert done.returncode == 0, done.stderr


@ALL
@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_or_torn_between_threads(program: Build, sanitizer: Sanitizer, seed: int) -> None:
    done = run(program(sanitizer), "threads", str(seed), str(sanitizer.cycles))
    assert done.returncode == 0, done.stderr
    counts = {name: int(count) for name, count in re.findall(r"([a-z_]+)=(\d+)", done.stdout)}
    assert counts["cycles"] >= sanitizer.cycles
    # A run that met none of these would have shown nothing.
    assert all(counts.values()), done.stdout


def test_this_check_would_see_a_race(tmp_path: Path) -> None:
    program = THREAD.build(ENGINE, tmp_path, ("__ATOMIC_RELEASE", "__ATOMIC_RELAXED"))
    done = run(program, "threads", "1", str(THREAD.cycles))
    assert done.returncode != 0
    assert "data race" in done.stderr
