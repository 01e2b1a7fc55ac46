"""A process that cuts an hour once and tells how much memory it had: `python -m benchmarks.cut_hour ROOT`.

By VmHWM, the kernel's peak of this program: getrusage's ru_maxrss begins with that of whoever started it.
"""

import json
import sys
from pathlib import Path

from benchmarks.recordings import HOUR_FRAMES, opened


def main() -> None:
    """Cut, delete, tell."""
    with opened(Path(sys.argv[1])) as recording:
        recording.delete(recording.cut(0, HOUR_FRAMES))
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    print(json.dumps({"peak_bytes": kilobytes * 1024}))


if __name__ == "__main__":
    main()
