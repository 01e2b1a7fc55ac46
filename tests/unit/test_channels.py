"""Which channel a source gets, and when it is connected: with a graph that is a dictionary."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.engine.connections import Channels, Connections, DoomedPorts, Look, matches
from jackcapture.engine.jack_client import JackClient
from jackcapture.errors import ConflictError
from jackcapture.model.streams import AudioFormat, MidiFormat, StreamDefinition, StreamFormat
from jackcapture.model.takes import Latency
from jackcapture.model.uris import parse_stream_uri

NAMES = ("synth:out_1", "synth:out_2", "drum (left:out", "a.b:out")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("synth:out_2", ["synth:out_2"]),
        ("synth:out_.*", ["synth:out_1", "synth:out_2"]),
        ("synth:out", []),  # a pattern means a whole name
        ("drum (left:out", ["drum (left:out"]),  # no regular expression, but a name
        ("a.b:out", ["a.b:out"]),
        ("nobody:.*", []),
        ("(", []),
        ("x{99999999999}", []),
        (".*", list(NAMES)),
    ],
)
def test_a_source_is_a_name_or_a_pattern_over_whole_names(source: str, found: list[str]) -> None:
    assert matches(source, NAMES) == found


def by_channel(channels: Channels, *found: list[str]) -> list[str]:
    """What each channel has; nothing may be in two, and no channel may have two."""
    got = channels.assign(found)
    assert len({channel for channel, _ in got}) == len(got)
    names = dict(got)
    return [names.get(channel, "") for channel in range(channels._count)]


def test_sources_have_the_channels_in_their_order() -> None:
    channels = Channels(("a:1", "p:.*", "b:1"), 4)
    assert by_channel(channels, ["a:1"], ["p:1", "p:2"], ["b:1"]) == ["a:1", "p:1", "p:2", "b:1"]
    assert by_channel(Channels(("p:.*",), 2), ["p:1", "p:2", "p:3"]) == ["p:1", "p:2"]  # there are no more
    assert by_channel(Channels(("a:1", "b:1", "c:1"), 2), ["a:1"], ["b:1"], ["c:1"]) == ["a:1", "b:1"]
    assert by_channel(Channels(("a:1", "a:1"), 2), ["a:1"], ["a:1"]) == ["a:1", "a:1"]  # mono on both


def test_an_absent_source_keeps_its_channels() -> None:
    channels = Channels(("a:1", "b:1"), 4)
    assert by_channel(channels, [], ["b:1"]) == ["", "b:1", "", ""]
    assert by_channel(channels, ["a:1"], []) == ["a:1", "", "", ""]
    # A pattern that matches nothing yet has room for what the channels leave.
    channels = Channels(("p:.*", "b:1"), 3)
    assert by_channel(channels, [], ["b:1"]) == ["", "", "b:1"]
    assert by_channel(channels, ["p:1", "p:2"], ["b:1"]) == ["p:1", "p:2", "b:1"]
    channels = Channels(("p:.*", "q:.*"), 4)
    assert by_channel(channels, [], []) == ["", "", "", ""]
    assert by_channel(channels, [], ["q:1", "q:2"]) == ["", "", "q:1", "q:2"]
    assert by_channel(channels, ["p:1", "p:2"], ["q:1", "q:2"]) == ["p:1", "p:2", "q:1", "q:2"]


def test_what_has_a_channel_keeps_it() -> None:
    channels = Channels(("p:.*", "b:1"), 4)
    assert by_channel(channels, ["p:1", "p:2"], ["b:1"]) == ["p:1", "p:2", "b:1", ""]
    assert by_channel(channels, ["p:2"], ["b:1"]) == ["", "p:2", "b:1", ""]
    assert by_channel(channels, ["p:1", "p:2", "p:3"], ["b:1"]) == ["p:1", "p:2", "b:1", "p:3"]
    assert by_channel(channels, ["p:3"], []) == ["", "", "", "p:3"]
    # A client with another name each time has the channels of the one before.
    channels = Channels(("v_.*",), 2)
    assert by_channel(channels, ["v_1:l", "v_1:r"]) == ["v_1:l", "v_1:r"]
    assert by_channel(channels, []) == ["", ""]
    assert by_channel(channels, ["v_2:l", "v_2:r"]) == ["v_2:l", "v_2:r"]
    assert by_channel(channels, ["v_1:l", "v_2:l", "v_2:r"]) == ["v_2:l", "v_2:r"]


PRESENCE = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=8)


@given(presence=PRESENCE, count=st.integers(1, 7))
def test_nothing_moves_whatever_comes_and_goes(presence: list[list[bool]], count: int) -> None:
    """Ports of three sources come and go: none is ever on two channels, and none moves while it stays."""
    ports = (("a:1",), ("p:1", "p:2", "p:3"), ("q:1", "q:2"))
    channels = Channels(("a:1", "p:.*", "q:.*"), count)
    before: dict[str, int] = {}
    for look in presence:
        there = iter(look)
        found = [[name for name in names if next(there)] for names in ports]
        got = channels.assign(found)
        now = {name: channel for channel, name in got}
        assert len(now) == len(got) == len(set(now.values()))
        assert set(now.values()) <= set(range(count))
        assert all(now[name] == channel for name, channel in before.items() if name in now)
        assert all(name in now for name in before if any(name in names for names in found))
        before = now


@dataclass
class Port:
    name: str


@dataclass
class Graph:
    """A JACK client and the graph that it sees."""

    audio: list[str] = field(default_factory=list)
    midi: list[str] = field(default_factory=list)
    cables: set[tuple[str, str]] = field(default_factory=set)
    refuses: set[str] = field(default_factory=set)
    port_changes: int = 0
    is_freewheeling: bool = False
    forgets_ports: bool = True

    def outputs(self, is_audio: bool) -> list[str]:
        return self.audio if is_audio else self.midi

    def connections(self, port: Port) -> tuple[str, ...]:
        return tuple(sorted(source for source, target in self.cables if target == port.name))

    def connect(self, source: str, port: Port) -> None:
        assert (source, port.name) not in self.cables
        if source in self.refuses:
            raise ConflictError(f"JACK does not connect {source}")
        self.cables.add((source, port.name))

    def capture_latency(self, port: Port) -> Latency:
        return Latency(len(self.connections(port)), 7)

    def come(self, *names: str) -> None:
        self.audio += names
        self.port_changes += 1

    def go(self, *names: str) -> None:
        self.audio = [name for name in self.audio if name not in names]
        self.cables = {cable for cable in self.cables if cable[0] not in names}
        self.port_changes += 1


class Stream:
    """The connections of a stream in a graph, looked at when it is said."""

    def __init__(self, graph: Graph, stream_format: StreamFormat, *sources: str) -> None:
        uri = parse_stream_uri("stream://rack/main")
        definition = StreamDefinition(uri, "a rack", stream_format, chunk_size_bytes=1 << 16, sources=sources)
        self.graph = graph
        self.connections = Connections(definition)
        self.ports = [Port(f"us:in_{number}") for number in range(1, definition.ports + 1)]
        self.seen = -1
        self.doomed = DoomedPorts()

    def absent(self) -> tuple[str, ...]:
        return self.connections.absent

    def look(self, *, everything: bool = False) -> Sequence[tuple[str, ...]]:
        """Look at the graph as at a change of it; gives what each port is connected to."""
        changes = self.graph.port_changes
        look = Look(cast(JackClient, self.graph), self.seen, self.doomed)
        self.connections.update(look, cast(list[Any], self.ports), everything=everything)
        self.seen = changes
        assert [port.port for port in self.connections.ports] == [port.name for port in self.ports]
        assert all(port.latency == Latency(len(port.connections), 7) for port in self.connections.ports)
        return [port.connections for port in self.connections.ports]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by ten seconds at each look."""
    ticks = itertools.count(0, 10)
    monkeypatch.setattr("jackcapture.engine.connections.time.monotonic", lambda: next(ticks))


