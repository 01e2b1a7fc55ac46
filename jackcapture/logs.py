"""What a process of ours writes to its log: however much goes wrong at once, a log does not fill a disk."""

import datetime
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping

MAX_LINE = 2000
"""Characters of one line."""
BURST = 100
"""Lines of one kind, as told by the place in the code that they come from, that are written in one interval."""
INTERVAL = 10.0


class RateLimit(logging.Filter):
    """Drops lines of a kind beyond `BURST` in `INTERVAL` seconds, and says how many they were; any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}  # as many as there are places: (since, lines)

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line is to be written; cuts it."""
        place, now = (record.pathname, record.lineno), time.monotonic()
        with self._lock:
            since, lines = self._seen.get(place, (now, 0))
            dropped = 0
            if now - since >= INTERVAL:
                dropped, since, lines = max(0, lines - BURST), now, 0
            self._seen[place] = since, lines + 1
        if lines >= BURST:
            return False
        line = record.getMessage()
        record.msg, record.args = line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}...", ()
        if dropped:
            record.msg += f" ({dropped} lines like this one were left out before it)"
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line, after its level as sd-daemon(3) has it: <3> is an error, <4> a warning, <6> all else."""

    _LEVELS = ((logging.ERROR, 3), (logging.WARNING, 4))

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        level = next((number for least, number in self._LEVELS if record.levelno >= least), 6)
        entry = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return f"<{level}>{json.dumps(entry)}"


def is_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether standard error is the journal's, by JOURNAL_STREAM (systemd.exec(5))."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def log_to_standard_error(process: str) -> None:
    """Set up the log of a process, once: lines for people, or JSON where the journal reads them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RateLimit())
    people = logging.Formatter(f"{process}: %(levelname)s: %(message)s")
    handler.setFormatter(JsonLines(process) if is_journal() else people)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
