"""Stream URIs: `stream://<device>/<name>`."""

import re
from typing import NewType

from jackcapture.errors import InvalidValueError

StreamUri = NewType("StreamUri", str)
"""A URI that `parse_stream_uri` has accepted."""

_PART = r"[a-z0-9][a-z0-9._-]{0,63}"
_NAME = re.compile(_PART, re.ASCII)
_URI = re.compile(rf"stream://(?P<device>{_PART})/(?P<name>{_PART})", re.ASCII)


def parse_stream_uri(text: str) -> StreamUri:
    """Check a stream URI; raise `InvalidValueError` if it does not match."""
    if _URI.fullmatch(text) is None:
        raise InvalidValueError(
            f"{text!r} is not a stream URI: it must be stream://<device>/<name>, each part up to 64 characters "
            "of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
            uri=text,
        )
    return StreamUri(text)


def parse_name(text: str, what: str) -> str:
    """Check a name that users give to something of a stream, such as `a pin's name`; raise `InvalidValueError`."""
    if _NAME.fullmatch(text) is None:
        raise InvalidValueError(
            f"{text!r} is not {what}: it must be up to 64 characters of a-z, 0-9, '.', '_' and '-', beginning with a "
            "letter or digit",
            name=text,
        )
    return text


def device_of(uri: StreamUri) -> str:
    """Give the device part of a URI."""
    return uri.removeprefix("stream://").partition("/")[0]


def port_name(uri: StreamUri, channel: int) -> str:
    """Give the JACK short port name of a channel (counted from 0): `<device>-<name>_<n>`, n from 1.

    Patchbays restore connections by name, so this must never change for a stream.
    """
    device, _, name = uri.removeprefix("stream://").partition("/")
    return f"{device}-{name}_{channel + 1}"
