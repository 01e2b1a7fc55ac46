"""Runs control: `python -m jackcapture.control`, with what `up` passes on."""

import argparse
import json
import logging
import sys

from jackcapture.control.daemon import run_control
from jackcapture.errors import JackCaptureError
from jackcapture.logs import log_to_standard_error
from jackcapture.settings import load_settings


def main() -> int:
    """Run control until it is told to end; gives the exit status of the error tree."""
    parser = argparse.ArgumentParser(prog="jackcapture-control", description=__doc__)
    for name in ("root", "runtime", "server", "config"):
        parser.add_argument(f"--{name}")
    options = parser.parse_args()
    log_to_standard_error("control")
    try:
        overrides = {"root": options.root, "runtime": options.runtime, "server": options.server}
        run_control(load_settings(overrides, config=options.config))
    except JackCaptureError as error:
        logging.getLogger(__name__).error("%s", error)
        print(json.dumps(error.as_json()))  # for whoever started us
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
