"""What the operations are, told by a process of control's: for doors that must tell of them while none runs."""

import json
import subprocess
import sys
from typing import Any

from jackcapture.errors import UnreachableError

_PATIENCE = 60.0


def describe_operations() -> list[dict[str, Any]]:
    """Give what `operation_list` gives. Blocks, for about a second; raises `UnreachableError`."""
    command = [sys.executable, "-m", "jackcapture.control", "--operations"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, timeout=_PATIENCE)
        found: list[dict[str, Any]] = json.loads(done.stdout)["result"]
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        raise UnreachableError(f"control could not tell what its operations are: {error}") from error
    return found
