"""Cancelled calls: a real server and real sockets, operations that work until they are told to end."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from jackcapture import Client
from jackcapture.control.admission import MAX_CALLS_OF_CLIENT
from jackcapture.control.calls import Call, Calls
from jackcapture.control.contents import Contents
from jackcapture.control.maintenance.check import check_store
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.control.operations import OPERATIONS, Context, registry
from jackcapture.control.operations.artifacts import save, save_new
from jackcapture.control.operations.slices import take_back
from jackcapture.control.server import Server
from jackcapture.control.slices.requests import SliceOptions, SliceRequest
from jackcapture.control.slices.slicer import Slicer
from jackcapture.errors import ConflictError, NotFoundError, OperationCancelledError
from jackcapture.model.artifacts import Artifact
from jackcapture.model.results import DoneResult, SliceResult
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import Envelope, decode_envelope, encode_envelope
from parts.long_tape import record_long_take
from parts.tape import new_tape

PATIENCE = 10.0


@dataclass
class Work:
    """What the operations do: `begun` and `ended` are given once each time, `reported` where a client was told."""

    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    reported: threading.Event = field(default_factory=threading.Event)
    enough: threading.Event = field(default_factory=threading.Event)
    runs: list[str] = field(default_factory=list)


class Peer:
    """A client of the server, that says what it likes."""

    def __init__(self, runtime: Path) -> None:
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        sockets.configure_requester(self._socket)
        self._socket.connect(sockets.socket_address(str(runtime), sockets.CONTROL))

    def send(self, number: int, payload: messages.Payload) -> None:
        self._socket.send(encode_envelope(Envelope(number, payload)))

    def call(self, number: int, operation: str, **arguments: Any) -> None:
        self.send(number, messages.OperationCall(operation, json.dumps(arguments)))

    def reply(self) -> tuple[int, messages.Payload]:
        """The next reply that is final."""
        while True:
            assert self._socket.poll(int(1000 * PATIENCE)), "no reply"
            envelope = decode_envelope(self._socket.recv())
            if not isinstance(envelope.payload, messages.OperationProgress):
                return envelope.id, envelope.payload

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Operations: `steps` and `stubborn` go on until it is enough, `steps` can be cancelled."""
    work = Work()
    monkeypatch.setattr(registry, "OPERATIONS", {})

    report = Server.report

    async def reported(server: Server, this: Call, progress: messages.OperationProgress) -> None:
        await report(server, this, progress)
        work.reported.set()

    monkeypatch.setattr(Server, "report", reported)

    def run(context: Context, name: str) -> DoneResult:
        work.runs.append(name)
        work.begun.release()
        try:
            while not work.enough.wait(0.001):
                context.progress(1, 2, "steps")
        finally:
            work.ended.release()
        return DoneResult()

    async def steps(context: Context, name: str = "") -> DoneResult:
        """Take steps."""
        return await context.cut(lambda: run(context, name))

    async def stubborn(context: Context) -> DoneResult:
        """Go on."""
        return await context.cut(lambda: run(context, "stubborn"))

    registry.operation(cancellable=True)(steps)
    registry.operation(stubborn)
    yield work
    work.enough.set()


@pytest.fixture
def served(work: Work) -> Iterator[Path]:
    """The runtime directory of a running server with two threads for work."""
    loop = asyncio.new_event_loop()
    with TemporaryDirectory(prefix="jct-") as folder, ThreadPoolExecutor(2) as cutting:
        runtime = Path(sockets.make_runtime_directory(f"{folder}/run"))
        services: Any = SimpleNamespace(cutting=cutting)
        serving = threading.Event()

        async def serve() -> None:
            server = Server(str(runtime), services)
            task = asyncio.create_task(server.serve())
            ending.set_result(task)
            serving.set()
            await asyncio.gather(task, return_exceptions=True)
            await server.close()

        ending: asyncio.Future[asyncio.Task[None]] = loop.create_future()
        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        assert serving.wait(PATIENCE)

        yield runtime
        work.enough.set()
        loop.call_soon_threadsafe(ending.result().cancel)
        thread.join(PATIENCE)
        assert not thread.is_alive()
        loop.close()


@pytest.fixture
def connect(served: Path) -> Iterator[Callable[[], Peer]]:
    """A function that connects a peer to the server."""
    peers: list[Peer] = []

    def connect() -> Peer:
        peers.append(Peer(served))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()


def wait_for(semaphore: threading.Semaphore) -> None:
    assert semaphore.acquire(timeout=PATIENCE)


