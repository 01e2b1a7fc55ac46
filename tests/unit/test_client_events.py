"""Events in Python: a real publisher whose numbers have holes, and what ends the loop."""

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from jackcapture import Client
from jackcapture.client import Events, EventsLost
from jackcapture.client import events as client_events
from jackcapture.errors import InvalidValueError, UnreachableError
from jackcapture.protocol import sockets
from jackcapture.protocol.framing import Broadcast, encode_broadcast
from jackcapture.protocol.messages import DiskLow, Event, JackState
from jackcapture.protocol.publisher import MAX_SUBSCRIBERS, Publisher

PATIENCE = 10.0
JACK = JackState("default", connected=True, reason="")
DISK = DiskLow(is_low=True, path="/tape", seconds_left=60.0, free_bytes=1)


class Control:
    """What a subscriber sees of control: its two sockets, and what it is told to publish."""

    def __init__(self, runtime: Path) -> None:
        self.runtime = str(runtime)
        self._calls = Publisher(self.runtime, sockets.CONTROL)
        self._events = Publisher(self.runtime, sockets.CONTROL_EVENTS)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tend)
        self._thread.start()

    def publish(self, sequence: int, publisher: str = "engine", event: Event = JACK) -> None:
        self.publish_bytes(encode_broadcast(Broadcast(sequence, publisher, event)))

    def publish_bytes(self, data: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        with self._lock:
            # As control does: it has heard of who subscribed before it comes to what is asked after that.
            while not all(it.is_ready for it in self._events._subscribers.values()) and time.monotonic() < deadline:
                self._events.tend()
            self._events.send(data)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for publisher, name in ((self._calls, sockets.CONTROL), (self._events, sockets.CONTROL_EVENTS)):
            publisher.close()
            sockets.remove_socket(self.runtime, name)

    def _tend(self) -> None:
        while not self._ended.wait(0.005):
            with self._lock:
                self._calls.tend()
                self._events.tend()


@pytest.fixture
def control() -> Iterator[Control]:
    with TemporaryDirectory(prefix="jct-") as folder:
        control = Control(Path(sockets.make_runtime_directory(f"{folder}/run")))
        yield control
        control.close()


@pytest.fixture
def client(control: Control, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(client_events, "_LOOK_SECONDS", 0.1)
    with Client(runtime=control.runtime) as client:
        yield client


def test_what_is_missing_is_told_in_its_place(control: Control, client: Client) -> None:
    events = client.events(timeout=PATIENCE)
    for sequence in (7, 8, 11):
        control.publish(sequence)
    control.publish(3, "control", DISK)
    control.publish_bytes(b"nonsense")
    control.publish(12)
    control.publish(5, "control", DISK)
    control.publish(1, "another engine")
    control.publish(2, "another engine")
    expected = [JACK, JACK, EventsLost(2), JACK, DISK, JACK, EventsLost(1), DISK, EventsLost(None), JACK, JACK]
    assert [next(events) for _ in expected] == expected


def test_the_loop_ends_when_nothing_comes(control: Control, client: Client) -> None:
    began = time.monotonic()
    assert list(client.events(timeout=0.05)) == []
    assert 0.05 <= time.monotonic() - began < PATIENCE
    events = client.events(timeout=0.3)
    control.publish(1)
    assert list(events) == [JACK]
    assert list(events) == [], "what has ended stays so"


def test_the_loop_ends_when_the_client_is_closed(control: Control, client: Client) -> None:
    events = client.events()
    control.publish(1)
    for event in events:
        assert event == JACK
        control.publish(2)
        client.close()
    assert list(events) == []


def test_another_thread_may_close_what_waits(control: Control, client: Client) -> None:
    events = client.events()
    got: list[Event | EventsLost] = []
    thread = threading.Thread(target=lambda: got.extend(events))
    thread.start()
    control.publish(1)
    deadline = time.monotonic() + PATIENCE
    while not got and time.monotonic() < deadline:
        time.sleep(0.005)
    events.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert got == [JACK]


def test_a_loop_that_was_left_does_not_keep_its_place(control: Control, client: Client) -> None:
    for _ in range(MAX_SUBSCRIBERS + 5):
        events = client.events()
        control.publish(1)
        for event in events:
            assert event == JACK
            break
        del events
    gc.collect()


def test_one_subscriber_too_many_is_told(control: Control, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Events] = [client.events() for _ in range(MAX_SUBSCRIBERS - 1)]
    monkeypatch.setattr(sockets, "HANDSHAKE_SECONDS", 0.3)

    def subscribe_twice() -> None:
        kept.extend((client.events(), client.events()))

    with pytest.raises(UnreachableError, match="takes no more subscribers of its events: it takes 64; close some"):
        subscribe_twice()


def test_without_control_there_are_no_events(control: Control, client: Client) -> None:
    events = client.events()
    control.publish(1)
    assert next(events) == JACK
    control.close()
    with pytest.raises(UnreachableError, match=r"control does not answer in .*; start it with 'jackcapture up'"):
        next(events)
    assert list(events) == []
    with pytest.raises(UnreachableError, match="control does not answer"):
        client.events()


def test_a_directory_that_others_may_enter_is_refused(control: Control, client: Client) -> None:
    events = client.events()
    Path(control.runtime).chmod(0o750)
    with pytest.raises(InvalidValueError, match="mode 0750"):
        client.events()
    with pytest.raises(InvalidValueError, match="mode 0750"):
        next(events)
    assert list(events) == []
