"""What becomes of suggestions: they are accepted, by somebody or by themselves, or dismissed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from jackcapture.catalog import Catalog
from jackcapture.control.chunk_supply import ChunkSupply
from jackcapture.control.contents import Contents
from jackcapture.control.sessions.document import enter_session
from jackcapture.control.slices.requests import SliceOptions, SliceRequest, default_output_format
from jackcapture.control.slices.slicer import Slicer
from jackcapture.control.streams import Streams
from jackcapture.errors import ConflictError, JackCaptureError, NotFoundError
from jackcapture.model.progress import Progress
from jackcapture.model.results import SliceResult
from jackcapture.model.sessions import Session, SessionStatus
from jackcapture.model.streams import SampleFormat, StreamDefinition
from jackcapture.model.suggestions import Suggestion, SuggestionStatus
from jackcapture.protocol.messages import SessionSuggestion
from jackcapture.store import Store

log = logging.getLogger(__name__)

_RETRY_SECONDS = 10.0
"""After so long, what could not be accepted by itself is tried again."""


@dataclass(frozen=True, slots=True)
class Formats:
    """In what audio streams are cut; None: as a slice for which nothing is asked. MIDI becomes MIDI files."""

    output_format: str | None = None
    sample_format: SampleFormat | None = None

    def options_for(self, definition: StreamDefinition) -> SliceOptions:
        """Give the options of a stream's slice; raises `InvalidValueError` for what it cannot be."""
        if not definition.is_audio:
            return SliceOptions.default_for(definition)
        options = SliceOptions(self.output_format or default_output_format(definition), self.sample_format)
        options.check_for(definition)
        return options


def _quiet(done: int, total: int, unit: str) -> None:
    """Take no note of the progress."""


def suggestion_event(suggestion: Suggestion) -> SessionSuggestion:
    """Give the event that tells of a suggestion as it is now."""
    return SessionSuggestion(
        suggestion.session_id,
        suggestion.id,
        suggestion.segment,
        suggestion.status,
        suggestion.reason,
        suggestion.stream_uri,
        suggestion.peak or 0.0,
        suggestion.begin_frame,
        suggestion.end_frame,
        suggestion.from_frame,
        suggestion.to_frame or 0,
        suggestion.found_at_ns,
        suggestion.problem,
    )


