"""Where a request goes: the MIDI inputs that it names, and an output of ours that is connected to nothing else."""

import itertools
from collections.abc import Collection, Sequence

from jackcapture.errors import InvalidValueError, NotFoundError
from jackcapture.model.patterns import compile_pattern
from jackcapture.protocol.messages import MidiOutputState, Port, PortType

OUTPUT = "request"
_SHOWN = 20


def choose_destinations(to: Sequence[str], ports: Sequence[Port], own_client: str) -> tuple[str, ...]:
    """Give the MIDI inputs that names, or patterns over whole names, mean; those of ours only by their names.

    Raises `InvalidValueError` if nothing is named, `NotFoundError` if a name or pattern means none.
    """
    inputs = [port.name for port in ports if port.type is PortType.MIDI and not port.is_output]
    others = [name for name in inputs if not name.startswith(f"{own_client}:")]
    there_are = f"there are {', '.join(others[:_SHOWN])}" if others else "there are none at present"
    if not to:
        raise InvalidValueError(
            f"no MIDI input is named to which requests go: name one with --port, or with --set request.to=... when the "
            f"session is created; {there_are}",
            known=others[:_SHOWN],
        )
    found: dict[str, None] = {}
    for name in to:
        named = [name] if name in inputs else _matching(name, others)
        if not named:
            raise NotFoundError(f"{name!r} names no MIDI input; {there_are}", port=name, known=others[:_SHOWN])
        found |= dict.fromkeys(named)
    return tuple(found)


def choose_output(outputs: Sequence[MidiOutputState], to: Collection[str], taken: Collection[str]) -> str:
    """Give the name of an output that sends nothing and is connected to nothing but these ports, or of a new one."""
    for output in outputs:
        is_ours = output.output == OUTPUT or output.output.startswith(f"{OUTPUT}-")
        if is_ours and output.is_done and output.output not in taken and set(output.port.connections) <= set(to):
            return output.output
    used = {output.output for output in outputs} | set(taken)
    names = (OUTPUT if number == 1 else f"{OUTPUT}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in used)


def _matching(pattern: str, names: Sequence[str]) -> list[str]:
    try:
        compiled = compile_pattern(pattern)
    except InvalidValueError:
        return []  # then it can only be an exact name
    return [name for name in names if compiled.fullmatch(name)]
