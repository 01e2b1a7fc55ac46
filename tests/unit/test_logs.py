"""The log of a process: many lines of one kind are few, and none is long."""

import io
import logging
from collections.abc import Iterator

import pytest

from jackcapture import logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a logger with the limit writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs.RateLimit())
    log = logging.getLogger("jackcapture.test")
    log.addHandler(handler)
    log.propagate = False
    yield stream
    log.removeHandler(handler)
    log.propagate = True


def warn(message: str) -> None:
    logging.getLogger("jackcapture.test").warning("refused: %s", message)


def test_a_flood_of_lines_is_cut_and_counted(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("jackcapture.logs.time.monotonic", lambda: now)
    for number in range(10_000):
        warn(str(number))
    logging.getLogger("jackcapture.test").error("another kind")
    lines = written.getvalue().splitlines()
    assert lines == [*(f"refused: {number}" for number in range(logs.BURST)), "another kind"]
    now += logs.INTERVAL
    warn("again")
    warn("and again")
    left_out = 10_000 - logs.BURST
    assert written.getvalue().splitlines()[len(lines) :] == [
        f"refused: again ({left_out} lines like this one were left out before it)",
        "refused: and again",
    ]


def test_a_long_line_is_cut(written: io.StringIO) -> None:
    warn("%s" * 1_000_000)
    assert written.getvalue() == f"refused: {'%s' * 1_000_000}"[: logs.MAX_LINE] + "...\n"
