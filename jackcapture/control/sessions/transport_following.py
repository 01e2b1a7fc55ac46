"""Sessions that follow JACK's transport: segments begin where it begins to roll, and end where it stops.

A session is armed from its creation until it is closed. What the transport does is told by the engine, in events and
again in its state, each change with its exact frame; it is carried out in that order, soon after it happened, on that
frame: the rings hold it. What cannot be done at once, because an engine has just died or a take is still being sealed,
is tried again.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from jackcapture.catalog import Catalog
from jackcapture.control.sessions.life_cycle import Sessions
from jackcapture.control.sessions.settings import OnRelocate, session_settings
from jackcapture.control.sessions.transport_steps import StepKind, TransportStep, TransportSteps
from jackcapture.errors import ConflictError, JackCaptureError, NotFoundError, UnreachableError
from jackcapture.model.sessions import Segment, Session, SessionStatus
from jackcapture.model.takes import TransportState
from jackcapture.protocol.messages import EngineState, JackTransport

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5


@dataclass(slots=True)
class _Owed:
    """A step that a session has still to take."""

    step: TransportStep
    is_old: bool  # it was taken before this control ran
    deadline: float  # on time.monotonic: until then it is tried again
    is_told: bool = False  # that it cannot be taken yet


class TransportFollower:
    """Has the sessions that follow the transport do what it does; methods on the asyncio loop."""

    def __init__(
        self,
        catalog: Catalog,
        sessions: Sessions,
        ring_seconds: float,
        newest_frame: Callable[[], Awaitable[int]],
        wants_state: Callable[[], None],
    ) -> None:
        """`wants_state` has the engine's state asked for: a change was missed."""
        self._newest_frame = newest_frame
        self._catalog = catalog
        self._sessions = sessions
        self._ring_seconds = ring_seconds
        self._wants_state = wants_state
        self._steps = TransportSteps()
        self._engine_id = ""
        self._ended_engines: set[str] = set()
        self._number = 0  # of the newest change that was taken note of
        self._is_fresh = False  # control has just begun, and sessions may be as an earlier one left them
        self._doing: asyncio.Task[None] | None = None
        self._new: deque[_Owed] = deque()
        self._is_closing = False
        self._owed: dict[str, deque[_Owed]] = {}  # by session
        self._wake = asyncio.Event()

    # --- what the engine tells ---

    def on_event(self, engine_id: str, change: JackTransport) -> None:
        """Take note of a change, if none before it is missing."""
        is_present = engine_id == self._engine_id
        if engine_id in self._ended_engines or (is_present and change.number <= self._number):
            return
        if is_present and change.number == self._number + 1:
            self._take(change, is_old=False)
        else:
            self._wants_state()

    def on_state(self, state: EngineState) -> None:
        """Take note of the changes that were missed; the streams know already what the state says of them."""
        is_old = not self._engine_id
        if is_old:
            self._is_fresh = True
            self._wake.set()
        if state.engine_id != self._engine_id:
            self._ended_engines.add(self._engine_id)  # whose events may still be on their way
            self._engine_id, self._number = state.engine_id, 0
        for change in state.transport_changes:
            if change.number > self._number:
                if change.number != self._number + 1:
                    self._steps.forget()
                self._take(change, is_old=is_old)

    def _take(self, change: JackTransport, *, is_old: bool) -> None:
        self._number = change.number
        for step in self._steps.steps(change):
            self._new.append(_Owed(step, is_old, time.monotonic() + self._ring_seconds))
            self._wake.set()

    # --- the work ---

    async def keep(self) -> None:
        """Carry out what the transport does, for ever."""
        while True:
            timeout = _RETRY_SECONDS if self._owed else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout)
            self._wake.clear()
            try:
                self._doing = asyncio.create_task(self._work())
                await asyncio.shield(self._doing)
            except Exception as error:  # as a rule the catalog's disk; what was not done stays owed
                log.error("following the transport: %s", error, exc_info=not isinstance(error, JackCaptureError))
                await asyncio.sleep(_RETRY_SECONDS)
                self._wake.set()

    async def close(self) -> None:
        """Wait for what is under way, when `keep` has been cancelled: nothing is to be left half begun."""
        self._is_closing = True
        if self._doing is not None:
            await asyncio.gather(self._doing, return_exceptions=True)

    async def _work(self) -> None:
        """Do what is owed, and then each new step for all sessions, so that they keep in step."""
        if self._is_fresh:
            await self._end_what_is_gone()
            self._is_fresh = False
        for session_id in list(self._owed):
            await self._pay(session_id)
        while self._new and not self._is_closing:
            for session_id in await asyncio.to_thread(self._catalog.sessions.following):
                self._owed.setdefault(session_id, deque()).append(replace(self._new[0]))
            self._new.popleft()
            for session_id in list(self._owed):
                await self._pay(session_id)

    async def _pay(self, session_id: str) -> None:
        """Let a session take the steps that it owes, up to one that cannot be taken yet."""
        owed = self._owed[session_id]
        while owed and not self._is_closing:
            if not await self._is_done(session_id, owed[0], has_more=len(owed) > 1):
                return
            owed.popleft()
        if not owed:
            del self._owed[session_id]

    async def _end_what_is_gone(self) -> None:
        """End segments of which no take runs any more, as after the machine was lost: their frames mean nothing now."""
        for session_id in await asyncio.to_thread(self._catalog.sessions.following):
            session = await asyncio.to_thread(self._catalog.sessions.get, session_id)
            if session.running is not None and not self._sessions.records(session.running):
                log.warning("%s: the takes of segment %d have ended; it ends", session_id, session.running.number)
                await self._sessions.stop(session_id)

    async def _is_done(self, session_id: str, owed: _Owed, *, has_more: bool) -> bool:
        """Let a session take a step; False if it has to be tried again."""
        step = owed.step
        try:
            await self._do(session_id, owed)
        except NotFoundError as error:  # it was deleted
            log.info("%s: %s", session_id, error)
        except JackCaptureError as error:
            is_passing = isinstance(error, ConflictError | UnreachableError) and "oldest_frame" not in error.details
            if step.kind is StepKind.STOP or (is_passing and time.monotonic() < owed.deadline):
                if not owed.is_told:
                    log.warning("%s cannot follow the transport yet; it is tried again: %s", session_id, error)
                owed.is_told = True
                return False
            log.error("%s does not follow the transport at frame %d: %s", session_id, step.at.jack_frame, error)
            if step.kind is StepKind.START and not has_more and self._steps.is_rolling:
                await self._begin_late(session_id)
        except Exception:  # a defect, which must not hold up the other sessions
            log.exception("%s does not follow the transport at frame %d", session_id, step.at.jack_frame)
        return True

    async def _do(self, session_id: str, owed: _Owed) -> None:
        step, session = owed.step, await asyncio.to_thread(self._catalog.sessions.get, session_id)
        segment = session.running
        match step.kind:
            case StepKind.START:
                if segment is None and await self._counts(session, owed):
                    await self._sessions.play(session_id, step.at)
            case StepKind.RELOCATION:
                settings = session_settings(session.settings).transport
                new_segment = settings.on_relocate is OnRelocate.SEGMENT
                await self._sessions.relocate(session_id, step.at, step.from_frame, new_segment=new_segment)
            case StepKind.STOP:
                if segment is not None and _ends(segment, step):
                    await self._stop(session_id, step)

    async def _stop(self, session_id: str, step: TransportStep) -> None:
        try:
            await self._sessions.stop(session_id, at=step.at)
        except ConflictError:
            session = await asyncio.to_thread(self._catalog.sessions.get, session_id)
            if session.running is not None:  # else somebody has stopped it meanwhile
                raise

    async def _begin_late(self, session_id: str) -> None:
        """Rather begin a segment late than not at all, while the transport rolls."""
        try:
            await self._sessions.play(session_id)
        except JackCaptureError as error:
            log.error("%s does not follow the transport: %s", session_id, error)

    async def _counts(self, session: Session, owed: _Owed) -> bool:
        """Tell whether a start is one after the session was created, and after its last segment.

        A frame that JACK has not come to yet is of an earlier count of frames, before this engine's.
        """
        at = owed.step.at
        if session.status is SessionStatus.CLOSED:
            return False
        newest = await self._newest_frame()
        ended = session.segments[-1].ended if session.segments else None
        if ended is not None and at.jack_frame < ended.jack_frame <= newest:
            return False
        armed = self._sessions.armed_frame(session.id)
        if armed is not None and armed <= newest:
            return at.jack_frame >= armed
        return not owed.is_old or at.wall_clock_ns > session.created_at_ns


def _ends(segment: Segment, step: TransportStep) -> bool:
    """Tell whether a stop is one of the segment that runs; a presumed one ends none that was begun by hand."""
    is_later = step.at.jack_frame > segment.started.jack_frame
    return is_later and (not step.is_presumed or segment.started.transport_state is TransportState.ROLLING)
