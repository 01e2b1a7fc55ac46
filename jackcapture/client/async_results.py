"""Slices and sessions as asyncio's Python sees them: the twins of slices.py and sessions.py."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from jackcapture.client.slices import check_is_audio, check_is_midi, holds_records, read_events, read_samples
from jackcapture.errors import ConflictError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from jackcapture.client.async_client import AsyncClient, AsyncProgress


class AsyncSlice:
    """A slice in the store. `data` holds the fields of the result, as the contract names them."""

    def __init__(self, client: "AsyncClient", data: dict[str, Any]) -> None:
        self._client = client
        self.data = data

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    async def save(self, path: str | os.PathLike[str]) -> str:
        """Write the slice to a new file and give its absolute path; raises `ConflictError` if it exists."""
        absolute = os.path.abspath(path)
        await self._client.call("artifact_save", artifact_id=self.data["artifact_id"], path=absolute)
        return absolute

    async def events(self) -> list[tuple[int, bytes]]:
        """Give the events of a MIDI slice: the sample position in the stream and the bytes of each, in order."""
        check_is_midi(self.data)
        if holds_records(self.data):
            async with self._file() as path:
                return await asyncio.to_thread(read_events, path)
        first, last = self.data["sample_range"]
        exact = await self._client.slice(
            self.data["stream_uri"], f"sample:{first}", f"sample:{last}", output_format="raw"
        )
        try:
            return await exact.events()
        finally:
            await self._client.call("artifact_delete", artifact_id=exact["artifact_id"])

    async def array(self) -> "npt.NDArray[np.float32]":
        """Give the samples of an audio slice: float32, shape (frames, channels), full scale 1."""
        check_is_audio(self.data)
        async with self._file() as path:
            return await asyncio.to_thread(read_samples, path, self.data)

    @contextlib.asynccontextmanager
    async def _file(self) -> AsyncIterator[str]:
        """Give the path of the slice's file, for reading; of a virtual one, it is there only for so long."""
        if not self.data["virtual"]:
            shown = await self._client.call("artifact_show", artifact_id=self.data["artifact_id"])
            yield shown["content_path"]
            return
        with tempfile.TemporaryDirectory(prefix="jackcapture-") as folder:
            yield await self.save(os.path.join(folder, "slice"))


class AsyncSession:
    """A session, by its id; as an asynchronous context manager it plays from the block's beginning to its end.

    Each method gives the result of its operation as JSON values.
    """

    def __init__(self, client: "AsyncClient", session_id: str) -> None:
        self._client = client
        self.id = session_id

    async def __aenter__(self) -> Self:
        await self.play()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        except ConflictError:
            if (await self.status())["status"] == "playing":
                raise  # else it was stopped in the block

    async def play(self) -> dict[str, Any]:
        """Begin the next segment; raises `ConflictError` if one runs, or the session is closed."""
        return await self._do("session_play")

    async def stop(self, *, close: bool = False) -> dict[str, Any]:
        """End the segment; returns when it is in the store. Raises `ConflictError` if none runs."""
        return await self._do("session_stop", close=close)

    async def close(self) -> dict[str, Any]:
        """Close it: nothing more can be recorded in it. Raises `ConflictError` while it plays."""
        return await self._do("session_close")

    async def mark(self, name: str, *, at: str | None = None, stream: str | None = None) -> dict[str, Any]:
        """Name a moment, as `Session.mark` does."""
        return await self._do("session_mark", name=name, at=at, stream=stream)

    async def request(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        artifact: str | None = None,
        notes: list[dict[str, Any]] | None = None,
        to: list[str] | None = None,
        progress: "AsyncProgress | None" = None,
    ) -> dict[str, Any]:
        """Send a MIDI file, an artifact or notes, and keep the answer, as `Session.request` does."""
        return await self._do(
            "session_request",
            progress=progress,
            file=None if path is None else os.path.abspath(path),
            artifact_id=artifact,
            notes=notes,
            to=to,
        )

    async def status(self) -> dict[str, Any]:
        """Give the session with its segments, marks and timeline."""
        return await self._do("session_status")

    async def suggestions(self, status: str | None = None) -> list[dict[str, Any]]:
        """Give what stood out in it, if it is triggered, newest first, as `Session.suggestions` does."""
        found: list[dict[str, Any]] = await self._client.call("suggestion_list", session_id=self.id, status=status)
        return found

    async def accept(
        self, suggestion_id: str, *, progress: "AsyncProgress | None" = None, **how: Any
    ) -> dict[str, Any]:
        """Cut what is suggested out of all its streams, as `Session.accept` does."""
        result: dict[str, Any] = await self._client.call(
            "suggestion_accept", progress=progress, suggestion_id=suggestion_id, **how
        )
        return result

    async def dismiss(self, suggestion_id: str) -> dict[str, Any]:
        """Note that a suggestion is not wanted; raises as `accept` does."""
        result: dict[str, Any] = await self._client.call("suggestion_dismiss", suggestion_id=suggestion_id)
        return result

    async def export(
        self, path: str | os.PathLike[str], *, output_format: str = "folder", progress: "AsyncProgress | None" = None
    ) -> dict[str, Any]:
        """Write all that it has into something new at `path`, as `Session.export` does."""
        out = os.path.abspath(path)
        return await self._do("session_export", progress=progress, out=out, output_format=output_format)

    async def _do(self, operation: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = await self._client.call(operation, session_id=self.id, **arguments)
        return result
