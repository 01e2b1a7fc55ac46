"""Compiles the C parts of the tests, away from the source tree."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")
"""A warning in a part is an error: nobody reads the output of a compiler that runs inside a test."""

LIBRARIES = ("-l:libjack.so.0",)
"""By its run-time name, so that neither libjack's headers nor its development package are needed."""


def build(source: str, into: Path) -> Path:
    """Compile the part `source` (a file name beside this one) into the folder `into` and return the program.

    Raises RuntimeError when there is no compiler or when it refuses, with what to install or what it said.
    """
    part = Path(__file__).with_name(source)
    program = into / part.stem
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise RuntimeError(f"no C compiler {compiler[0]!r}; on Debian or Ubuntu: apt-get install gcc libc6-dev")
    command = [*compiler, *FLAGS, "-o", str(program), str(part), *LIBRARIES]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        hint = ""
        if "libjack" in done.stderr:
            hint = "\nlibjack.so.0 is missing; on Debian or Ubuntu: apt-get install libjack-jackd2-0"
        raise RuntimeError(f"{shlex.join(command)} failed ({done.returncode}):\n{done.stderr}{hint}")
    return program
