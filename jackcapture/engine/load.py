"""A test hook: a thread that keeps the interpreter to itself for seconds, as a long call into an extension may.

`JACKCAPTURE_TEST_HOLD_INTERPRETER=2` in the engine's environment holds it for 2 s at a time, with 0.2 s between.
"""

import ctypes
import os
import threading
import time

VARIABLE = "JACKCAPTURE_TEST_HOLD_INTERPRETER"
_PAUSE = 0.2


def hold_interpreter_from_environment() -> None:
    """Start the thread if the environment asks for it."""
    seconds = float(os.environ.get(VARIABLE, "0"))
    if seconds > 0:
        threading.Thread(target=_hold, args=(seconds,), name="holds the interpreter", daemon=True).start()


def _hold(seconds: float) -> None:
    usleep = ctypes.PyDLL(None).usleep  # PyDLL keeps the interpreter's lock during the call
    while True:
        usleep(int(seconds * 1_000_000))
        time.sleep(_PAUSE)
