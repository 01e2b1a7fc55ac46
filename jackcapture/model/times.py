"""How moments are written for people and programs."""

import datetime

_NS = 1_000_000_000


def iso(ns: int) -> str:
    """Give a moment, in ns since the Unix epoch, as ISO 8601 in UTC, to the microsecond."""
    moment = datetime.datetime.fromtimestamp(ns // _NS, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % _NS // 1000:06}Z"
