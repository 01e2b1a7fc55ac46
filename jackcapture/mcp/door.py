"""What all requests of a server share: the connection to control, and what control says of its operations."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from jackcapture.client.async_client import AsyncClient, AsyncProgress
from jackcapture.errors import UnreachableError
from jackcapture.mcp.contents import INLINE_BYTES
from jackcapture.processes.descriptions import describe_operations


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of an artifact's file from `offset` on; of `total`."""

    data: bytes
    offset: int
    total: int
    mime_type: str

    @property
    def is_whole(self) -> bool:
        """Tell whether it is all of the file."""
        return self.offset == 0 and len(self.data) == self.total


class Door:
    """The connection of one server; for the tasks of one event loop."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._described: list[dict[str, Any]] | None = None
        self._describing = asyncio.Lock()

    async def perform(self, operation: str, arguments: Mapping[str, Any], progress: AsyncProgress | None = None) -> Any:
        """Do an operation; raises the errors of jackcapture.errors. To cancel the task cancels it."""
        return await self._client.perform(operation, arguments, progress=progress)

    async def operations(self) -> list[dict[str, Any]]:
        """Give what control says of its operations; while none runs, what one that were started now would say."""
        async with self._describing:
            with contextlib.suppress(UnreachableError):
                found: list[dict[str, Any]] = await self.perform("operation_list", {})
                self._described = found
            if self._described is None:
                self._described = await asyncio.to_thread(describe_operations)
            return self._described

    async def read(self, artifact_id: str, offset: int = 0, length: int = INLINE_BYTES) -> Piece:
        """Read bytes of an artifact's file, at most 1 MiB."""
        arguments = {"artifact_id": artifact_id, "offset": offset, "length": length}
        found = await self.perform("artifact_read", arguments)
        return Piece(base64.b64decode(found["base64"]), found["offset"], found["total"], found["mime_type"])


@contextlib.asynccontextmanager
async def open_door(runtime: str | None, config: str | None) -> AsyncIterator[Door]:
    """Connect for the block; raises `InvalidValueError` if the runtime directory is not ours alone."""
    async with AsyncClient(runtime=runtime, config=config) as client:
        yield Door(client)
