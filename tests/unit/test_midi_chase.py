"""Chasing: the rules one by one, and that what is chased brings a receiver where all messages brought the first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.formats.midi_chase import CHASE_ALL, ChaseKind, MidiState


def state_of(*messages: str | bytes) -> MidiState:
    """The state after messages, in hexadecimal or as they are."""
    state = MidiState()
    for message in messages:
        state.feed(bytes.fromhex(message) if isinstance(message, str) else message)
    return state


def setup(*messages: str, kinds: frozenset[ChaseKind] = CHASE_ALL) -> list[str]:
    """What is chased of messages, in hexadecimal."""
    return [message.hex(" ") for message in state_of(*messages).setup(kinds)]


def ending(*messages: str) -> list[str]:
    """What ends the notes that messages leave sounding, in hexadecimal."""
    return [message.hex(" ") for message in state_of(*messages).ending()]


NOTE, OFF = "90 3c 50", "80 3c 40"
DAMPER, DAMPER_UP = "b0 40 7f", "b0 40 00"
SOSTENUTO, SOSTENUTO_UP = "b0 42 7f", "b0 42 00"


@pytest.mark.parametrize(
    ("messages", "chased"),
    [
        ([], []),
        # notes
        ([NOTE], [NOTE]),
        ([NOTE, OFF], []),
        ([NOTE, "90 3c 00"], []),
        ([NOTE, "80 3c 00", OFF], []),
        ([NOTE, "81 3c 40"], [NOTE]),
        ([NOTE, "90 40 10", "90 3c 20"], ["90 40 10", "90 3c 20"]),
        ([NOTE, "a0 3c 22", "a0 3d 33"], [NOTE, "a0 3c 22"]),
        ([NOTE, "f8", "fe", "f2 01 02", "f0 01 f7"], [NOTE]),
        ([NOTE, "b0 07 11", "ff"], []),
        # the damper
        ([NOTE, DAMPER, OFF], [DAMPER, NOTE, OFF]),
        ([NOTE, DAMPER, OFF, DAMPER_UP], [DAMPER_UP]),
        ([NOTE, DAMPER, OFF, "b0 40 40"], ["b0 40 40", NOTE, OFF]),
        ([NOTE, DAMPER, OFF, "b0 40 3f"], ["b0 40 3f"]),
        ([NOTE, DAMPER, DAMPER_UP], [DAMPER_UP, NOTE]),
        ([NOTE, DAMPER, OFF, NOTE], [DAMPER, NOTE]),
        ([NOTE, "b1 40 7f", OFF], ["b1 40 7f"]),
        # the sostenuto, which holds only what was down when it went down
        ([NOTE, SOSTENUTO, OFF], [NOTE, SOSTENUTO, OFF]),
        ([NOTE, SOSTENUTO, "90 40 10"], [NOTE, SOSTENUTO, "90 40 10"]),
        ([SOSTENUTO, NOTE, OFF], [SOSTENUTO]),
        ([NOTE, SOSTENUTO, SOSTENUTO, OFF, SOSTENUTO_UP], [SOSTENUTO_UP]),
        ([NOTE, SOSTENUTO, SOSTENUTO_UP, OFF], [SOSTENUTO_UP]),
        ([NOTE, DAMPER, SOSTENUTO, OFF, DAMPER_UP], [DAMPER_UP, NOTE, SOSTENUTO, OFF]),
        # channel mode messages
        ([NOTE, "b0 78 00"], []),
        ([NOTE, DAMPER, OFF, "b0 78 00"], [DAMPER]),
        ([NOTE, "b0 7b 00"], []),
        ([NOTE, "b1 7b 00"], [NOTE]),
        ([NOTE, DAMPER, "b0 7b 00"], [DAMPER, NOTE, OFF]),
        ([NOTE, "b0 7c 00"], ["b0 7c 00"]),
        ([NOTE, "b0 7c 00", "b0 7d 00", "b0 7e 04"], ["b0 7d 00", "b0 7e 04"]),
        ([NOTE, "b0 7e 04", "b0 7f 00"], ["b0 7f 00"]),
        ([NOTE, "b0 7a 00"], ["b0 7a 00", NOTE]),
        # reset all controllers: MMA RP-015
        (["b0 01 10", "b0 07 11", "b0 0a 12", "b0 79 00"], ["b0 07 11", "b0 0a 12", "b0 01 00"]),
        (["b0 0b 10", "b0 79 00"], ["b0 0b 7f"]),
        (["e0 01 02", "d0 05", "b0 79 00"], ["e0 00 40", "d0 00"]),
        ([NOTE, "a0 3c 22", "b0 79 00"], [NOTE, "a0 3c 00"]),
        ([NOTE, DAMPER, OFF, "b0 79 00"], [DAMPER_UP]),
        ([NOTE, SOSTENUTO, OFF, "b0 79 00"], [SOSTENUTO_UP]),
        (["b0 5b 10", "b0 46 11", "c0 05", "b0 79 00"], ["c0 05", "b0 5b 10", "b0 46 11"]),
        (["b0 79 00"], []),
        # bank and program
        (["c0 05"], ["c0 05"]),
        (["b0 00 01", "b0 20 02", "c0 05"], ["b0 00 01", "b0 20 02", "c0 05"]),
        (["b0 20 02", "b0 00 01", "c0 05"], ["b0 20 02", "b0 00 01", "c0 05"]),
        (["b0 00 01", "c0 05", "b0 00 03"], ["b0 00 01", "c0 05", "b0 00 03"]),
        (["b0 00 01", "c0 05", "c0 06"], ["b0 00 01", "c0 06"]),
        (["b0 00 03"], ["b0 00 03"]),
        # controllers in the order of their last setting
        (["b0 07 10", "b0 27 11", "b0 0a 12", "b0 07 13"], ["b0 27 11", "b0 0a 12", "b0 07 13"]),
        (["b0 54 10"], []),
        (["b3 07 10", "b1 07 11"], ["b1 07 11", "b3 07 10"]),
        # parameters
        (
            ["b0 65 00", "b0 64 00", "b0 06 0c"],
            ["b0 65 00", "b0 64 00", "b0 06 0c", "b0 65 00", "b0 64 00"],
        ),
        (
            ["b0 65 00", "b0 64 00", "b0 06 0c", "b0 26 01", "b0 65 7f", "b0 64 7f", "b0 06 33"],
            ["b0 65 00", "b0 64 00", "b0 06 0c", "b0 26 01", "b0 65 7f", "b0 64 7f"],
        ),
        (
            ["b0 65 00", "b0 64 01", "b0 06 02", "b0 63 05", "b0 62 06", "b0 06 07", "b0 60 00"],
            [
                *("b0 65 00", "b0 64 01", "b0 06 02", "b0 63 05", "b0 62 06", "b0 06 07"),
                *("b0 65 00", "b0 64 01", "b0 63 05", "b0 62 06"),
            ],
        ),
        (["b0 06 0c"], []),
        (["b0 65 00", "b0 06 0c"], ["b0 65 00"]),
        # the order of kinds
        (
            [NOTE, "d0 01", "e0 02 03", "b0 07 04", "c0 05"],
            ["c0 05", "b0 07 04", "e0 02 03", "d0 01", NOTE],
        ),
    ],
)
def test_what_is_chased(messages: list[str], chased: list[str]) -> None:
    assert setup(*messages) == chased


@pytest.mark.parametrize(
    ("left_out", "chased"),
    [
        (ChaseKind.NOTES, ["c0 05", SOSTENUTO, DAMPER, "e0 02 03", "d0 01"]),
        (ChaseKind.CONTROLLERS, ["c0 05", "e0 02 03", "d0 01", NOTE, "a0 3c 22"]),
        (ChaseKind.PROGRAM, [DAMPER, "e0 02 03", "d0 01", NOTE, "a0 3c 22", SOSTENUTO, "90 40 10", "80 40 40"]),
        (ChaseKind.PITCH_BEND, ["c0 05", DAMPER, "d0 01", NOTE, "a0 3c 22", SOSTENUTO, "90 40 10", "80 40 40"]),
        (ChaseKind.PRESSURE, ["c0 05", DAMPER, "e0 02 03", NOTE, SOSTENUTO, "90 40 10", "80 40 40"]),
    ],
)
def test_each_kind_can_be_left_out(left_out: ChaseKind, chased: list[str]) -> None:
    messages = [NOTE, SOSTENUTO, "90 40 10", "a0 3c 22", "d0 01", "e0 02 03", "c0 05", DAMPER, "80 40 40"]
    assert setup(*messages, kinds=CHASE_ALL - {left_out}) == chased
    assert setup(*messages, kinds=frozenset()) == []


@pytest.mark.parametrize(
    ("messages", "ended"),
    [
        ([], []),
        ([NOTE, "91 40 10", "90 3d 01"], [OFF, "81 40 40", "80 3d 40"]),
        ([NOTE, OFF], []),
        ([DAMPER], []),
        ([NOTE, DAMPER], [OFF, DAMPER_UP]),
        ([NOTE, DAMPER, OFF], [DAMPER_UP]),
        ([NOTE, SOSTENUTO, OFF], [SOSTENUTO_UP]),
    ],
)
def test_what_ends_all_notes(messages: list[str], ended: list[str]) -> None:
    assert ending(*messages) == ended


byte = st.integers(0, 127)
channels = st.sampled_from([0, 0, 0, 9])
keys = st.integers(60, 63)
notes = st.builds(
    lambda kind, c, key, v: bytes([kind | c, key, v]), st.sampled_from([0x80, 0x90, 0x90]), channels, keys, byte
)
pressures = st.builds(lambda c, key, v: bytes([0xA0 | c, key, v]), channels, keys, byte)
pedals = st.builds(
    lambda c, n, v: bytes([0xB0 | c, n, v]), channels, st.sampled_from([64, 64, 66]), st.sampled_from([0, 63, 64, 127])
)
controls = st.builds(
    lambda c, n, v: bytes([0xB0 | c, n, v]),
    channels,
    st.sampled_from([0, 1, 6, 7, 11, 32, 38, 39, 84, 96, 97, 98, 99, 100, 101]) | byte,
    st.sampled_from([0, 1, 127]) | byte,
)
others = st.builds(lambda kind, c, v: bytes([kind | c, v]), st.sampled_from([0xC0, 0xD0]), channels, byte)
bends = st.builds(lambda c, a, b: bytes([0xE0 | c, a, b]), channels, byte, byte)
systems = st.sampled_from([b"\xf8", b"\xfe", b"\xf0\x01\xf7", b"\xf1\x01", b"\xff"])
everything = st.one_of(notes, notes, notes, pedals, controls, pressures, others, bends, systems)
one_key = st.sampled_from([bytes.fromhex(x) for x in (NOTE, OFF, DAMPER, DAMPER_UP, SOSTENUTO, SOSTENUTO_UP)])
messages_lists = st.lists(everything, max_size=60) | st.lists(one_key, max_size=12)


def sounds(messages: list[bytes], channel: int, key: int) -> bool:
    """Whether one note sounds after messages: a receiver with a single key."""
    key_down = captured = held = damper = sostenuto = False
    for message in messages:
        if message == b"\xff":
            key_down = captured = held = damper = sostenuto = False
        if message[0] >= 0xF0 or message[0] & 0x0F != channel:
            continue
        kind = message[0] & 0xF0
        if kind == 0x90 and message[1] == key and message[2]:
            key_down, captured, held = True, False, False
        elif kind in (0x80, 0x90) and message[1] == key:
            held, key_down = held or (key_down and damper), False
        elif kind == 0xB0:
            number, is_down = message[1], message[2] >= 64
            if number == 64:
                damper = is_down
            elif number == 66:
                captured = (key_down if not sostenuto else captured) and is_down
                sostenuto = is_down
            elif number == 120:
                key_down = captured = held = False
            elif number == 121:
                captured = damper = sostenuto = False
            elif number >= 123:
                held, key_down = held or (key_down and damper), False
        # what the damper holds: keys that were let go while it was down, or that the sostenuto has let go since
        held = damper and (held or captured)
    return key_down or captured or held


@given(messages_lists)
def test_what_sounds_is_what_a_receiver_of_one_key_says(messages: list[bytes]) -> None:
    begun = {(message[0] & 0x0F, message[1]) for message in messages if message[0] & 0xF0 == 0x90}
    chased = state_of(*messages).setup()
    started = {(message[0] & 0x0F, message[1]) for message in chased if message[0] & 0xF0 == 0x90}
    assert started == {at for at in begun if sounds(messages, *at)}
    ended = [*messages, *state_of(*messages).ending()]
    assert not [at for at in begun if sounds(ended, *at)]


@given(messages_lists, messages_lists)
def test_what_is_chased_brings_a_receiver_to_the_same_place(before: list[bytes], after: list[bytes]) -> None:
    first, second = state_of(*before), state_of(*state_of(*before).setup())
    assert second.setup() == first.setup()
    for message in after:
        first.feed(message)
        second.feed(message)
    assert in_no_order(second.setup()) == in_no_order(first.setup())
    assert in_no_order(second.ending()) == in_no_order(first.ending())


def in_no_order(messages: list[bytes]) -> list[bytes]:
    """Notes that the sostenuto held come first where they are chased, and so may be begun in another order."""
    return sorted(messages)


@given(messages_lists)
def test_the_state_does_not_grow(messages: list[bytes]) -> None:
    assert len(state_of(*messages * 20).setup()) == len(state_of(*messages * 2).setup())
