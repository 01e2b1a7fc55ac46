"""What the parts of a check work with: the store as it lies there, its catalog, and what goes on meanwhile."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from jackcapture.errors import UnreachableError
from jackcapture.model.checks import Problems
from jackcapture.model.progress import Progress
from jackcapture.store import Files


def _nothing(done: int, total: int, unit: str) -> None:
    """Take no note of the progress."""


@dataclass(slots=True)
class Checked:
    """How much was looked at."""

    content: int = 0
    chunks: int = 0
    artifacts: int = 0


@dataclass(slots=True)
class CheckPlace:
    """A store to be checked. `check` raises why the work is to end, if that is not because control ends.

    `settled` gives a moment in which nobody enters or removes content.

    `staging_in_use` gives the staging files that somebody has, None if that is not known; `staging_age_ns` is how old a
    file is that nobody can be just about to use.
    """

    root: str
    files: Files = field(default_factory=Files)
    progress: Progress = _nothing
    is_cancelled: Callable[[], bool] = lambda: False
    check: Callable[[], None] = lambda: None
    settled: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    staging_in_use: Callable[[], frozenset[str] | None] = frozenset
    staging_age_ns: int = 0
    problems: Problems = field(default_factory=Problems)
    checked: Checked = field(default_factory=Checked)

    @property
    def catalog_path(self) -> str:
        """Where the catalog lies."""
        return f"{self.root}/catalog.db"

    def go_on(self) -> None:
        """Raise `UnreachableError` or `OperationCancelledError` if the work is to end."""
        if self.is_cancelled():
            self.check()
            raise UnreachableError("control ends, and the work with it; start it again when control runs")
