"""Pages of the documentation as programs: their commands are run, and what these print has the form that is shown.

In a block ```console a line `$ COMMAND` is run by a shell; the lines after it are what it prints. What differs from run
to run is let differ: numbers, hashes and ids, which are put in their places in later commands; `...` stands for any
lines. A block ```python is run as a program.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"\b(session|slice|overview|manifest|request|suggestion)-[0-9a-f]{12}\b")
_VARIES = re.compile(r"[0-9a-f]{64}|[+-]?\d[\d.:,TZ-]*|\b(?:[KMGT]i)?B\b")
_PATH = re.compile(r"(?<=^store )/\S+(?=:)|^ */\S+$|^/\S+(?=: session)")
_SPACE = re.compile(r" +")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page: its language, its text, and the line that it begins on."""

    language: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a block ```console, and the lines that are shown after it."""

    line: int
    words: str
    shown: tuple[str, ...]


@dataclass(slots=True)
class Reader:
    """Somebody who types what a page says, in a folder of their own; `pause` is what passes before each command."""

    folder: Path
    environment: Mapping[str, str]
    pause: Callable[[], None]
    ids: dict[str, str] = field(default_factory=dict)  # as the page has them, and as they are here

    def follow(self, page: Path) -> int:
        """Do all that a page says, and give how many commands and programs that were; fails naming what is wrong."""
        count = 0
        for block in blocks(page):
            if block.language == "python":
                self._run([sys.executable, "-c", block.text], f"{page.name}:{block.line}")
                count += 1
            for command in commands(block):
                self.pause()
                self._check(page, command)
                count += 1
        return count

    def _check(self, page: Path, command: Command) -> None:
        where = f"{page.name}:{command.line}: $ {command.words}"
        words = _ID.sub(lambda it: self.ids.get(it[0], it[0]), command.words)
        printed = self._run(["bash", "-euc", words], where).splitlines()
        differs = self._difference(command.shown, printed)
        assert differs is None, f"{where}\n{differs}\nit printed:\n" + "\n".join(printed)

    def _run(self, command: list[str], where: str) -> str:
        env = dict(self.environment)
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{where}\nended with status {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def _difference(self, shown: tuple[str, ...], printed: list[str]) -> str | None:
        """Compare what is shown with what was printed, and learn the ids; None if it is the same in form."""
        left = list(printed)
        skipping = False
        for line in shown:
            if line == "...":
                skipping = True
                continue
            while skipping and left and form(left[0]) != form(line):
                left.pop(0)
            if not left or form(left[0]) != form(line):
                return f"the page shows {line!r}, and there is {left[0] if left else 'nothing more'!r}"
            for there, here in zip(_ID.finditer(line), _ID.finditer(left.pop(0)), strict=True):
                self.ids[there[0]] = here[0]
            skipping = False
        return f"it also printed {left[0]!r}" if shown and left and not skipping else None


def form(line: str) -> str:
    """Give a line without what differs from run to run: ids, numbers, units of sizes, the width of columns."""
    plain = _ID.sub(lambda it: f"{it[1]}-ID", line)
    plain = _PATH.sub("PATH", plain)
    return _SPACE.sub(" ", _VARIES.sub("N", plain)).strip()


def blocks(page: Path) -> Iterator[Block]:
    """Give the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        yield Block(found[1], found[2], text.count("\n", 0, found.start()) + 2)


def commands(block: Block) -> Iterator[Command]:
    """Give the commands of a block ```console, none of another one."""
    if block.language != "console":
        return
    lines = block.text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Command(block.line + start, lines[start][2:], tuple(lines[start + 1 : end]))