class Suggestions:
    """Decides suggestions; methods on the asyncio loop, the cutting on threads for it."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        contents: Contents,
        streams: Streams,
        supply: ChunkSupply,
        slicer: Slicer,
        cutting: Executor,
        on_change: Callable[[Suggestion], None],
    ) -> None:
        """`on_change` is called with each suggestion that was decided."""
        self._store = store
        self._catalog = catalog
        self._contents = contents
        self._streams = streams
        self._supply = supply
        self._slicer = slicer
        self._cutting = cutting
        self._on_change = on_change
        self._deciding: set[str] = set()
        self._documents = asyncio.Lock()
        self._wake = asyncio.Event()
        self._wake.set()

    # --- by somebody ---

    async def accept(
        self, suggestion_id: str, formats: Formats, progress: Progress = _quiet
    ) -> tuple[Suggestion, tuple[SliceResult, ...]]:
        """Cut all streams of the session in the suggested range: all of them, or none if one fails.

        Raises `ConflictError` for one that goes on or has been decided, and `NotFoundError` for one that is not there,
        or of which something is not kept any more. What `progress` raises cancels it.
        """
        with self._claimed(suggestion_id):
            suggestion = await asyncio.to_thread(self._pending, suggestion_id)
            session = await asyncio.to_thread(self._catalog.sessions.get, suggestion.session_id)
            requests = await self._requests(suggestion, session, formats)

            def work() -> list[SliceResult]:
                return self._cut(suggestion, requests, progress)

            cut = asyncio.get_running_loop().run_in_executor(self._cutting, work)
            results = await asyncio.shield(cut)
            artifacts = [result.artifact_id for result in results]
            try:
                decided = await self._decide(suggestion, SuggestionStatus.ACCEPTED, artifacts)
            except JackCaptureError:
                await asyncio.to_thread(self._take_back, artifacts)
                raise
        return decided, tuple(results)

    async def dismiss(self, suggestion_id: str) -> Suggestion:
        """Note that a suggestion is not wanted; raises as `accept` does."""
        with self._claimed(suggestion_id):
            suggestion = await asyncio.to_thread(self._pending, suggestion_id)
            return await self._decide(suggestion, SuggestionStatus.DISMISSED, [])

    # --- by themselves ---

    def note(self, suggestion: Suggestion) -> None:
        """Take note that a suggestion may be one to accept now."""
        if suggestion.status is SuggestionStatus.PENDING:
            self._wake.set()

    async def keep(self) -> None:
        """Accept what is to be accepted by itself, for ever; what fails is tried again, and says so meanwhile."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            is_all = False
            try:
                is_all = await self._accept_all()
            except JackCaptureError as error:
                log.error("suggestions are not accepted by themselves now: %s", error)
            except Exception:
                log.exception("while accepting suggestions")
            if not is_all:
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._wake.set)

    async def _accept_all(self) -> bool:
        """Accept what is to be accepted by itself; False if something failed."""
        is_all = True
        for suggestion_id in await asyncio.to_thread(self._catalog.suggestions.automatic):
            try:
                await self.accept(suggestion_id, Formats())
            except ConflictError as error:  # somebody decides it
                log.info("%s", error)
            except JackCaptureError as error:
                is_all = False
                suggestion = await asyncio.to_thread(self._catalog.suggestions.get, suggestion_id)
                if suggestion.problem != error.message:
                    log.error("%s is not accepted yet: %s", suggestion_id, error)
                    await asyncio.to_thread(self._catalog.suggestions.note_problem, suggestion_id, error.message)
                    self._on_change(replace(suggestion, problem=error.message))
        return is_all

    # --- the work ---

    @contextlib.contextmanager
    def _claimed(self, suggestion_id: str) -> Iterator[None]:
        """Keep two from deciding the same suggestion at once."""
        if suggestion_id in self._deciding:
            raise ConflictError(f"{suggestion_id} is being decided at this moment", suggestion_id=suggestion_id)
        self._deciding.add(suggestion_id)
        try:
            yield
        finally:
            self._deciding.discard(suggestion_id)

    def _pending(self, suggestion_id: str) -> Suggestion:
        """Give a suggestion that can be decided; blocks."""
        suggestion = self._catalog.suggestions.get(suggestion_id)
        if suggestion.status is SuggestionStatus.OPEN:
            raise ConflictError(
                f"{suggestion_id} is open: what stands out there goes on; decide when it has ended, or stop the "
                "session, which ends it",
                suggestion_id=suggestion_id,
                status=suggestion.status.value,
            )
        if suggestion.is_decided:
            made = f": it was cut into {', '.join(suggestion.artifacts)}" if suggestion.artifacts else ""
            raise ConflictError(
                f"{suggestion_id} is {suggestion.status} already{made}",
                suggestion_id=suggestion_id,
                status=suggestion.status.value,
                artifacts=list(suggestion.artifacts),
            )
        return suggestion

    async def _requests(self, suggestion: Suggestion, session: Session, formats: Formats) -> list[SliceRequest]:
        """Give what is to be cut of each stream of the session that recorded some of the suggested range."""
        segment = next(it for it in session.segments if it.number == suggestion.segment)
        states = await self._streams.drained(it.uri for it in segment.ranges)
        asked = f"{suggestion.id} of {session.id}"
        noted: dict[str, str | int] = {
            "suggestion_id": suggestion.id,
            "session_id": session.id,
            "segment": segment.number,
        }
        requests = []
        for found in segment.ranges:
            stream, state = self._streams.get(found.uri), states.get(found.uri)
            head = state.head_sample if state is not None and state.take_number == found.take_number else None
            options = formats.options_for(stream.definition)
            place = suggestion.range_in(found, head)
            if place is not None and place[1] is not None:
                requests.append(SliceRequest(stream, state, place[0], place[1], options, asked, noted=noted))
        if not requests:
            raise NotFoundError(f"nothing of {suggestion.id} is there any more", suggestion_id=suggestion.id)
        return requests

    def _cut(self, suggestion: Suggestion, requests: list[SliceRequest], progress: Progress) -> list[SliceResult]:
        self._take_back(self._catalog.suggestions.leftovers(suggestion))
        results: list[SliceResult] = []
        try:
            for request in requests:
                self._supply.space.check_artifact(f"a slice of {request.stream.uri}", request.needed_bytes)
                results.append(self._slicer.cut(request, progress)[0])
        except BaseException:
            self._take_back([result.artifact_id for result in results])
            raise
        return results

    def _take_back(self, artifacts: list[str]) -> None:
        for artifact_id in artifacts:
            self._contents.remove_artifact(artifact_id)

    async def _decide(self, suggestion: Suggestion, status: SuggestionStatus, artifacts: list[str]) -> Suggestion:
        decided = replace(
            suggestion, status=status, decided_at_ns=time.time_ns(), artifacts=tuple(artifacts), problem=""
        )
        async with self._documents:
            await asyncio.shield(asyncio.to_thread(self._enter, decided))
        self._on_change(decided)
        return decided

    def _enter(self, decided: Suggestion) -> None:
        """Enter a decision, with a new document of a session that is closed."""
        rows, now = self._catalog.suggestions, decided.decided_at_ns
        assert now is not None
        session = self._catalog.sessions.get(decided.session_id)
        if session.status is not SessionStatus.CLOSED:
            rows.decide(decided.id, decided.status, now, decided.artifacts)
            return
        enter_session(
            self._store,
            self._contents,
            self._catalog,
            session,
            lambda document: rows.decide(decided.id, decided.status, now, decided.artifacts, document),
            decided,
        )
