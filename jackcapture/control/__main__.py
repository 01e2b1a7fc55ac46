"""Runs control: `python -m jackcapture.control`, with what `up` passes on.

With `--maintenance check` or `rebuild` it works on the store instead, while no control has it, and prints lines of
JSON: `{"progress": [done, total, unit]}`, and at the end `{"result": ...}`. With `--operations` it prints only
`{"result": ...}`, that of `operation_list`: doors tell of the operations also while no control runs.
"""

import argparse
import json
import logging
import sys
import time

from jackcapture.errors import JackCaptureError
from jackcapture.logs import log_to_standard_error
from jackcapture.settings import Settings, load_settings

PROGRESS_INTERVAL = 0.1


def main() -> int:
    """Run control until it is told to end; gives the exit status of the error tree."""
    parser = argparse.ArgumentParser(prog="jackcapture-control", description=__doc__)
    for name in ("root", "runtime", "server", "config"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--maintenance", choices=("check", "rebuild"))
    for name in ("read-data", "force", "operations"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    log_to_standard_error("control")
    if options.operations:
        _print_operations()
        return 0
    try:
        overrides = {"root": options.root, "runtime": options.runtime, "server": options.server}
        settings = load_settings(overrides, config=options.config)
        if options.maintenance is None:
            from jackcapture.control.daemon import run_control  # noqa: PLC0415 - maintenance needs no sockets

            run_control(settings)
        else:
            _maintain(settings, options)
    except JackCaptureError as error:
        if options.maintenance is None:
            logging.getLogger(__name__).error("%s", error)
        print(json.dumps(error.as_json()))  # for whoever started us
        return error.exit_status
    return 0


def _print_operations() -> None:
    from jackcapture.control.operations.introspection import describe_operations  # noqa: PLC0415
    from jackcapture.control.result_json import as_json  # noqa: PLC0415

    print(json.dumps({"result": as_json(describe_operations())}), flush=True)


def _maintain(settings: Settings, options: argparse.Namespace) -> None:
    # Control itself needs none of it.
    from jackcapture.control.maintenance import offline  # noqa: PLC0415
    from jackcapture.control.result_json import as_json  # noqa: PLC0415

    following = time.monotonic() + PROGRESS_INTERVAL

    def progress(done: int, total: int, unit: str) -> None:
        nonlocal following
        now = time.monotonic()
        if now >= following:
            following = now + PROGRESS_INTERVAL
            print(json.dumps({"progress": [done, total, unit]}), flush=True)

    if options.maintenance == "check":
        result: object = offline.check_offline(settings, progress, read_data=options.read_data)
    else:
        result = offline.rebuild_offline(settings, progress, force=options.force)
    print(json.dumps({"result": as_json(result)}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
