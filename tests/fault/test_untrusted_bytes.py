"""Any bytes on any socket: an error answer or a log line, never a crash, a hang, growth, or a frame that is lost.

`JACKCAPTURE_TEST_MUTATIONS` is how many messages each socket gets (100,000 for a long run); the timeout grows with it.
"""

import asyncio
import contextlib
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from jackcapture.control.engine_link import EngineLink
from jackcapture.errors import BY_CODE, JackCaptureError
from jackcapture.protocol import messages, sockets
from jackcapture.protocol.framing import Broadcast, Envelope, decode_broadcast, decode_envelope, encode_envelope
from jackcapture.protocol.publisher import MAX_SUBSCRIBERS
from parts import mutations
from parts.jackd import JackServer
from parts.messages import damaged
from parts.rig import PATIENCE, RATE, RigProcess, StartRig, wait_for
from parts.sources import StartSource, expected_samples

MUTATIONS = int(os.environ.get("JACKCAPTURE_TEST_MUTATIONS", "1200"))
GROWTH = 20_000_000  # bytes that a process may have more at the end
FLOOD = 1000  # as many answers as ZeroMQ keeps for a client that does not read yet
BATCH = 50  # fewer than a client may have under way

URI = "stream://test/stereo"
FORESEEN = set(BY_CODE) - {"internal", "unreachable"}


