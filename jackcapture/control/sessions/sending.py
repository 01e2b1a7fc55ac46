"""The messages of a request on their way: how far the engine is with them, and the frames at which they were sent."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from jackcapture.control.engine_link import EngineLink
from jackcapture.control.sessions.request_content import RequestContent
from jackcapture.errors import ConflictError, UnreachableError
from jackcapture.model.requests import Request
from jackcapture.protocol.messages import AT_ONCE, MidiEvent, MidiOutputState, MidiSend


@dataclass(slots=True)
class Sending:
    """What an output was given; `look` sees how far it is."""

    number: int
    output: str
    frames: tuple[int, ...]  # of each message, from the first one's begin
    start_frame: int
    sent: int = 0
    is_done: bool = False
    late_count: int = 0
    _late: dict[int, int] = field(default_factory=dict)  # by message: how many frames too late it was sent

    @classmethod
    async def begin(cls, link: EngineLink, request: Request, content: RequestContent) -> "Sending":
        """Give the engine the messages, to be sent as soon as may be; the first at the request's first frame."""
        events = tuple(MidiEvent(frame, message) for frame, message in content.messages)
        command = MidiSend(request.output, request.to, AT_ONCE, events)
        state = await link.request(command, MidiOutputState)
        frames = tuple(frame for frame, _ in content.messages)
        return cls(request.number, request.output, frames, state.start_frame)

    @property
    def events(self) -> int:
        """How many messages there are."""
        return len(self.frames)

    @property
    def last_event_frame(self) -> int | None:
        """The frame at which the last message was sent; None as long as it was not."""
        return self.frame_of(self.events - 1) if self.sent == self.events else None

    def look(self, outputs: Iterable[MidiOutputState]) -> None:
        """Take note of the state of the engine's outputs.

        Raises `UnreachableError` if the engine knows nothing of it any more, `ConflictError` if it was not all sent.
        """
        state = next((it for it in outputs if it.output == self.output), None)
        if state is None or state.start_frame != self.start_frame:
            raise UnreachableError(
                f"the engine died while it sent request {self.number}: {self.sent} of {self.events} messages are sent"
            )
        self.sent, self.is_done, self.late_count = state.sent, state.is_done, state.late_count
        self._late = {late.index: late.frames for late in state.late}
        if state.is_done and state.error:
            raise ConflictError(
                f"request {self.number} was not all sent, {state.sent} of {state.events} messages: {state.error}; "
                "send it again",
                sent=state.sent,
                events=state.events,
            )

    def frame_of(self, index: int) -> int:
        """Give the 64-bit JACK frame at which a message was sent (of more late ones than the engine lists, its own)."""
        return self.start_frame + self.frames[index] + self._late.get(index, 0)