STEREO = AudioFormat(48_000, 2)


def test_sources_are_connected_when_they_come_and_when_they_come_back() -> None:
    graph = Graph()
    stream = Stream(graph, STEREO, "a:1", "b:1")
    assert stream.absent() == ("a:1", "b:1")
    assert stream.look(everything=True) == [(), ()]
    graph.come("b:1", "c:1")
    assert stream.look() == [(), ("b:1",)]
    assert stream.absent() == ("a:1",)
    graph.come("a:1")
    assert stream.look() == [("a:1",), ("b:1",)]
    graph.go("b:1")
    assert stream.look() == [("a:1",), ()]
    assert stream.absent() == ("b:1",)
    graph.come("b:1")
    assert stream.look() == [("a:1",), ("b:1",)]
    graph.go("a:1")  # and back, between two looks
    graph.come("a:1")
    assert stream.look() == [("a:1",), ("b:1",)]


@pytest.mark.usefixtures("clock")
def test_a_connection_that_was_undone_stays_undone_until_the_next_start() -> None:
    graph = Graph(["a:1", "b:1", "c:1"])
    stream = Stream(graph, STEREO, "a:1", "b:1")
    stream.look(everything=True)
    graph.cables.remove(("a:1", "us:in_1"))
    graph.cables.add(("c:1", "us:in_2"))
    assert stream.look() == [(), ("b:1", "c:1")]
    graph.come("d:1")
    assert stream.look() == [(), ("b:1", "c:1")]
    assert stream.absent() == ()
    assert stream.look(everything=True) == [("a:1",), ("b:1", "c:1")]
    graph.cables.remove(("a:1", "us:in_1"))
    assert stream.look() == [(), ("b:1", "c:1")]
    graph.go("a:1")
    stream.look()
    graph.come("a:1")
    assert stream.look() == [("a:1",), ("b:1", "c:1")]