def test_a_call_is_cancelled_at_its_next_step(work: Work, connect: Callable[[], Peer]) -> None:
    peer = connect()
    peer.call(7, "steps")
    wait_for(work.begun)
    peer.send(8, messages.OperationCancel(7))
    replies = dict([peer.reply(), peer.reply()])
    assert replies[8] == messages.Done()
    assert replies[7] == messages.Error(
        "cancelled", "steps is cancelled: its client asked for that", '{"operation": "steps"}'
    )
    wait_for(work.ended)
    peer.send(9, messages.OperationCancel(7))
    number, refused = peer.reply()
    assert isinstance(refused, messages.Error)
    assert (number, refused.code) == (9, "not_found")
    assert "no call 7 of this client is under way" in refused.message


def test_nobody_cancels_the_call_of_another(work: Work, connect: Callable[[], Peer]) -> None:
    one, other = connect(), connect()
    for peer in (one, other):
        peer.call(7, "steps")
        wait_for(work.begun)
    connect().send(1, messages.OperationCancel(7))  # who has no such call
    one.send(8, messages.OperationCancel(7))
    assert {number for number, _ in (one.reply(), one.reply())} == {7, 8}
    wait_for(work.ended)
    other.send(8, messages.OperationCancel(9))
    assert other.reply()[0] == 8, "its call goes on"
    work.enough.set()
    assert other.reply() == (7, messages.OperationResult('{"done": true}'))


def test_a_call_that_waits_for_a_thread_is_never_begun(work: Work, connect: Callable[[], Peer]) -> None:
    peer = connect()
    for number in (1, 2):
        peer.call(number, "steps", name=str(number))
        wait_for(work.begun)
    peer.call(3, "steps", name="late")
    peer.send(4, messages.OperationCancel(3))
    assert peer.reply() == (4, messages.Done())
    work.enough.set()
    replies = dict(peer.reply() for _ in range(3))
    assert isinstance(replies[3], messages.Error)
    assert replies[3].code == "cancelled"
    assert work.runs == ["1", "2"]


def test_what_cannot_be_cancelled_says_so_and_goes_on(work: Work, connect: Callable[[], Peer]) -> None:
    peer = connect()
    peer.call(1, "stubborn")
    wait_for(work.begun)
    peer.send(2, messages.OperationCancel(1))
    number, refused = peer.reply()
    assert isinstance(refused, messages.Error)
    assert (number, refused.code) == (2, "conflict")
    assert refused.message == "stubborn cannot be cancelled: it goes on to its end"
    work.enough.set()
    assert peer.reply() == (1, messages.OperationResult('{"done": true}'))


def test_a_client_that_gives_up_what_goes_on_is_told_so(work: Work, served: Path) -> None:
    def refuse(done: int, total: int, unit: str) -> None:
        raise KeyboardInterrupt

    with Client(runtime=str(served)) as client:
        with pytest.raises(KeyboardInterrupt) as gone_on:
            client.call("stubborn", progress=refuse)
        assert gone_on.value.__notes__ == ["stubborn cannot be cancelled: it goes on to its end"]
        with pytest.raises(KeyboardInterrupt) as cancelled:
            client.call("steps", progress=refuse)
        assert not hasattr(cancelled.value, "__notes__")
        work.enough.set()
        assert client.call("steps") == {"done": True}, "the late reply to the first one is not mistaken for it"


def test_a_call_whose_client_has_gone_is_cancelled(work: Work, connect: Callable[[], Peer]) -> None:
    gone, stubborn = connect(), connect()
    gone.call(1, "steps")
    wait_for(work.begun)
    stubborn.call(1, "stubborn")
    wait_for(work.begun)
    stubborn.close()
    gone.close()
    wait_for(work.ended)
    for _ in range(5):  # reports that reach nobody
        work.reported.clear()
        assert work.reported.wait(PATIENCE), "the other one goes on"
    assert not work.ended.acquire(blocking=False)
    work.enough.set()
    wait_for(work.ended)


def test_who_has_all_calls_that_it_may_can_still_cancel(work: Work, connect: Callable[[], Peer]) -> None:
    peer = connect()
    for number in range(MAX_CALLS_OF_CLIENT + 1):
        peer.call(number, "steps")
    number, refused = peer.reply()
    assert isinstance(refused, messages.Error)
    assert (number, refused.code) == (MAX_CALLS_OF_CLIENT, "conflict")
    for number in range(MAX_CALLS_OF_CLIENT):
        peer.send(1000 + number, messages.OperationCancel(number))
    replies = dict(peer.reply() for _ in range(2 * MAX_CALLS_OF_CLIENT))
    assert all(replies[1000 + number] == messages.Done() for number in range(MAX_CALLS_OF_CLIENT))
    codes = [getattr(replies[number], "code", "") for number in range(MAX_CALLS_OF_CLIENT)]
    assert codes == ["cancelled"] * MAX_CALLS_OF_CLIENT


