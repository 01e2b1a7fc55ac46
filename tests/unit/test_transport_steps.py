"""What those who follow the transport make of its changes."""

from collections.abc import Sequence

import pytest

from jackcapture.control.sessions.transport_steps import StepKind, TransportStep, TransportSteps
from jackcapture.model.sessions import SegmentClock
from jackcapture.model.takes import ClockReason, Transport, TransportState
from jackcapture.protocol.messages import JackTransport

STOPPED, ROLLING, STARTING = TransportState.STOPPED, TransportState.ROLLING, TransportState.STARTING
SERVER, STATE, MOVED = ClockReason.SERVER, ClockReason.TRANSPORT, ClockReason.RELOCATION
START, RELOCATION, STOP = StepKind.START, StepKind.RELOCATION, StepKind.STOP

Change = tuple[int, TransportState, int, tuple[ClockReason, ...]]
"""JACK frame, state, the transport's frame, and why it is told."""

FIRST: Change = (0, STOPPED, 0, (SERVER,))


def steps(*changes: Change) -> list[TransportStep]:
    """What an engine's changes mean, in order."""
    found: list[TransportStep] = []
    told = TransportSteps()
    for frame, state, place, reasons in changes:
        found += told.steps(JackTransport(frame, frame * 20, frame * 20_000, 64, Transport(state, place), reasons))
    return found


def short(found: Sequence[TransportStep]) -> list[tuple[StepKind, int]]:
    return [(step.kind, step.at.jack_frame) for step in found if not step.is_presumed]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            [(100, ROLLING, 0, (STATE,)), (900, STOPPED, 800, (STATE,))], [(START, 100), (STOP, 900)], id="plain"
        ),
        pytest.param(
            [(64, STARTING, 0, (STATE,)), (128, ROLLING, 0, (STATE,)), (192, STOPPED, 64, (STATE,))],
            [(START, 128), (STOP, 192)],
            id="starting is no start",
        ),
        pytest.param([(64, STARTING, 0, (STATE,)), (128, STOPPED, 0, (STATE,))], [], id="it never came to roll"),
        pytest.param([(64, STOPPED, 500, (MOVED,))], [], id="relocated while it stood"),
        pytest.param(
            [(64, STARTING, 0, (STATE,)), (128, STARTING, 500, (MOVED,)), (192, ROLLING, 500, (STATE,))],
            [(START, 192)],
            id="relocated before it rolled",
        ),
        pytest.param(
            [(64, ROLLING, 0, (STATE,)), (164, STARTING, 500, (STATE, MOVED)), (228, ROLLING, 500, (STATE,)),
             (328, STOPPED, 600, (STATE,))],
            [(START, 64), (RELOCATION, 164), (STOP, 328)],
            id="a relocation is no stop, though JACK waits",
        ),
        pytest.param(
            [(64, ROLLING, 0, (STATE,)), (164, ROLLING, 500, (MOVED,)), (264, ROLLING, 0, (MOVED,))],
            [(START, 64), (RELOCATION, 164), (RELOCATION, 264)],
            id="relocated without a wait",
        ),
        pytest.param(
            [(64, ROLLING, 0, (STATE,)), (164, STARTING, 500, (STATE, MOVED)), (228, STOPPED, 500, (STATE,))],
            [(START, 64), (RELOCATION, 164), (STOP, 228)],
            id="stopped before it rolled again",
        ),
        pytest.param(
            [(64, ROLLING, 0, (STATE,)), (164, STOPPED, 0, (STATE, MOVED))], [(START, 64), (STOP, 164)],
            id="stopped and relocated at once",
        ),
        pytest.param(
            [(64, ROLLING, 0, (STATE,)), (48_064, ROLLING, 48_000, (SERVER,))], [(START, 64)],
            id="it rolled on while no engine was there",
        ),
        pytest.param(
            [(64, ROLLING, 0, (STATE,)), (48_064, ROLLING, 500_000, (SERVER,))], [(START, 64), (RELOCATION, 48_064)],
            id="it is elsewhere when an engine is there again",
        ),
        pytest.param(
            [(64, ROLLING, 0, (STATE,)), (48_064, STOPPED, 100, (SERVER,))], [(START, 64), (STOP, 48_064)],
            id="it does not roll when an engine is there again",
        ),
        pytest.param([(48_064, ROLLING, 100, (SERVER,))], [(START, 48_064)], id="it began while no engine was there"),
    ],
)  # fmt: skip
def test_steps(changes: list[Change], expected: list[tuple[StepKind, int]]) -> None:
    assert short(steps(FIRST, *changes)) == expected


