"""Connects the sources of a stream's definition to its ports, and keeps what is connected. Main thread only."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jackcapture.engine.jack_client import JackClient
from jackcapture.errors import ConflictError, InvalidValueError
from jackcapture.model.patterns import compile_pattern
from jackcapture.model.streams import StreamDefinition
from jackcapture.protocol.messages import PortConnections

log = logging.getLogger(__name__)

SETTLING_SECONDS = 1.0
"""A connection that went so shortly before a port came or went may have gone with its port, not by somebody's hand."""

_PATTERN_CHARACTERS = frozenset(".^$*+?{}[]\\|()")


class Look:
    """One look at the graph, for all streams: what could be captured."""

    def __init__(self, client: JackClient, ports_seen: int, doomed: "DoomedPorts") -> None:
        """`ports_seen`: the client's count of port changes at the look before."""
        self.client = client
        self._ports_seen = ports_seen
        found = {is_audio: client.outputs(is_audio) for is_audio in (True, False)}
        doomed.see({name for names in found.values() for name in names}, client)
        self._outputs = {
            is_audio: dict.fromkeys(name for name in names if name not in doomed) for is_audio, names in found.items()
        }

    @property
    def ports_changed(self) -> bool:
        """Whether a port has come or gone since the look before, up to this moment."""
        return self.client.port_changes != self._ports_seen

    def outputs(self, is_audio: bool) -> dict[str, None]:
        """Give the names of all outputs of a type, in JACK's order."""
        return self._outputs[is_audio]


class DoomedPorts:
    """Ports that have come while jackd freewheels, for as long as they are there: they must not be connected.

    When the freewheel ends, jackd 1.9 goes back to the graph from before it. The ports are listed still, but are
    silent, and a connection to one ends the server (`JackEngine::PortConnect`: assertion `ref >= 0`).
    """

    def __init__(self) -> None:
        self._doomed: set[str] = set()
        self._sound: set[str] | None = None  # those there were at the last look

    def see(self, names: set[str], client: JackClient) -> None:
        """Take note of all ports that there are."""
        if client.is_freewheeling and client.forgets_ports and self._sound is not None:
            self._doomed |= names - self._sound
        self._doomed &= names
        self._sound = names - self._doomed

    def __contains__(self, name: str) -> bool:
        return name in self._doomed


@dataclass(slots=True)
class Connections:
    """What the ports of an attached stream are connected to, and what its definition wants; outlives a JACK server.

    A connection is made when a source is there for the first time, or again, and at each start. One that somebody has
    undone meanwhile stays undone until then, and no other connection is touched.
    """

    definition: StreamDefinition
    ports: tuple[PortConnections, ...] = ()
    absent: tuple[str, ...] = ()
    _channels: "Channels" = field(init=False)
    _undone: dict[tuple[int, str], float] = field(default_factory=dict)  # (port, source): when that was seen
    _remembered: set[tuple[int, str]] = field(default_factory=set)  # (port, source) from before the server went

    def __post_init__(self) -> None:
        self.absent = self.definition.sources
        self._channels = Channels(self.definition.sources, self.definition.ports)

    def update(self, look: Look, ports: Sequence[Any], *, everything: bool) -> None:
        """Make the connections that are wanted and that the graph now allows, and note what is connected.

        `everything`: also those that somebody has undone. What JACK has not carried out yet is seen at a next look.
        """
        available = look.outputs(self.definition.is_audio)
        wanted = self._wanted(available)
        present = {(i, source) for i, port in enumerate(ports) for source in look.client.connections(port)}
        if everything:
            self._undone.clear()
        else:
            self._note_undone(wanted - present, look)
        for port, source in sorted(((wanted - set(self._undone)) | self._remembered) - present):
            if source not in available:
                continue
            try:
                look.client.connect(source, ports[port])
            except ConflictError as error:  # not active yet, or gone since; the next change of the graph tries again
                log.warning("%s", error)
            else:
                self._remembered.discard((port, source))
        self._remembered -= present
        self.ports = tuple(
            PortConnections(port.name, look.client.connections(port), look.client.capture_latency(port))
            for port in ports
        )

    def suspend(self) -> None:
        """Remember what is connected: the server has gone."""
        # Together with those that had not come back since the server before.
        self._remembered |= self._present()
        self._undone.clear()
        self.absent = self.definition.sources
        self.ports = tuple(PortConnections(port.port) for port in self.ports)

    def _present(self) -> set[tuple[int, str]]:
        return {(i, source) for i, port in enumerate(self.ports) for source in port.connections}

    def _wanted(self, available: dict[str, None]) -> set[tuple[int, str]]:
        """Give the connections that the definition asks for, as (port, source), and note what it misses."""
        found = [matches(source, available) for source in self.definition.sources]
        self.absent = tuple(source for source, names in zip(self.definition.sources, found, strict=True) if not names)
        if self.definition.is_audio:
            return self._channels.assign(found)
        return {(0, name) for names in found for name in names}  # JACK mixes them

    def _note_undone(self, missing: set[tuple[int, str]], look: Look) -> None:
        """Tell connections that somebody has undone from those whose source has gone, and is perhaps back already."""
        now = time.monotonic()
        self._undone = {
            connection: since
            for connection, since in self._undone.items()
            if connection in missing and not (look.ports_changed and now - since < SETTLING_SECONDS)
        }
        if not look.ports_changed:
            for connection in missing & self._present():
                self._undone[connection] = now


