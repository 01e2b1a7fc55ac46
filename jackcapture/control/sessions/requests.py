"""Requests: a session sends MIDI to an instrument and keeps what its streams have of the answer.

Who ends a request is its row in the catalog: one that control left running when it died is ended by the next control,
with the segment that was begun for it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from jackcapture.catalog import Catalog
from jackcapture.control.engine_link import EngineLink
from jackcapture.control.jack_presence import engine_with_jack
from jackcapture.control.sessions.life_cycle import Sessions
from jackcapture.control.sessions.listening import Listening
from jackcapture.control.sessions.request_artifacts import RequestArtifacts
from jackcapture.control.sessions.request_content import ContentLimits, RequestContent
from jackcapture.control.sessions.request_ports import choose_destinations, choose_output
from jackcapture.control.sessions.sending import Sending
from jackcapture.control.sessions.settings import RequestSettings, session_settings
from jackcapture.control.streams import Streams
from jackcapture.errors import ConflictError, JackCaptureError, NotFoundError, OperationCancelledError
from jackcapture.model.requests import EndedBy, Request
from jackcapture.model.sessions import Segment, Session, SessionMode, SessionStatus
from jackcapture.protocol.messages import EngineState, MidiCancel, MidiOutputState, PortList, PortsRequest

log = logging.getLogger(__name__)

PRE_ROLL_SECONDS = 0.1
"""What an answer has before the first message, as far as its segment had begun."""

_LOOK_SECONDS = 0.05
_RETRY_SECONDS = 1.0


class Caller(Protocol):
    """Who asked for a request: is told how far it is, and may cancel it (`check` raises then)."""

    @property
    def progress(self) -> Callable[[int, int, str], None]: ...  # noqa: D102 - as in Context

    @property
    def check(self) -> Callable[[], None]: ...  # noqa: D102

    async def cut(self, work: Callable[[], Any]) -> Any: ...  # noqa: D102


@dataclass(slots=True)
class _Claim:
    """A request under way: nobody else has its session, its output and its destinations."""

    session_id: str
    number: int | None = None
    output: str = ""
    to: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"request {self.number or 'that begins'} of {self.session_id}"


class Requests:
    """The requests of all sessions; methods on the asyncio loop."""

    def __init__(
        self,
        catalog: Catalog,
        streams: Streams,
        sessions: Sessions,
        link: EngineLink,
        artifacts: RequestArtifacts,
        is_ending: Callable[[], bool],
    ) -> None:
        self._catalog = catalog
        self._streams = streams
        self._sessions = sessions
        self._link = link
        self._artifacts = artifacts
        self._is_ending = is_ending
        # Before anybody can send another: it would not be told from those that an earlier control has left.
        self._left = catalog.requests.running()
        self._under_way = {
            session_id: _Claim(session_id, request.number, request.output, request.to)
            for session_id, request in self._left
        }

    async def request(
        self,
        session_id: str,
        read_content: Callable[[ContentLimits], RequestContent],
        to: Sequence[str],
        caller: Caller,
    ) -> Request:
        """Send a request and keep the answer of every stream; gives it when that has decayed, or lasts too long.

        `to` are MIDI inputs, or patterns over them, in place of those of the session's settings.
        """
        session = await self._get(session_id)
        _check(session)
        settings = session_settings(session.settings).request
        rate = self._streams.get(session.streams[0]).definition.sample_rate
        limits = ContentLimits(rate, settings.max_request_seconds)
        with self._claimed(session) as claim:
            content = await caller.cut(lambda: read_content(limits))
            engine = await self._engine_at(rate)
            ports = (await self._link.request(PortsRequest(), PortList)).ports
            claim.to = choose_destinations(to or settings.to, ports, engine.client_name)
            self._refuse_shared(claim)
            others = {other.output for other in self._under_way.values() if other is not claim}
            claim.output = choose_output(engine.midi_outputs, claim.to, others)
            async with self._segment(session) as (segment, is_own):
                begun = Request(
                    0, segment.number, is_own, claim.output, claim.to, rate, len(content.messages), time.time_ns()
                )
                request = await asyncio.to_thread(self._catalog.requests.add, session_id, begun)
                claim.number = request.number
                async with self._ending(session_id, request):
                    request = await self._carry_out(session, segment, request, content, settings, caller)
                    if is_own:
                        await self._stop(session_id, segment.number)
                    request = await self._artifacts.keep(
                        session_id, request, content, settings, caller.cut, caller.progress
                    )
        return request

    async def keep(self) -> None:
        """End what an earlier control has left, then wait for nothing; never returns."""
        for session_id, request in self._left:
            while True:
                try:
                    await self._end_interrupted(session_id, request)
                    break
                except JackCaptureError as error:
                    log.warning("request %d of %s, left by an earlier control: %s", request.number, session_id, error)
                except Exception:
                    log.exception("while ending what an earlier control has left")
                await asyncio.sleep(_RETRY_SECONDS)
            del self._under_way[session_id]
        await asyncio.Event().wait()

    async def _end_interrupted(self, session_id: str, request: Request) -> None:
        await self._cancel_output(request.output)
        if request.is_own_segment:
            await self._stop(session_id, request.segment)
        await asyncio.to_thread(self._artifacts.discard, session_id, request.number)
        await asyncio.to_thread(self._catalog.requests.update, session_id, request.ended(EndedBy.INTERRUPTED))
        log.warning("request %d of %s was interrupted by the end of control", request.number, session_id)

    # --- one at a time ---

    @contextlib.contextmanager
    def _claimed(self, session: Session) -> Iterator[_Claim]:
        other = self._under_way.get(session.id)
        if other is not None:
            raise ConflictError(
                f"{other} is under way; wait for its end, or cancel it, before you send another",
                session_id=session.id,
                request=other.number,
            )
        claim = self._under_way[session.id] = _Claim(session.id)
        try:
            yield claim
        finally:
            del self._under_way[session.id]

    def _refuse_shared(self, claim: _Claim) -> None:
        """Raise `ConflictError` if another request is being sent to one of the same ports."""
        for other in self._under_way.values():
            shared = [port for port in claim.to if port in other.to]
            if other is not claim and shared:
                raise ConflictError(
                    f"{other} is under way to {shared[0]}, whose answers would be one: wait for its end, or cancel it",
                    session_id=other.session_id,
                    request=other.number,
                    port=shared[0],
                )

    # --- segment and row ---

    @contextlib.asynccontextmanager
    async def _segment(self, session: Session) -> AsyncIterator[tuple[Segment, bool]]:
        """Give the segment that runs, or one that is begun, which then ends with the block, whatever happens."""
        session = await self._get(session.id)  # it may have been played or stopped since
        is_own = session.running is None
        if is_own:
            session = await self._sessions.play(session.id)
        segment = session.running
        if segment is None:
            raise ConflictError(f"{session.id} was stopped before the request could be sent", session_id=session.id)
        try:
            yield segment, is_own
        except BaseException:
            if is_own:
                try:
                    await self._stop(session.id, segment.number)
                except JackCaptureError as error:
                    log.error("segment %d of %s, begun for a request, runs on: %s", segment.number, session.id, error)
            raise

    async def _stop(self, session_id: str, number: int) -> None:
        """Stop a segment if it runs."""
        session = await self._get(session_id)
        if session.running is not None and session.running.number == number:
            try:
                await self._sessions.stop(session_id)
            except ConflictError:
                if (await self._get(session_id)).running is not None:
                    raise  # else somebody else was as quick

    @contextlib.asynccontextmanager
    async def _ending(self, session_id: str, request: Request) -> AsyncIterator[None]:
        """Have the row say how the request ended if the block does not come to its end, and send nothing more."""
        try:
            yield
        except BaseException as error:
            cancelled = isinstance(error, OperationCancelledError | asyncio.CancelledError)
            try:
                await self._cancel_output(request.output)
            except JackCaptureError as failure:
                log.error("what is left of request %d of %s is still sent: %s", request.number, session_id, failure)
            ended = request.ended(EndedBy.CANCELLED if cancelled else EndedBy.FAILED)
            try:
                await asyncio.to_thread(self._catalog.requests.update, session_id, ended)
            except JackCaptureError as failure:
                log.error("the end of request %d of %s is not entered: %s", request.number, session_id, failure)
            raise

    async def _cancel_output(self, output: str) -> None:
        """Send nothing more from an output, and end the notes that sound."""
        with contextlib.suppress(NotFoundError):  # of an engine that was started since
            await self._link.request(MidiCancel(output), MidiOutputState)

    # --- send, and listen ---

    async def _carry_out(
        self,
        session: Session,
        segment: Segment,
        request: Request,
        content: RequestContent,
        settings: RequestSettings,
        caller: Caller,
    ) -> Request:
        """Send it and listen until the answer has ended; gives it with its frames, and what ended it."""
        rate = request.sample_rate
        pre_roll = int(PRE_ROLL_SECONDS * rate)
        await self._wait_for_frame(segment.started.jack_frame + pre_roll, rate, caller)
        sending = await Sending.begin(self._link, request, content)
        listening = Listening(self._catalog, self._streams, self._artifacts.scan, settings, rate)
        listening.begin(segment.ranges, sending.start_frame)
        while True:
            engine = await self._engine_at(rate)
            if not sending.is_done:  # then others may use the output
                sending.look(engine.midi_outputs)
            now = await asyncio.to_thread(self._catalog.sessions.segment, session.id, segment.number)
            await listening.listen(now.ranges, caller.cut)
            if self._is_ending():  # which ends all takes, and so must be looked at after them
                raise OperationCancelledError("session_request is cancelled: control ends", operation="session_request")
            ended = listening.ended(sending.last_event_frame, is_stopped=not now.is_running)
            if ended is not None:
                break
            self._tell(sending, listening, settings, rate, caller)
            await asyncio.sleep(_LOOK_SECONDS)
        end_frame, ended_by = ended
        first_note = sending.frame_of(content.first_note)
        if not sending.is_done:
            await self._cancel_output(request.output)
        return replace(
            request,
            started_at_ns=engine.wall_clock_ns + (first_note - engine.frame) * 1_000_000_000 // rate,
            ended_by=ended_by,
            sent=sending.sent,
            late_count=sending.late_count,
            from_frame=max(sending.start_frame - pre_roll, segment.started.jack_frame),
            first_note_frame=first_note,
            last_event_frame=sending.last_event_frame,
            end_frame=end_frame,
        )

    def _tell(
        self, sending: Sending, listening: Listening, settings: RequestSettings, rate: int, caller: Caller
    ) -> None:
        last = sending.last_event_frame
        if last is None:
            caller.progress(sending.sent, sending.events, "events")
        else:
            caller.progress(max(0, listening.heard - last), int(settings.max_seconds * rate), "frames")

    async def _wait_for_frame(self, frame: int, rate: int, caller: Caller) -> None:
        """Wait until JACK has come to a frame, which a segment that has just begun reaches in a moment."""
        while (await self._engine_at(rate)).frame < frame:
            caller.check()
            if self._is_ending():
                raise OperationCancelledError("session_request is cancelled: control ends", operation="session_request")
            await asyncio.sleep(_LOOK_SECONDS / 2)

    # --- what is known ---

    async def _engine_at(self, rate: int) -> EngineState:
        """Give the engine's state, without streams; raises `UnreachableError` or `ConflictError` if JACK cannot do."""
        engine = await engine_with_jack(self._link)
        if engine.sample_rate != rate:
            raise ConflictError(
                f"JACK runs at {engine.sample_rate} Hz, and the session's streams are defined at {rate} Hz: run JACK "
                "at that rate",
                sample_rate=engine.sample_rate,
            )
        return engine

    async def _get(self, session_id: str) -> Session:
        return await asyncio.to_thread(self._catalog.sessions.get, session_id)


def _check(session: Session) -> None:
    """Raise `ConflictError` for a session that sends no requests."""
    if session.mode is not SessionMode.REQUEST_RESPONSE:
        raise ConflictError(
            f"{session.id} is a session of the mode {session.mode.value}, which sends nothing: create one with --mode "
            f"{SessionMode.REQUEST_RESPONSE.value}",
            session_id=session.id,
            mode=session.mode.value,
        )
    if session.status is SessionStatus.CLOSED:
        raise ConflictError(
            f"{session.id} is closed: nothing more can be sent or recorded in it; create another session",
            session_id=session.id,
        )
