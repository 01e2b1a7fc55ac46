"""What a process of ours writes to its log: however much goes wrong at once, a log does not fill a disk."""

import logging
import sys
import threading
import time

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


def log_to_standard_error(process: str) -> None:
    """Set up the log of a process, once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RateLimit())
    logging.basicConfig(level=logging.INFO, format=f"{process}: %(levelname)s: %(message)s", handlers=[handler])
