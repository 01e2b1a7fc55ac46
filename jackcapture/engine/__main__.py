"""Runs an engine: `python -m jackcapture.engine --runtime ... --staging ... --rings ... --server ...`; control does."""

import argparse
import logging
import os
import sys

from jackcapture.engine.daemon import EngineDaemon, EngineSettings
from jackcapture.engine.hooks import hold_interpreter_from_environment, hooks_from_environment
from jackcapture.errors import JackCaptureError
from jackcapture.lock import ENGINE_LOCK, ProcessLock
from jackcapture.logs import log_to_standard_error
from jackcapture.protocol.sockets import make_runtime_directory


def main() -> int:
    """Run an engine until it is told to end; gives the exit status of the error tree."""
    parser = argparse.ArgumentParser(prog="jackcapture-engine", description=__doc__)
    parser.add_argument("--runtime", required=True)
    parser.add_argument("--staging", required=True)
    parser.add_argument("--rings", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--client-name", default="jackcapture")
    parser.add_argument("--ring-seconds", type=float, default=10.0)
    options = parser.parse_args()
    log_to_standard_error("engine")
    try:
        runtime = make_runtime_directory(options.runtime)
        with ProcessLock(os.path.join(runtime, ENGINE_LOCK), f"the engine of {runtime}"):
            hold_interpreter_from_environment()
            EngineDaemon(
                EngineSettings(
                    runtime=runtime,
                    staging_directory=options.staging,
                    ring_directory=make_runtime_directory(options.rings),
                    server=options.server,
                    client_name=options.client_name,
                    ring_seconds=options.ring_seconds,
                    hooks=hooks_from_environment(),
                )
            ).run()
    except JackCaptureError as error:
        logging.getLogger(__name__).error("%s", error)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
