"""Compiles the C parts of the tests, away from the source tree."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")
"""A warning in a part is an error: nobody reads the output of a compiler that runs inside a test."""

LIBJACK = "libjack.so.0"
"""The run-time name, so that neither libjack's headers nor its development package are needed."""


def build(source: str, into: Path) -> Path:
    """Compile the part `source` (a file name beside this one) into the folder `into` and return the program.

    Raises RuntimeError when there is no compiler or when it refuses, with what to install or what it said.
    """
    part = Path(__file__).with_name(source)
    program = into / part.stem
    _compile(*FLAGS, "-o", str(program), str(part), f"-l:{LIBJACK}")
    return program


def build_libjack(source: str, into: Path) -> Path:
    """Compile the part `source` into a libjack that stands before the real one; return it. Raises RuntimeError.

    Who loads it gets the functions that the part has from it, and the others from the real libjack.
    """
    # The real one must be needed by its path: by its name the loader would take ours for it. The linker takes from a
    # library the name that it gives itself, hence an empty one in its place, of that name.
    stand_in, empty, library = into / "stand-in.so", into / "empty.c", into / LIBJACK
    empty.touch()
    shared = ("-shared", "-fPIC")
    _compile(*shared, "-o", str(stand_in), str(empty), f"-Wl,-soname,{real_libjack()}")
    part = Path(__file__).with_name(source)
    _compile(
        *FLAGS, *shared, "-pthread", "-o", str(library), str(part), "-Wl,--no-as-needed", str(stand_in), "-ldl"
    )  # fmt: skip
    return library


def real_libjack() -> str:
    """The path of the libjack that programs are linked with. Raises RuntimeError."""
    path = _compile(f"-print-file-name={LIBJACK}").strip()
    if not os.path.isabs(path):  # a name that was not found comes back as it is
        raise RuntimeError(f"{LIBJACK} is missing; on Debian or Ubuntu: apt-get install libjack-jackd2-0")
    return os.path.join(os.path.realpath(os.path.dirname(path)), LIBJACK)


def _compile(*arguments: str) -> str:
    """Run the compiler and give what it printed."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise RuntimeError(f"no C compiler {compiler[0]!r}; on Debian or Ubuntu: apt-get install gcc libc6-dev")
    command = [*compiler, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        hint = ""
        if "libjack" in done.stderr:
            hint = "\nlibjack.so.0 is missing; on Debian or Ubuntu: apt-get install libjack-jackd2-0"
        raise RuntimeError(f"{shlex.join(command)} failed ({done.returncode}):\n{done.stderr}{hint}")
    return done.stdout