def resident_bytes(pid: int) -> int:
    """The memory of a process (VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


@contextlib.contextmanager
def dealer(rig: RigProcess, name: str) -> Iterator["zmq.Socket[bytes]"]:
    """A socket for requests to control or to the engine."""
    context = zmq.Context()
    try:
        with context.socket(zmq.DEALER) as door:
            sockets.configure_requester(door)
            door.connect(sockets.socket_address(str(rig.runtime), name))
            yield door
    finally:
        context.destroy(linger=0)


def send_all(rig: RigProcess, name: str, sent: Iterator[list[bytes]]) -> Counter[str]:
    """Send messages in batches, wait for the one answer to each, and count them by what they are."""
    answers: Counter[str] = Counter()
    with dealer(rig, name) as door:
        waiting = 0

        def take_answers() -> None:
            nonlocal waiting
            while waiting:
                assert door.poll(int(1000 * PATIENCE)), f"{waiting} messages have no answer; {answers}"
                payload = decode_envelope(door.recv()).payload
                kind = payload.code if isinstance(payload, messages.Error) else type(payload).__name__
                assert kind in FORESEEN or not isinstance(payload, messages.Error), payload
                answers[kind] += 1
                waiting -= 1

        for frames in sent:
            door.send_multipart(frames)
            waiting += 1
            if waiting == BATCH:
                take_answers()
        take_answers()
    return answers


def ungreeted(rig: RigProcess, name: str) -> socket.socket:
    """A connection without ZeroMQ."""
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(str(rig.runtime / name))
    peer.settimeout(PATIENCE)
    return peer


def greeted(rig: RigProcess, name: str, socket_type: bytes) -> socket.socket:
    """A connection without ZeroMQ, after the handshake."""
    peer = ungreeted(rig, name)
    greet(peer, socket_type)
    return peer


def greet(peer: socket.socket, socket_type: bytes) -> None:
    """Do the handshake."""
    peer.sendall(mutations.GREETING + mutations.ready(socket_type))
    received = b""
    while b"READY" not in received:
        piece = peer.recv(1000)
        if not piece:
            raise ConnectionResetError("refused")
        received += piece


def send_raw(rig: RigProcess, name: str, socket_type: bytes, count: int, seed: int) -> int:
    """Connect again and again without ZeroMQ, and send what it would not; some stay for a while and say no more."""
    chance = random.Random(seed)
    staying: list[socket.socket] = []
    refused = 0
    for _ in range(count):
        is_greeted = chance.random() < 0.5
        peer = ungreeted(rig, name)
        staying.append(peer)
        try:
            if is_greeted:
                greet(peer, socket_type)
            peer.sendall(mutations.raw_frames(chance) if is_greeted else mutations.raw_greeting(socket_type, chance))
        except (BrokenPipeError, ConnectionResetError):
            refused += 1
        if len(staying) > BATCH:
            staying.pop(chance.randrange(BATCH)).close()
    for peer in staying:
        peer.close()
    return refused


def attack(rig: RigProcess, count: int, seed: int) -> dict[str, Counter[str]]:
    """Send `count` messages to each socket, and give the answers."""
    answers = {
        sockets.CONTROL: send_all(rig, sockets.CONTROL, mutations.calls(count, seed)),
        sockets.ENGINE_COMMANDS: send_all(rig, sockets.ENGINE_COMMANDS, mutations.commands(count, seed + 1)),
    }
    for name, socket_type in ((sockets.CONTROL, b"DEALER"), (sockets.ENGINE_COMMANDS, b"REQ")):
        send_raw(rig, name, socket_type, count // 10, seed + 2)
    send_raw(rig, sockets.ENGINE_EVENTS, b"SUB", count, seed + 3)
    return answers


@pytest.fixture
def recording(jack_server: JackServer, frame_source: StartSource, start_rig: StartRig) -> Iterator[RigProcess]:
    """A rig that records; at the end the take must be whole, each sample at its place."""
    frame_source(jack_server)
    rig = start_rig(jack_server)
    pids = (rig.ready["control"], rig.ready["engine"])
    with rig.client() as client:
        client.call("stream_create", uri=URI, channels=2, sources=["source:out_.*"], chunk_size_bytes=1 << 20)
        start = client.call("stream_start", uris=[URI])[0]["takes"][0]["start_frame"]
        yield rig
        status = client.call("status")
        assert (status["control"]["pid"], status["engine"]["pid"]) == pids
        assert [stream["uri"] for stream in status["streams"]] == [URI]
        recorded = rig.wait_until_recorded(
            client, URI, client.call("stream_status", uri=URI)["head_sample"] + RATE // 4
        )
        assert recorded["status"] == "recording"
        stopped = client.call("stream_stop", uris=[URI])[0]
        assert (stopped["gap_count"], stopped["lost_frames"], stopped["error"]) == (0, 0, None)
        end = stopped["head_sample"]
        for first in range(0, end, 60 * RATE):
            piece = client.slice(URI, f"sample:{first}", f"sample:{min(end, first + 60 * RATE)}").array()
            assert (piece == expected_samples(start + first, len(piece), 2)).all()
    assert "Traceback" not in rig.log


@pytest.mark.timeout(120 + MUTATIONS // 20)
def test_mutated_messages_on_every_socket(recording: RigProcess) -> None:
    rig = recording
    pids = {"control": rig.ready["control"], "engine": rig.ready["engine"]}
    attack(rig, max(MUTATIONS // 4, 200), seed=1)  # fills what allocators keep
    before = {name: resident_bytes(pid) for name, pid in pids.items()}
    began = time.monotonic()
    answers = attack(rig, MUTATIONS, seed=20_261_125)
    took = time.monotonic() - began
    # Freed memory is given back every ten seconds.
    after = wait_for(
        lambda: {name: resident_bytes(pid) for name, pid in pids.items()},
        lambda seen: all(seen[name] - before[name] <= GROWTH for name in pids),
        f"no more than {GROWTH} bytes beyond {before}",
    )
    print(f"{MUTATIONS} messages on each socket in {took:.1f} s; memory {before} before, {after} after; {answers}")
    for counted in answers.values():
        assert counted.total() == MUTATIONS
        assert counted["invalid_value"] > MUTATIONS // 2
        assert counted["not_found"] > 0
    assert rig.log_path.stat().st_size < 1_000_000 + 100_000 * took  # lines are fewer than messages
    assert heard_event(rig)


def heard_event(rig: RigProcess) -> bool:
    """Whether a fresh subscriber hears the engine."""
    with zmq.Context() as context, context.socket(zmq.SUB) as events:
        sockets.configure_subscriber(events)
        events.connect(sockets.socket_address(str(rig.runtime), sockets.ENGINE_EVENTS))
        return bool(events.poll(int(1000 * PATIENCE))) and isinstance(decode_broadcast(events.recv()), Broadcast)


def test_clients_that_do_not_wait_or_do_not_read(recording: RigProcess) -> None:
    """Each call has one answer, too many are refused, and others are served meanwhile, with memory as before."""
    rig = recording
    call = encode_envelope(Envelope(1, messages.OperationCall("stream_list", "{}")))
    state = encode_envelope(Envelope(1, messages.StateRequest()))
    count = 2 * sockets.MAX_QUEUED_REPLIES
    with rig.client() as client, contextlib.ExitStack() as stack:
        before = {name: resident_bytes(rig.ready[name]) for name in ("control", "engine")}
        for name, request in ((sockets.CONTROL, call), (sockets.ENGINE_COMMANDS, state)):
            peer = stack.enter_context(contextlib.closing(greeted(rig, name, b"DEALER")))
            peer.settimeout(1.0)
            with contextlib.suppress(TimeoutError):  # it is not read from any more
                peer.sendall(mutations.frame(request) * count)
        flooding = stack.enter_context(dealer(rig, sockets.CONTROL))
        for _ in range(FLOOD):
            flooding.send(call)
        began = time.monotonic()
        assert client.call("stream_status", uri=URI)["status"] == "recording"
        assert time.monotonic() - began < PATIENCE / 2
        codes: Counter[str] = Counter()
        for _ in range(FLOOD):
            assert flooding.poll(int(1000 * PATIENCE)), codes
            payload = decode_envelope(flooding.recv()).payload
            codes[payload.code if isinstance(payload, messages.Error) else "done"] += 1
        assert set(codes) == {"done", "conflict"}
        assert codes["done"] >= 64
        after = {name: resident_bytes(rig.ready[name]) for name in before}
        assert all(after[name] - before[name] < GROWTH for name in before), (before, after)


def test_valid_commands_with_hostile_values_are_refused(recording: RigProcess) -> None:
    """What would end a loop later, or never, is refused at once: positions beyond the numbers, paths without end."""
    rig = recording
    with dealer(rig, sockets.ENGINE_COMMANDS) as door:

        def ask(command: messages.Payload) -> messages.Payload:
            began = time.monotonic()
            door.send(encode_envelope(Envelope(7, command)))
            assert door.poll(int(1000 * PATIENCE)), command
            data = door.recv()
            assert time.monotonic() - began < PATIENCE / 2
            assert len(data) < 64_000
            reply = decode_envelope(data)
            assert reply.id == 7
            return reply.payload

        for command in mutations.HOSTILE_COMMANDS:
            answer = ask(command)
            assert not isinstance(answer, messages.Error) or answer.code in FORESEEN, answer
        definition = next(stream for stream in engine_state(ask).streams if stream.uri == URI).definition
        other = messages.StreamAttach(
            type(definition)("stream://test/other", "test", definition.format, 1 << 16)  # type: ignore[arg-type]
        )
        assert isinstance(ask(other), messages.StreamState)
        path = rig.root / "staging" / ("ab" * 16)
        path.write_bytes(bytes(1 << 16))
        for frame, first_sample in ((messages.AT_ONCE, 2**64 - 1), (2**63, 0), (messages.AT_ONCE, (1 << 62) + 1)):
            start = messages.StreamStart(
                other.definition.uri, other.definition, str(path), frame, 2**32 - 1, first_sample
            )
            answer = ask(start)
            assert isinstance(answer, messages.Error), answer
            assert answer.code == "invalid_value"
        answer = ask(messages.StreamStop(URI, 2**64 - 2))
        assert isinstance(answer, messages.Error)
        assert (answer.code, "cannot stop at frame" in answer.message) == ("invalid_value", True)
        assert isinstance(ask(messages.StreamDetach(other.definition.uri)), messages.Done)
        path.unlink()


def engine_state(ask: Callable[[messages.Payload], messages.Payload]) -> messages.EngineState:
    state = ask(messages.StateRequest())
    assert isinstance(state, messages.EngineState)
    return state


def test_control_bears_any_engine(tmp_path: Path) -> None:
    """Malformed replies and events, in floods: the loop runs on, and a good reply arrives."""
    asyncio.run(hear_a_hostile_engine(str(tmp_path)))


async def hear_a_hostile_engine(runtime: str) -> None:
    heard: list[Broadcast] = []
    with zmq.Context() as context, context.socket(zmq.ROUTER) as replies, context.socket(zmq.PUB) as events:
        replies.bind(sockets.socket_address(runtime, sockets.ENGINE_COMMANDS))
        events.bind(sockets.socket_address(runtime, sockets.ENGINE_EVENTS))
        link = EngineLink(runtime, lambda broadcast, _: heard.append(broadcast))
        try:
            asked = asyncio.create_task(link.request(messages.MidiCancel("x"), messages.Done))
            while not replies.poll(0):
                await asyncio.sleep(0.01)
            identity, request = replies.recv_multipart()
            number = decode_envelope(request).id
            turns = 0

            async def count_turns() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count_turns())

            def flood() -> None:
                for data in damaged(MUTATIONS, seed=3):
                    if data[8:16] and not is_reply_to(number, data):
                        replies.send_multipart([identity, data, data])
                    events.send_multipart([data, b""])
                replies.send_multipart([identity, encode_envelope(Envelope(number, messages.Done()))])

            sending = asyncio.create_task(asyncio.to_thread(flood))
            assert await asyncio.wait_for(asked, PATIENCE) == messages.Done()
            await sending
            counting.cancel()
            assert turns > MUTATIONS // 2
        finally:
            await link.close()


def is_reply_to(number: int, data: bytes) -> bool:
    try:
        return decode_envelope(data).id == number
    except JackCaptureError:
        return False


def test_subscribers_are_bounded(recording: RigProcess) -> None:
    """Topics without end, subscribers that do not read, and more than there may be: honest ones hear the engine."""
    rig = recording
    before = resident_bytes(rig.ready["engine"])
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_SUBSCRIBERS // 2):
            peer = stack.enter_context(contextlib.closing(greeted(rig, sockets.ENGINE_EVENTS, b"SUB")))
            peer.setblocking(False)
            with contextlib.suppress(BlockingIOError):  # more than is read
                for number in range(10_000):
                    peer.sendall(mutations.frame(b"\1" + number.to_bytes(8, "big")))
        assert heard_event(rig)
        for _ in range(MAX_SUBSCRIBERS):
            stack.enter_context(contextlib.closing(ungreeted(rig, sockets.ENGINE_EVENTS)))
    assert heard_event(rig)
    assert resident_bytes(rig.ready["engine"]) - before < GROWTH