class Channels:
    """Which of a stream's channels each source has; what has got a channel keeps it, so that nothing moves in a take.

    In the order of the sources, an exact name has one channel and a pattern as many as ports match it. One that is
    absent has one all the same; absent patterns also share what is left over. A pattern that later matches more gets
    channels that nobody has.
    """

    def __init__(self, sources: Sequence[str], channels: int) -> None:
        self._sources = sources
        self._count = channels
        self._owned: list[list[int]] = []  # by source
        self._holders: list[dict[str, int]] = [{} for _ in sources]  # by source: the ports that have had a channel

    def assign(self, found: Sequence[Sequence[str]]) -> set[tuple[int, str]]:
        """Give (channel, port) for the ports that each source names at present; ports for which no channel is left out.

        The same port may be named by several sources.
        """
        if not self._owned:
            self._owned = self._layout([len(names) for names in found])
        return {
            (channel, name)
            for source, names in enumerate(found)
            for name, channel in self._assign(source, names).items()
        }

    def _assign(self, source: int, names: Sequence[str]) -> dict[str, int]:
        holders = self._holders[source]
        held = {name: holders[name] for name in names if name in holders}
        for name in names:
            if name not in held:
                channel = self._free_channel(source, set(held.values()))
                if channel is None:
                    break
                held[name] = channel
        taken = set(held.values())
        self._holders[source] = {name: at for name, at in holders.items() if at not in taken} | held
        return held

    def _free_channel(self, source: int, taken: set[int]) -> int | None:
        """Give a channel of the source that no present port has, or one that is nobody's."""
        owned = self._owned[source]
        for channel in owned:
            if channel not in taken:
                return channel
        everyones = {channel for channels in self._owned for channel in channels}
        free = next((channel for channel in range(self._count) if channel not in everyones), None)
        if free is not None:
            owned.append(free)
        return free

    def _layout(self, counts: Sequence[int]) -> list[list[int]]:
        absent = [i for i, count in enumerate(counts) if not count and _PATTERN_CHARACTERS & set(self._sources[i])]
        left = max(0, self._count - sum(max(1, count) for count in counts))
        owned, at = [], 0
        for i, count in enumerate(counts):
            width = max(1, count) + (left // len(absent) if i in absent else 0)
            owned.append(list(range(min(at, self._count), min(at + width, self._count))))
            at += width
        return owned


def matches(source: str, names: Iterable[str]) -> list[str]:
    """Give the names that a source means: the one that it is, or those that it matches as a whole, as a pattern."""
    if source in names:
        return [source]
    try:
        pattern = compile_pattern(source)
    except InvalidValueError:
        return []  # then it can only be an exact name, such as "synth (left"
    return [name for name in names if pattern.fullmatch(name)]
