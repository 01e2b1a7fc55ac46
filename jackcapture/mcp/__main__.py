"""Runs the HTTP door: `python -m jackcapture.mcp`, with the socket on which `up` listens."""

import argparse
import json
import logging
import socket
import sys

from jackcapture.errors import JackCaptureError
from jackcapture.logs import log_to_standard_error
from jackcapture.processes.http_token import ensure_token


def main() -> int:
    """Serve until told to end; gives the exit status of the error tree."""
    parser = argparse.ArgumentParser(prog="jackcapture-mcp", description=__doc__)
    parser.add_argument("--listener", type=int, required=True, help="the descriptor of a socket that listens")
    for name in ("host", "token-file", "runtime"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--config")
    options = parser.parse_args()
    log_to_standard_error("mcp")
    for library in ("mcp", "uvicorn"):
        logging.getLogger(library).setLevel(logging.WARNING)  # they tell of each session and request
    try:
        token = ensure_token(options.token_file)
        with socket.socket(fileno=options.listener) as listener:
            from jackcapture.mcp.http import serve_http  # noqa: PLC0415 - it takes a second

            serve_http(listener, options.host, token, options.runtime, options.config)
    except JackCaptureError as error:
        logging.getLogger(__name__).error("%s", error)
        print(json.dumps(error.as_json()))
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
