"""Builds the native harness of the core (tests/native) with a sanitizer, and runs it."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

NATIVE = Path(__file__).parent.parent / "native"

FLAGS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fno-math-errno", "-g", "-pthread")

TRIVIAL = "int main(void) { return 0; }\n"

PATIENCE = 100
"""Seconds that a run may take on a machine that is very busy; on an idle one it takes less than five."""

UNEXPECTED_MAPPING = ("unexpected memory mapping", "memory layout is incompatible")
"""What ThreadSanitizer says where the kernel spreads addresses more than it can follow; then it runs without that."""


@dataclass(frozen=True, slots=True)
class Sanitizer:
    """A way to compile: its flags, and how much work its program does in the time that a test has."""

    name: str
    flags: tuple[str, ...]
    cycles: int
    package: str = ""
    changes: tuple[tuple[str, str], ...] = ()
    """What is replaced in the core's sources."""

    def build(self, engine: Path, folder: Path, *more_changes: tuple[str, str]) -> Path:
        """Compile the harness with the core; skips the test if the compiler has no such sanitizer."""
        compiler = shlex.split(os.environ.get("CC", "cc"))
        if shutil.which(compiler[0]) is None:
            pytest.fail(f"no C compiler {compiler[0]!r}; on Debian or Ubuntu: apt-get install gcc libc6-dev")
        trivial = folder / "trivial.c"
        trivial.write_text(TRIVIAL)
        probe = self._compile(compiler, [trivial], folder / "trivial")
        if probe.returncode != 0 and self.package:
            pytest.skip(
                f"{compiler[0]} links no program with {' '.join(self.flags)} "
                f"(on Debian or Ubuntu: apt-get install {self.package}): {probe.stderr.strip()[-300:]}"
            )
        core = _copy_core(engine, folder / "engine", (*self.changes, *more_changes))
        program = folder / "core_harness"
        built = self._compile([*compiler, f"-I{core}"], [*core.glob("*.c"), *NATIVE.glob("*.c")], program)
        if built.returncode != 0:
            pytest.fail(f"{shlex.join(built.args)} failed:\n{built.stderr}")
        return program

    def _compile(self, compiler: list[str], sources: list[Path], target: Path) -> subprocess.CompletedProcess[str]:
        command = [*compiler, *FLAGS, *self.flags, *map(str, sorted(sources)), "-o", str(target), "-lm"]
        return subprocess.run(command, check=False, capture_output=True, text=True)


def _copy_core(engine: Path, folder: Path, changes: Iterable[tuple[str, str]]) -> Path:
    folder.mkdir()
    texts = {source.name: source.read_text() for source in engine.glob("rt_*.[ch]")}
    for old, new in changes:
        assert any(old in text for text in texts.values()), f"{old!r} is nowhere in the core"
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


PLAIN = Sanitizer("plain", ("-O2",), 30_000)
ADDRESS = Sanitizer(
    "address and undefined behaviour",
    ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    15_000,
    "libgcc-N-dev libasanN libubsan1, which gcc brings",
)
THREAD = Sanitizer(
    "thread",
    ("-O1", "-fsanitize=thread"),
    4_000,
    "libgcc-N-dev libtsanN, which gcc brings",
    # So few that each is used again and again.
    (
        ("#define JC_GAP_SLOTS 1024", "#define JC_GAP_SLOTS 16"),
        ("#define JC_MARK_SLOTS 1024", "#define JC_MARK_SLOTS 16"),
    ),
)


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program that was built with a sanitizer, which ends it at the first thing it finds."""
    environment = {
        **os.environ,
        "ASAN_OPTIONS": f"detect_leaks={int(_can_find_leaks(program.with_name('trivial')))}",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1",
    }
    command = [str(program), *arguments]
    done = _run(command, environment)
    if done.returncode != 0 and any(sign in done.stderr for sign in UNEXPECTED_MAPPING):
        if shutil.which("setarch") is None:
            pytest.skip("ThreadSanitizer needs setarch -R here; on Debian or Ubuntu: apt-get install util-linux")
        done = _run(["setarch", "-R", *command], environment)
        if done.returncode != 0 and ("setarch:" in done.stderr or UNEXPECTED_MAPPING[1] in done.stderr):
            pytest.skip(f"ThreadSanitizer does not run here, not even with setarch -R: {done.stderr.strip()[-300:]}")
    return done


def _can_find_leaks(trivial: Path) -> bool:
    """Tell whether leaks can be looked for: not where the program is traced, for instance."""
    return _run([str(trivial)], {**os.environ, "ASAN_OPTIONS": "detect_leaks=1"}).returncode == 0


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, errors="replace", env=environment, timeout=PATIENCE
    )