def test_a_connection_that_went_shortly_before_its_port_was_not_undone() -> None:
    """What JACK tells of a port may come later than what it does to its connections."""
    graph = Graph(["a:1"])
    stream = Stream(graph, STEREO, "a:1")
    stream.look(everything=True)
    graph.cables.clear()
    assert stream.look() == [(), ()]
    graph.port_changes += 1
    assert stream.look() == [("a:1",), ()]


def test_what_jack_refuses_is_tried_again_at_the_next_change() -> None:
    graph = Graph(["a:1"], refuses={"a:1"})
    stream = Stream(graph, STEREO, "a:1")
    assert stream.look(everything=True) == [(), ()]
    graph.refuses.clear()
    assert stream.look() == [("a:1",), ()]


def test_connections_come_back_with_the_server_those_made_by_hand_too() -> None:
    graph = Graph(["a:1", "c:1"])
    stream = Stream(graph, STEREO, "a:1")
    stream.look(everything=True)
    graph.cables.add(("c:1", "us:in_2"))
    stream.look()
    stream.connections.suspend()
    assert [port.connections for port in stream.connections.ports] == [(), ()]
    assert stream.absent() == ("a:1",)
    graph.go("a:1", "c:1")
    assert stream.look(everything=True) == [(), ()]
    stream.connections.suspend()  # again, before all were back
    graph.come("c:1")
    graph.refuses.add("c:1")
    assert stream.look(everything=True) == [(), ()]
    graph.refuses.clear()
    assert stream.look() == [(), ("c:1",)]
    graph.come("a:1")
    assert stream.look() == [("a:1",), ("c:1",)]
    graph.cables.remove(("c:1", "us:in_2"))  # by hand, as it was made
    graph.come("d:1")
    assert stream.look(everything=True) == [("a:1",), ()]


@pytest.mark.parametrize("forgets_ports", [True, False])
def test_a_port_that_comes_during_a_freewheel_is_absent_while_jackd_has_it(forgets_ports: bool) -> None:
    graph = Graph(["a:1"], forgets_ports=forgets_ports)
    stream = Stream(graph, STEREO, "a:1", "b:1")
    stream.look(everything=True)
    graph.is_freewheeling = True
    graph.come("b:1")
    there = [("a:1",), () if forgets_ports else ("b:1",)]
    assert stream.look() == there
    assert stream.absent() == (("b:1",) if forgets_ports else ())
    graph.is_freewheeling = False
    graph.come("c:1")
    assert stream.look(everything=True) == there
    graph.go("b:1")
    stream.look()
    graph.come("b:1")
    assert stream.look() == [("a:1",), ("b:1",)]


def test_all_sources_of_a_midi_stream_go_to_its_one_port() -> None:
    graph = Graph(["keys:out", "a:1"], ["keys:midi", "pad:midi_1", "pad:midi_2"])
    stream = Stream(graph, MidiFormat(48_000), "keys:.*", "pad:.*", "pad:midi_1", "a:1", "nobody:.*")
    assert stream.look(everything=True) == [("keys:midi", "pad:midi_1", "pad:midi_2")]
    assert stream.absent() == ("a:1", "nobody:.*")  # an audio port is no source of it