def test_what_was_before_the_first_change_is_not_known() -> None:
    assert steps(FIRST) == [TransportStep(STOP, SegmentClock(0, 0, 0, STOPPED, 0), is_presumed=True)]
    assert steps((64, ROLLING, 5, (SERVER,))) == []  # it has rolled already, which is no start
    assert short(steps((64, ROLLING, 5, (SERVER,)), (128, STOPPED, 69, (STATE,)))) == [(STOP, 128)]
    assert short(steps((64, ROLLING, 5, (STATE,)))) == [(START, 64)]
    assert steps((64, STOPPED, 5, (MOVED,))) == []
    assert [step.is_presumed for step in steps((64, STARTING, 5, (STATE,)))] == [True]  # from a stop
    assert short(steps((64, STARTING, 5, (STATE, MOVED)), (128, STOPPED, 5, (STATE,)))) == [
        (RELOCATION, 64), (STOP, 128),
    ]  # fmt: skip


def test_changes_that_are_missing() -> None:
    told = TransportSteps()
    rolling = JackTransport(64, transport=Transport(ROLLING, 0), reasons=(STATE,))
    assert told.steps(rolling)
    told.forget()
    (step,) = told.steps(JackTransport(500, transport=Transport(STOPPED, 0), reasons=(STATE,)))
    assert (step.kind, step.is_presumed) == (STOP, True)


def test_a_step_has_all_clocks() -> None:
    transport = Transport(ROLLING, 2**32 - 100, 3, 2, 240, 4.0, 4.0, 1920.0, 120.0)
    told = TransportSteps()
    told.steps(JackTransport(0, transport=Transport(STOPPED, 0), reasons=(SERVER,)))
    start = told.steps(JackTransport(64, 5, 6, 64, transport, (STATE,)))
    assert start == [TransportStep(START, SegmentClock(64, 6, 5, ROLLING, 2**32 - 100, 3, 2, 240, 120.0))]
    jump = told.steps(JackTransport(264, 7, 8, 64, Transport(ROLLING, 7), (MOVED,)))
    assert jump == [TransportStep(RELOCATION, SegmentClock(264, 8, 7, ROLLING, 7), from_frame=100)]


def test_a_relocation_gets_the_bars_of_its_place() -> None:
    def at(frame: int, state: TransportState, place: int, bar: int, *reasons: ClockReason) -> JackTransport:
        return JackTransport(
            frame, transport=Transport(state, place, bar, 1, 0, 4.0, 4.0, 1920.0, 120.0), reasons=reasons
        )

    told = TransportSteps()
    told.steps(at(0, ROLLING, 0, 1, SERVER))
    assert told.steps(at(100, STARTING, 96_000, 1, STATE, MOVED)) == []  # JACK still gives the bar before
    (jump,) = told.steps(at(164, ROLLING, 96_000, 2, STATE))
    assert (jump.at.jack_frame, jump.at.bar, jump.from_frame) == (100, 2, 100)
    assert told.steps(at(200, STARTING, 0, 2, STATE, MOVED)) == []
    jump, stop = told.steps(at(300, STOPPED, 50, 1, STATE, MOVED))
    assert (jump.kind, jump.at.bar, stop.kind, stop.at.bar) == (RELOCATION, None, STOP, None)
