"""A session as Python sees it."""

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jackcapture.errors import ConflictError
from jackcapture.model.progress import Progress

if TYPE_CHECKING:
    from jackcapture.client import Client


class Session:
    """A session, by its id; as a context manager it plays from the beginning of the block to its end.

    Each method gives the result of its operation as JSON values. For one thread, as its client.
    """

    def __init__(self, client: "Client", session_id: str) -> None:
        self._client = client
        self.id = session_id

    def __enter__(self) -> "Session":
        self.play()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except ConflictError:
            if self.status()["status"] == "playing":
                raise  # else it was stopped in the block

    def play(self) -> dict[str, Any]:
        """Begin the next segment; raises `ConflictError` if one runs, or the session is closed."""
        return self._do("session_play")

    def stop(self, *, close: bool = False) -> dict[str, Any]:
        """End the segment; returns when it is in the store. Raises `ConflictError` if none runs."""
        return self._do("session_stop", close=close)

    def close(self) -> dict[str, Any]:
        """Close it: nothing more can be recorded in it. Raises `ConflictError` while it plays."""
        return self._do("session_close")

    def mark(self, name: str, *, at: str | None = None, stream: str | None = None) -> dict[str, Any]:
        """Name a moment: now, or a place `at` in its first stream or in `stream`.

        Raises `ConflictError` if it has a mark of that name.
        """
        return self._do("session_mark", name=name, at=at, stream=stream)

    def request(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        artifact: str | None = None,
        notes: list[dict[str, Any]] | None = None,
        to: list[str] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Send a MIDI file, an artifact or notes, and keep the answer of every stream, until that has decayed.

        Notes are such as {"note": 60, "ms": 0, "duration_ms": 500, "velocity": 100, "channel": 1}, of which only the
        first is needed. `to` are MIDI inputs or patterns, in place of the session's own. Raises `ConflictError` if
        another request of it is under way.
        """
        return self._do(
            "session_request",
            progress=progress,
            file=None if path is None else os.path.abspath(path),
            artifact_id=artifact,
            notes=notes,
            to=to,
        )

    def status(self) -> dict[str, Any]:
        """Give the session with its segments, marks and timeline."""
        return self._do("session_status")

    def suggestions(self, status: str | None = None) -> list[dict[str, Any]]:
        """Give what stood out in it, if it is triggered, newest first; `status` is open, pending, accepted, dismissed.

        `Client.events` tells of each when it comes (`SessionSuggestion`).
        """
        found: list[dict[str, Any]] = self._client.call("suggestion_list", session_id=self.id, status=status)
        return found

    def accept(self, suggestion_id: str, *, progress: Progress | None = None, **how: Any) -> dict[str, Any]:
        """Cut what is suggested out of all its streams; `how` is output_format, sample_format.

        Raises `ConflictError` while it goes on, or if it has been decided.
        """
        result: dict[str, Any] = self._client.call(
            "suggestion_accept", progress=progress, suggestion_id=suggestion_id, **how
        )
        return result

    def dismiss(self, suggestion_id: str) -> dict[str, Any]:
        """Note that a suggestion is not wanted; raises as `accept` does."""
        result: dict[str, Any] = self._client.call("suggestion_dismiss", suggestion_id=suggestion_id)
        return result

    def export(
        self, path: str | os.PathLike[str], *, output_format: str = "folder", progress: Progress | None = None
    ) -> dict[str, Any]:
        """Write all that it has into something new at `path`: a folder, tar, bagit or reaper.

        Raises `ConflictError` while it plays, or if something is at `path`.
        """
        return self._do("session_export", progress=progress, out=os.path.abspath(path), output_format=output_format)

    def _do(self, operation: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._client.call(operation, session_id=self.id, **arguments)
        return result
