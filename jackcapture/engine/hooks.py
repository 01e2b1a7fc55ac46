"""Test hooks, by environment variables of the engine.

`JACKCAPTURE_TEST_HOLD_INTERPRETER=2`: a thread keeps the interpreter to itself for 2 s at a time, with 0.2 s between,
as a long call into an extension may.
`JACKCAPTURE_TEST_FRAME_OFFSET=N`: N is added to JACK's 32-bit frame counter, so that it wraps when a test wants it to.
`JACKCAPTURE_TEST_FAIL_AT_CYCLE=N`: the first JACK client's callback fails at its cycle N, upon which JACK
deactivates it.
"""

import ctypes
import os
import threading
import time
from dataclasses import dataclass

HOLD_INTERPRETER = "JACKCAPTURE_TEST_HOLD_INTERPRETER"
FRAME_OFFSET = "JACKCAPTURE_TEST_FRAME_OFFSET"
FAIL_AT_CYCLE = "JACKCAPTURE_TEST_FAIL_AT_CYCLE"
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a JACK client is made to do for a test; 0: nothing."""

    frame_offset: int = 0
    fail_at_cycle: int = 0


NO_HOOKS = Hooks()


def hooks_from_environment() -> Hooks:
    """Read the hooks of the first JACK client."""
    return Hooks(int(os.environ.get(FRAME_OFFSET, "0")), int(os.environ.get(FAIL_AT_CYCLE, "0")))


def hold_interpreter_from_environment() -> None:
    """Start the thread if the environment asks for it."""
    seconds = float(os.environ.get(HOLD_INTERPRETER, "0"))
    if seconds > 0:
        threading.Thread(target=_hold, args=(seconds,), name="holds the interpreter", daemon=True).start()


def _hold(seconds: float) -> None:
    usleep = ctypes.PyDLL(None).usleep  # PyDLL keeps the interpreter's lock during the call
    while True:
        usleep(int(seconds * 1_000_000))
        time.sleep(_PAUSE)
