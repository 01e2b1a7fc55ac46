"""Runs work on the store in a process of control's, while no control has the store."""

import json
import os
import subprocess
import sys
from typing import Any

from jackcapture.errors import UnreachableError, from_code
from jackcapture.model.progress import Progress
from jackcapture.processes import children
from jackcapture.settings import Settings

_END_SECONDS = 10.0


def run_maintenance(
    settings: Settings, config: str | None, work: str, options: dict[str, bool], progress: Progress | None
) -> Any:
    """Do `work` (check, rebuild) with those of the options that are true; give its result as JSON values.

    Raises the errors of jackcapture.errors that it ended with. If this is interrupted, so is the work.
    """
    command = [
        *(sys.executable, "-m", "jackcapture.control", "--maintenance", work),
        *("--root", settings.root, "--runtime", settings.runtime, "--server", settings.server),
        *(f"--{name.replace('_', '-')}" for name, value in options.items() if value),
    ]
    if config is not None:
        command += ["--config", os.path.abspath(config)]
    process = children.start(command, result=subprocess.PIPE)
    try:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                said = json.loads(line)
                if "progress" in said and progress is not None:
                    progress(*said["progress"])
                if "error" in said:
                    error = said["error"]
                    raise from_code(error["code"], error["message"], error["details"])
                if "result" in said:
                    return said["result"]
    finally:
        status = children.end(process, _END_SECONDS)
    raise UnreachableError(f"the {work} of the store ended with status {status}; what it wrote above says why")