def test_the_calls_under_way_are_forgotten_when_they_have_ended() -> None:
    calls = Calls()
    kept, other = (Call(client, 1, "steps", cancellable=True) for client in (b"one", b"two"))
    with calls.entered(kept), calls.entered(other):
        calls.cancel(b"one", 1)
        with pytest.raises(OperationCancelledError, match="steps is cancelled: its client asked for that"):
            kept.check()
        other.check()
        assert other.cancel("its client has gone")
        assert other.cancel("twice")
        with pytest.raises(OperationCancelledError, match="its client has gone"):
            other.check()
        with calls.entered(Call(b"one", 2, "stream_stop", cancellable=False)), pytest.raises(ConflictError):
            calls.cancel(b"one", 2)
    with pytest.raises(NotFoundError):
        calls.cancel(b"one", 1)


def test_a_save_that_is_cancelled_takes_back_the_slice_that_the_call_had_made(tmp_path: Path) -> None:
    with new_tape(tmp_path / "store") as tape:
        tape.begin()
        tape.seal(tape.full(bytes(4000)))
        contents = Contents(tape.store, tape.catalog)
        services: Any = SimpleNamespace(store=tape.store, catalog=tape.catalog, contents=contents)
        before = set(tape.store.iterate_content())
        done: list[Artifact] = []
        slicer = Slicer(tape.store, tape.catalog, contents)

        def cut(last: int, path: str | None) -> SliceResult:
            request = SliceRequest(tape.stream, None, 0, last, SliceOptions("wav"), "here to there")
            result, artifact = slicer.cut(request, lambda done, total, unit: None, path=path)
            done.append(artifact)
            return result

        def cancel(*_: object) -> None:
            raise OperationCancelledError("enough")

        # Of the first of two that belong together the file was finished.
        first = cut(100, str(tmp_path / "a.wav"))
        save(Context(services, lambda done, total, unit: None), done[0], str(tmp_path / "a.wav"))
        cut(200, str(tmp_path / "b.wav"))
        with pytest.raises(OperationCancelledError, match="enough"):
            save_new(Context(services, cancel), done[1], str(tmp_path / "b.wav"))
        assert [artifact.id for artifact in tape.catalog.artifacts(kind="slice")] == [first.artifact_id]
        assert sorted(os.listdir(tmp_path)) == ["a.wav", "store"]
        take_back(services, [first])
        assert tape.catalog.artifacts(kind="slice") == []
        assert sorted(os.listdir(tmp_path)) == ["store"]
        assert set(tape.store.iterate_content()) == before
        assert list(tape.store.iterate_staging()) == []


@pytest.mark.parametrize("read_data", [False, True])
def test_a_check_that_is_cancelled_says_why_and_calls_nothing_damaged(tmp_path: Path, read_data: bool) -> None:
    root = tmp_path / "store"
    record_long_take(root, 2)
    call = Call(b"one", 1, "store_check", cancellable=True)
    told: list[str] = []

    def progress(done: int, total: int, unit: str) -> None:
        call.check()
        told.append(unit)
        if unit == ("bytes" if read_data else "files"):
            call.cancel("its client asked for that")

    def is_cancelled() -> bool:
        try:
            call.check()
        except OperationCancelledError:
            return True
        return False

    place = CheckPlace(str(root), progress=progress, is_cancelled=is_cancelled, check=call.check)
    with pytest.raises(OperationCancelledError, match="store_check is cancelled: its client asked for that"):
        check_store(place, read_data=read_data)
    assert told
    assert list(place.problems.listed) == []


def test_which_operations_can_be_cancelled() -> None:
    """What starts, stops or changes something goes on to its end: half of it would help nobody."""
    assert {name for name, found in OPERATIONS.items() if found.cancellable} == {
        "artifact_materialise", "artifact_read", "artifact_save", "doctor", "grab", "midi_send", "session_export",
        "session_request", "store_check", "store_gc", "stream_overview", "stream_slice", "stream_waveform",
        "suggestion_accept",
    }  # fmt: skip
