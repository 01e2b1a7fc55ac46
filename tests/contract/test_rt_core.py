"""What the real-time core compiles to calls nothing: no lock, allocation, system call, print, interpreter."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import jackcapture.engine

SOURCES = sorted(Path(jackcapture.engine.__file__).parent.glob("rt_*.c"))

ALLOWED = {"memcpy", "memset", "memmove", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}
"""Copies of memory, and what compilers put in by themselves."""

PACKAGES = {"cc": "gcc libc6-dev", "nm": "binutils"}


def run(*command: str) -> str:
    """Run a tool and return what it printed; fail, with what to install or what it said, if that cannot be."""
    if shutil.which(command[0]) is None:
        package = PACKAGES.get(command[0], PACKAGES["cc"])
        pytest.fail(f"there is no {command[0]!r}; on Debian or Ubuntu: apt-get install {package}")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"{shlex.join(command)} failed ({done.returncode}):\n{done.stderr}")
    return done.stdout


def undefined_symbols(source: Path, into: Path) -> set[str]:
    """Compile a source and name what its object refers to in others."""
    target = into / "core.o"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    run(
        *compiler,
        "-std=gnu11",
        "-O2",
        "-fno-math-errno",
        "-fPIC",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-c",
        str(source),
        "-o",
        str(target),
    )
    # One line each: spaces, U (or w), the name, perhaps with a version.
    return {line.split()[-1].partition("@")[0] for line in run("nm", "-u", str(target)).splitlines() if line.strip()}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_core_refers_to_nothing_that_could_wait(source: Path, tmp_path: Path) -> None:
    assert undefined_symbols(source, tmp_path) - ALLOWED == set()


def test_this_check_would_see_a_call(tmp_path: Path) -> None:
    source = tmp_path / "waits.c"
    source.write_text("#include <stdlib.h>\nvoid *waits(void) { return malloc(100); }\n")
    assert undefined_symbols(source, tmp_path) - ALLOWED == {"malloc"}


def test_a_missing_tool_fails_and_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(pytest.fail.Exception, match="no 'cc'; on Debian or Ubuntu: apt-get install gcc"):
        undefined_symbols(SOURCES[0], tmp_path)
    with pytest.raises(pytest.fail.Exception, match="no 'nm'; on Debian or Ubuntu: apt-get install binutils"):
        run("nm")
