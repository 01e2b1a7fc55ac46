"""jackcapture: turns a JACK graph into an endless, addressable tape."""

from typing import TYPE_CHECKING, Any

from jackcapture._version import VERSION
from jackcapture.errors import JackCaptureError

if TYPE_CHECKING:
    from jackcapture.client import AsyncClient, Client

__version__ = VERSION

__all__ = ["AsyncClient", "Client", "JackCaptureError", "__version__"]


def __getattr__(name: str) -> Any:
    # The client brings ZeroMQ and Cap'n Proto, which the engine's and control's start need not wait for here.
    if name in ("AsyncClient", "Client"):
        from jackcapture import client  # noqa: PLC0415

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
