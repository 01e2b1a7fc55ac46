"""Checks the sources of a new stream against the JACK graph: what could never be recorded is refused at once."""

from collections.abc import Iterable, Sequence

from jackcapture.errors import InvalidValueError
from jackcapture.model.patterns import compile_pattern
from jackcapture.protocol.messages import Port, PortType


def check_sources(sources: Iterable[str], wanted: PortType, ports: Sequence[Port]) -> None:
    """Raise `InvalidValueError` for a source that is no pattern, or that names ports of which none can be recorded.

    `wanted` is what the stream records, audio or MIDI; `ports` are those of the graph, none if there is no JACK server.
    A source that names no port at all is no error: it may come.
    """
    by_name = {port.name: port for port in ports}
    for source in sources:
        port = by_name.get(source)
        if port is not None:
            _check_port(port, wanted)
        else:
            _check_pattern(source, wanted, ports)


def _check_port(port: Port, wanted: PortType) -> None:
    if not port.is_output:
        raise InvalidValueError(
            f"source {port.name!r} is an input port, which takes sound and gives none; name an output port: "
            "'jackcapture ports' lists them",
            source=port.name,
        )
    if port.type is not wanted:
        raise InvalidValueError(
            f"source {port.name!r} is {_a_port(port.type)}; {_instead(wanted)}", source=port.name, type=port.type.value
        )


def _check_pattern(source: str, wanted: PortType, ports: Sequence[Port]) -> None:
    try:
        pattern = compile_pattern(source)
    except InvalidValueError as error:
        raise InvalidValueError(
            f"source {source!r} is no port of the graph and no regular expression over port names: {error.message}; "
            "write a backslash before characters such as ( and [ that are meant as they are",
            source=source,
        ) from None
    matching = [port for port in ports if port.is_output and pattern.fullmatch(port.name)]
    if matching and all(port.type is not wanted for port in matching):
        other = matching[0]
        raise InvalidValueError(
            f"source {source!r} matches only ports of another type, such as {other.name!r}, {_a_port(other.type)}; "
            f"{_instead(wanted)}",
            source=source,
            type=other.type.value,
        )


def _a_port(kind: PortType) -> str:
    return {
        PortType.AUDIO: "an audio port",
        PortType.MIDI: "a MIDI port",
        PortType.OTHER: "a port that is neither audio nor MIDI",
    }[kind]


def _instead(wanted: PortType) -> str:
    if wanted is PortType.AUDIO:
        return "an audio stream records audio ports: name those, or create a MIDI stream for it (--midi)"
    return "a MIDI stream records MIDI ports: name those, or create an audio stream for it (--channels)"
