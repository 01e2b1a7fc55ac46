"""The artifacts of a request: the MIDI as it was sent, and of each stream the range of its answer, all or none."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from jackcapture.catalog import Catalog
from jackcapture.catalog.catalog import new_artifact_id
from jackcapture.control.chunk_supply import ChunkSupply
from jackcapture.control.contents import Contents
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.sessions.listening import Cut
from jackcapture.control.sessions.recorded import RecordedRanges
from jackcapture.control.sessions.request_content import RequestContent
from jackcapture.control.sessions.settings import RequestSettings
from jackcapture.control.sessions.sounding import first_sounding, sounding_positions
from jackcapture.control.slices.excerpts import collect
from jackcapture.control.slices.requests import SliceOptions, SliceRequest
from jackcapture.control.slices.slicer import Slicer
from jackcapture.control.streams import Streams
from jackcapture.errors import NotFoundError
from jackcapture.formats.smf import SMF_TYPE
from jackcapture.model.artifacts import Artifact
from jackcapture.model.levels import amplitude_of
from jackcapture.model.progress import Progress
from jackcapture.model.requests import Answer, Request
from jackcapture.model.sessions import SegmentRange
from jackcapture.protocol.messages import StreamState
from jackcapture.store import Sealed, Store

KIND = "request"


@dataclass(frozen=True, slots=True)
class RequestArtifacts:
    """Makes them, in one store."""

    store: Store
    catalog: Catalog
    contents: Contents
    slicer: Slicer
    supply: ChunkSupply
    streams: Streams

    async def keep(
        self,
        session_id: str,
        request: Request,
        content: RequestContent,
        settings: RequestSettings,
        cut: Cut,
        progress: Progress,
    ) -> Request:
        """Make the artifacts of a request that has ended, and enter it with them; nothing is left if that fails."""
        session = await asyncio.to_thread(self.catalog.sessions.get, session_id)
        ranges = session.segments[request.segment - 1].ranges
        recorded = await RecordedRanges(self.catalog, self.streams).states(ranges)

        def work() -> Request:
            with self._undoing(session_id, request.number):
                sent = self._enter_content(session_id, request, content)
                kept = replace(request, artifact_id=sent.id, content_hash=sent.content_hash)
                amplitude = amplitude_of(settings.threshold_db)
                was_loud = False
                answers = []
                for stream, state, found in recorded:
                    before, answer = self._answer(session_id, kept, stream, state, found, amplitude, progress)
                    was_loud |= before
                    answers += [] if answer is None else [answer]
                kept = replace(kept, answers=tuple(answers), was_loud_before=was_loud)
                self.catalog.requests.update(session_id, kept)
            return kept

        kept: Request = await cut(work)
        return kept

    def scan(
        self, stream: ManagedStream, state: StreamState | None, begin: int, end: int, amplitude: float
    ) -> Iterable[Any]:
        """Give the sample positions at which a range of a stream sounds. Blocks."""
        excerpt = collect(self.catalog, stream, state, begin, end)
        return sounding_positions(self.store, self.catalog, excerpt, amplitude)

    def discard(self, session_id: str, number: int) -> None:
        """Remove what was made for a request that did not come to its end. Blocks."""
        for artifact_id in self.catalog.requests.artifacts(session_id, number):
            with contextlib.suppress(NotFoundError):  # somebody was quicker
                self.contents.remove_artifact(artifact_id)

    @contextlib.contextmanager
    def _undoing(self, session_id: str, number: int) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.discard(session_id, number)
            raise

    def _enter_content(self, session_id: str, request: Request, content: RequestContent) -> Artifact:
        def add_row(sealed: Sealed) -> Artifact:
            artifact = Artifact(
                id=new_artifact_id(KIND),
                kind=KIND,
                content_hash=sealed.content.hash,
                mime_type=SMF_TYPE,
                bytes=sealed.bytes,
                created_at_ns=time.time_ns(),
                parents=content.parents,
                metadata={
                    "source": content.source,
                    "events": request.events,
                    "late_count": request.late_count,
                    "to": list(request.to),
                    "request": _link(session_id, request),
                },
            )
            self.catalog.add_artifact(artifact)
            return artifact

        return self.contents.enter_document(content.file, add_row)

    def _answer(
        self,
        session_id: str,
        request: Request,
        stream: ManagedStream,
        state: StreamState | None,
        found: SegmentRange,
        amplitude: float,
        progress: Progress,
    ) -> tuple[bool, Answer | None]:
        """Give whether a stream sounded before the first note, and its answer, if it has recorded any of that."""
        assert request.from_frame is not None
        assert request.first_note_frame is not None
        assert request.end_frame is not None
        assert request.artifact_id is not None
        begin, note, end = (
            found.position_of(frame) for frame in (request.from_frame, request.first_note_frame, request.end_frame)
        )
        begin = max(begin, found.from_sample)
        end = end if found.to_sample is None else min(end, found.to_sample)
        if begin >= end:
            return False, None
        note = min(max(note, begin), end)
        is_audio = stream.definition.is_audio
        before = is_audio and self._first(stream, state, begin, note, amplitude) is not None
        first = self._first(stream, state, note, end, amplitude)
        options = SliceOptions.default_for(stream.definition)
        cut = SliceRequest(
            stream,
            state,
            begin,
            end,
            options,
            f"the answer to request {request.number} of {session_id}",
            parents=(request.artifact_id,),
            noted={"request": _link(session_id, request)},
        )
        self.supply.space.check_artifact(f"a slice of {stream.uri}", cut.needed_bytes)
        result, artifact = self.slicer.cut(cut, progress)
        return before, Answer(
            stream.uri,
            is_audio,
            artifact.id,
            artifact.content_hash,
            artifact.mime_type,
            begin,
            end,
            None if first is None else found.frame_of(first),
            tuple((latency.min, latency.max) for latency in result.capture_latency),
        )

    def _first(
        self, stream: ManagedStream, state: StreamState | None, begin: int, end: int, amplitude: float
    ) -> int | None:
        if begin == end:
            return None
        excerpt = collect(self.catalog, stream, state, begin, end)
        return first_sounding(self.store, self.catalog, excerpt, amplitude)


def _link(session_id: str, request: Request) -> dict[str, Any]:
    """Give what leads from an artifact to its request."""
    return {
        "session_id": session_id,
        "number": request.number,
        "segment": request.segment,
        "first_note_frame": request.first_note_frame,
        "from_frame": request.from_frame,
        "end_frame": request.end_frame,
    }
