"""What could never be a source of a stream is refused, with what would be right."""

import pytest

from jackcapture.control.sources import check_sources
from jackcapture.errors import InvalidValueError
from jackcapture.protocol.messages import Port, PortType

GRAPH = (
    Port("synth:out_1", PortType.AUDIO, is_output=True, is_physical=False),
    Port("synth:out_2", PortType.AUDIO, is_output=True, is_physical=False),
    Port("synth:midi_out", PortType.MIDI, is_output=True, is_physical=False),
    Port("synth:in", PortType.AUDIO, is_output=False, is_physical=False),
    Port("keys:midi_out", PortType.MIDI, is_output=True, is_physical=False),
    Port("keys:midi_in", PortType.MIDI, is_output=False, is_physical=False),
    Port("scope (x:out", PortType.AUDIO, is_output=True, is_physical=False),
    Port("video:cv", PortType.OTHER, is_output=True, is_physical=False),
)


@pytest.mark.parametrize(
    ("wanted", "source"),
    [
        (PortType.AUDIO, "synth:out_1"),
        (PortType.AUDIO, "synth:.*"),  # some of those it matches
        (PortType.AUDIO, ".*"),
        (PortType.AUDIO, "nobody:out"),
        (PortType.AUDIO, "nobody:.*"),
        (PortType.AUDIO, "synth:in.*"),  # an output of such a name may come
        (PortType.AUDIO, "scope (x:out"),  # no pattern, but there
        (PortType.MIDI, "keys:midi_out"),
        (PortType.MIDI, "synth:.*"),
        (PortType.MIDI, "nobody:midi"),
    ],
)
def test_what_can_be_recorded_or_may_come_is_accepted(wanted: PortType, source: str) -> None:
    check_sources([source], wanted, GRAPH)


@pytest.mark.parametrize(
    ("wanted", "source", "words"),
    [
        (PortType.AUDIO, "keys:midi_out", ("'keys:midi_out' is a MIDI port", "audio ports", "--midi")),
        (PortType.AUDIO, "video:cv", ("'video:cv' is a port that is neither audio nor MIDI",)),
        (PortType.MIDI, "synth:out_1", ("'synth:out_1' is an audio port", "MIDI ports", "--channels")),
        (PortType.AUDIO, "synth:in", ("'synth:in' is an input port", "output port")),
        (PortType.MIDI, "keys:midi_in", ("'keys:midi_in' is an input port", "output port")),
        (PortType.AUDIO, "keys:.*", ("'keys:.*' matches only", "'keys:midi_out', a MIDI port", "audio ports")),
        (PortType.MIDI, "synth:out_.*", ("'synth:out_.*' matches only", "'synth:out_1', an audio port")),
        (PortType.AUDIO, "(", ("'('", "no port", "no regular expression", "backslash")),
        (PortType.MIDI, "gone (x:out", ("'gone (x:out'", "no regular expression")),
        (PortType.AUDIO, "x{99999}", ("no regular expression",)),
        (PortType.AUDIO, "(" * 5000, ("no regular expression",)),
    ],
)
def test_what_cannot_be_recorded_is_refused(wanted: PortType, source: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidValueError) as refused:
        check_sources(["synth:.*", source], wanted, GRAPH)
    for word in words:
        assert word in refused.value.message
    assert refused.value.details["source"] == source


def test_without_a_graph_only_patterns_can_be_checked() -> None:
    check_sources(["keys:midi_out", "keys:.*"], PortType.AUDIO, ())
    with pytest.raises(InvalidValueError, match="no regular expression"):
        check_sources(["["], PortType.AUDIO, ())
