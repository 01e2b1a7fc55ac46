"""An hour of stereo float as a file, beside `cp` and `b3sum` of the same bytes, and beside sox and ffmpeg.

Durability counts on every side: whatever is not our slice is followed by `sync FILE`. All read from the page cache, if
the machine has memory for it, and one after the other.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.machine import check_room
from benchmarks.measuring import MIN_PAIRS, Row, figure, in_turn, ratio, run, skipped, timed
from benchmarks.recordings import HOUR_BYTES, HOUR_FRAMES
from benchmarks.workspace import Workspace
from jackcapture.model.addresses import Content

MAX_PEAK_MB = 150


def hour(workspace: Workspace) -> Iterator[Row]:
    """Cut the whole hour into a WAV file."""
    check_room(workspace.folder, 4 * HOUR_BYTES)  # the chunks, the source, and a slice or copy that just goes
    source, copy = workspace.folder / "hour.wav", workspace.folder / "copy.wav"
    with workspace.hour() as recording:
        first = recording.cut(0, HOUR_FRAMES)
        shutil.copyfile(recording.store.path(Content(first.content_hash)), source)
        recording.delete(first)

        def ours() -> float:
            spent, made = timed(recording.cut, 0, HOUR_FRAMES)
            recording.delete(made)
            return spent

        def beside(*commands: tuple[str, ...]) -> Callable[[], float]:
            def theirs() -> float:
                spent = sum(timed(run, *command)[0] for command in commands)
                copy.unlink()
                return spent

            return theirs

        sync = ("sync", str(copy))
        hashing, hasher = _hashing(copy)
        pairs = in_turn(ours, beside(("cp", str(source), str(copy)), sync, hashing), MIN_PAIRS, workspace.settle)
        yield ratio("hour", f"1 h stereo float to WAV / cp + sync + {hasher}", pairs.ratios, at_most=1.3)
        yield figure("hour", "1 h stereo float to WAV, hashed, durable", "s", pairs.first)
        yield figure("hour", f"cp + sync + {hasher} of the same bytes", "s", pairs.second)
        yield _peak(workspace)
        if shutil.which("sox") is None:
            yield skipped("hour", "sox + sync / 1 h stereo float to WAV", "sox is not installed")
        else:
            trim = ("sox", str(source), str(copy), "trim", "0")
            pairs = in_turn(beside(trim, sync), ours, MIN_PAIRS, workspace.settle)
            yield ratio("hour", "sox + sync / 1 h stereo float to WAV", pairs.ratios, at_least=3.0)
            yield figure("hour", "sox in.wav out.wav trim 0, sync; no hash", "s", pairs.first)
        if shutil.which("ffmpeg") is None:
            yield skipped("hour", "ffmpeg -c copy + sync / 1 h stereo float to WAV", "ffmpeg is not installed")
        else:
            remux = ("ffmpeg", "-v", "error", "-i", str(source), "-c", "copy", str(copy))
            pairs = in_turn(beside(remux, sync), ours, MIN_PAIRS, workspace.settle)
            yield ratio("hour", "ffmpeg -c copy + sync / 1 h stereo float to WAV", pairs.ratios)
            yield figure("hour", "ffmpeg -c copy, sync; no hash", "s", pairs.first)
    source.unlink()


def _peak(workspace: Workspace) -> Row:
    """Measure the memory of a process that does nothing but this."""
    command = [sys.executable, "-m", "benchmarks.cut_hour", str(workspace.hour_root)]
    done = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    peak = json.loads(done.stdout)["peak_bytes"] / 1e6
    what = "peak resident memory of a process that cuts the hour"
    return Row("hour", what, "MB", peak, peak, peak, 1, f"< {MAX_PEAK_MB} MB", peak < MAX_PEAK_MB)


def _hashing(path: Path) -> tuple[tuple[str, ...], str]:
    """Give the command that hashes a file, and its name."""
    if shutil.which("b3sum") is not None:
        return ("b3sum", str(path)), "b3sum"
    loop = (
        "import sys, blake3\nhasher = blake3.blake3()\nwith open(sys.argv[1], 'rb') as file:\n"
        "    while block := file.read(1 << 20): hasher.update(block)\nprint(hasher.hexdigest())"
    )
    return (sys.executable, "-c", loop, str(path)), "BLAKE3 in Python (b3sum is not installed)"
