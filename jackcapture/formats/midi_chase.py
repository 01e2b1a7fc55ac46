"""What a receiver of MIDI is left in by all messages so far, and the messages that bring another one there: chasing.

Rules (docs/formats.md has them for users), from MIDI 1.0 and, for reset all controllers, MMA RP-015:

- A note sounds until its note-off, and on while the damper (64) is down, or the sostenuto (66), if that went down
  while the key was. A second note-on of a sounding note begins it anew.
- 120 ends all notes of its channel at once; 123 to 127 let go of all keys, and the pedals still hold.
- 121 sets modulation, expression, pedals, pitch bend, pressure and the choice of a parameter back, and nothing else.
- Data entry (6, 38) sets the parameter that was chosen last (98 to 101). Steps (96, 97) are not followed.
- Controllers are chased in the order in which they were set last, so that pairs of a coarse and a fine one come as
  they came. Portamento control (84) is for one note, and not chased.
- System reset (FF) makes all forgotten. System exclusives are not understood.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

_NOTE_OFF, _NOTE_ON, _KEY_PRESSURE, _CONTROL, _PROGRAM, _PRESSURE, _BEND = range(0x80, 0xF0, 0x10)
_SYSTEM, _RESET = 0xF0, 0xFF
_CHOICES = {99: (False, 0), 98: (False, 1), 101: (True, 0), 100: (True, 1)}  # number: (is registered, which half)
_NUMBERS = {choice: number for number, choice in _CHOICES.items()}
_NO_PARAMETER = (127, 127)
_DAMPER, _SOSTENUTO = 64, 66
_LOCAL, _ALL_NOTES_OFF = 122, 123
_RESET_VALUES = {1: 0, 33: 0, 11: 127, 43: 127, 64: 0, 65: 0, 66: 0, 67: 0}
_IS_DOWN = 64
_RELEASE_VELOCITY = 64  # what MIDI 1.0 asks of those who do not know any


class ChaseKind(enum.StrEnum):
    """What can be chased; `PRESSURE` is that of the channel, and that of keys that sound."""

    NOTES = "notes"
    CONTROLLERS = "controllers"  # with parameters and channel modes
    PROGRAM = "program"  # with its bank
    PITCH_BEND = "pitch_bend"
    PRESSURE = "pressure"


CHASE_ALL = frozenset(ChaseKind)


@dataclass(slots=True)
class _Note:
    velocity: int
    is_key_down: bool = True
    is_captured: bool = False  # by the sostenuto
    pressure: int | None = None


_Parameter = tuple[bool, int, int]  # is registered, upper and lower half of its number


@dataclass(slots=True)
class _Channel:
    """What is in force in one channel; dictionaries in the order in which their items were set last."""

    controllers: dict[int, int] = field(default_factory=dict)
    modes: dict[int, tuple[int, int]] = field(default_factory=dict)  # by group: controller, value
    bank: dict[int, int] = field(default_factory=dict)
    program: tuple[dict[int, int], int] | None = None  # with the bank that it was chosen from
    parameters: dict[_Parameter, dict[int, int]] = field(default_factory=dict)
    choice: dict[bool, list[int | None]] = field(default_factory=dict)  # by is registered, in the order of use
    bend: tuple[int, int] | None = None
    pressure: int | None = None

    def is_down(self, pedal: int) -> bool:
        return self.controllers.get(pedal, 0) >= _IS_DOWN

    def chosen(self) -> _Parameter | None:
        """Give the parameter that data entry sets."""
        if not self.choice:
            return None
        is_registered, (upper, lower) = list(self.choice.items())[-1]
        if upper is None or lower is None or (upper, lower) == _NO_PARAMETER:
            return None
        return is_registered, upper, lower

    def choose(self, is_registered: bool, half: int, value: int) -> None:
        halves = self.choice.pop(is_registered, [None, None])
        halves[half] = value
        self.choice[is_registered] = halves

    def reset_controllers(self) -> None:
        for number, value in _RESET_VALUES.items():
            if number in self.controllers:
                _set(self.controllers, number, value)
        if self.choice:
            self.choice = {False: [*_NO_PARAMETER], True: [*_NO_PARAMETER]}
        self.bend = (0, 64) if self.bend else None
        self.pressure = None if self.pressure is None else 0


class MidiState:
    """What all messages so far have left in force and sounding; of a size that does not grow with their number."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._channels = [_Channel() for _ in range(16)]
        self._notes: dict[tuple[int, int], _Note] = {}  # by channel and key, in the order of their beginnings

    def feed(self, message: bytes) -> None:
        """Take one whole MIDI message."""
        kind, number = message[0] & 0xF0, message[0] & 0x0F
        if message[0] >= _SYSTEM:
            if message[0] == _RESET:
                self._clear()
            return
        channel = self._channels[number]
        match kind:
            case 0x90 if message[2]:
                self._notes.pop((number, message[1]), None)
                self._notes[number, message[1]] = _Note(message[2])
            case 0x80 | 0x90:
                if note := self._notes.get((number, message[1])):
                    note.is_key_down = False
                    self._release(number)
            case 0xA0:
                if note := self._notes.get((number, message[1])):
                    note.pressure = message[2]
            case 0xB0:
                self._control(number, message[1], message[2])
            case 0xC0:
                channel.program = (dict(channel.bank), message[1])
            case 0xD0:
                channel.pressure = message[1]
            case 0xE0:
                channel.bend = (message[1], message[2])

    def setup(self, kinds: frozenset[ChaseKind] = CHASE_ALL) -> list[bytes]:
        """Give the messages that bring a receiver here, the sounding notes last.

        A note whose key is up is begun and let go; without `CONTROLLERS`, so that no pedal would hold it, it is left
        out. The sostenuto goes down between the notes that it holds and the others.
        """
        with_notes = self._notes if ChaseKind.NOTES in kinds else {}
        with_controllers = ChaseKind.CONTROLLERS in kinds
        notes = {at: note for at, note in with_notes.items() if with_controllers or note.is_key_down}
        capturing = {number for (number, _), note in notes.items() if note.is_captured and with_controllers}
        messages = []
        for number, channel in enumerate(self._channels):
            messages += _setup_of(channel, number, kinds, without_sostenuto=number in capturing)
        captured = {at: note for at, note in notes.items() if note.is_captured}
        for (number, key), note in captured.items():
            messages += _begin(number, key, note, kinds)
        for number in sorted(capturing):
            messages.append(bytes([_CONTROL | number, _SOSTENUTO, self._channels[number].controllers[_SOSTENUTO]]))
        for (number, key), note in notes.items():
            if not note.is_captured:
                messages += _begin(number, key, note, kinds)
        return messages + [_end(number, key) for (number, key), note in notes.items() if not note.is_key_down]

    def ending(self) -> list[bytes]:
        """Give the messages that end all notes that sound: keys, in the order of their beginnings, and pedals."""
        messages = [_end(number, key) for (number, key), note in self._notes.items() if note.is_key_down]
        for number in sorted({number for number, _ in self._notes}):
            for pedal in (_DAMPER, _SOSTENUTO):
                if self._channels[number].is_down(pedal):
                    messages.append(bytes([_CONTROL | number, pedal, 0]))
        return messages

    def _control(self, number: int, controller: int, value: int) -> None:
        channel = self._channels[number]
        match controller:
            case 0 | 32:  # bank
                _set(channel.bank, controller, value)
            case 6 | 38:  # data entry
                if (parameter := channel.chosen()) is not None:
                    values = channel.parameters.pop(parameter, {})
                    _set(values, controller, value)
                    channel.parameters[parameter] = values
            case 84 | 96 | 97:
                pass
            case 98 | 99 | 100 | 101:
                channel.choose(*_CHOICES[controller], value)
            case mode if mode >= 120:
                self._mode(number, mode, value)
            case _:
                self._set_controller(number, controller, value)

    def _mode(self, number: int, mode: int, value: int) -> None:
        """Take a channel mode message."""
        channel = self._channels[number]
        if mode == 120:
            self._notes = {at: note for at, note in self._notes.items() if at[0] != number}
        elif mode == 121:
            channel.reset_controllers()
            for _, note in self._notes_of(number):
                note.pressure = None if note.pressure is None else 0
                note.is_captured = False
            self._release(number)
        else:
            if mode != _ALL_NOTES_OFF:
                channel.modes[mode // 2] = (mode, value)  # 122: local; 124, 125: omni; 126, 127: mono, poly
            if mode != _LOCAL:
                for _, note in self._notes_of(number):
                    note.is_key_down = False
                self._release(number)

    def _set_controller(self, number: int, controller: int, value: int) -> None:
        channel = self._channels[number]
        was_down = channel.is_down(controller)
        _set(channel.controllers, controller, value)
        if controller == _SOSTENUTO and was_down != channel.is_down(_SOSTENUTO):
            for _, note in self._notes_of(number):
                note.is_captured = not was_down and note.is_key_down
        if controller in (_DAMPER, _SOSTENUTO) and was_down:
            self._release(number)

    def _notes_of(self, number: int) -> list[tuple[int, _Note]]:
        return [(key, note) for (of, key), note in self._notes.items() if of == number]

    def _release(self, number: int) -> None:
        """Forget the notes of a channel that nothing holds any more."""
        if not self._channels[number].is_down(_DAMPER):
            for key, note in self._notes_of(number):
                if not (note.is_key_down or note.is_captured):
                    del self._notes[number, key]


def _set(values: dict[int, int], key: int, value: int) -> None:
    """Set a value and make it the last."""
    values.pop(key, None)
    values[key] = value


def _begin(number: int, key: int, note: _Note, kinds: frozenset[ChaseKind]) -> list[bytes]:
    messages = [bytes([_NOTE_ON | number, key, note.velocity])]
    if note.pressure is not None and ChaseKind.PRESSURE in kinds:
        messages.append(bytes([_KEY_PRESSURE | number, key, note.pressure]))
    return messages


def _end(number: int, key: int) -> bytes:
    return bytes([_NOTE_OFF | number, key, _RELEASE_VELOCITY])


def _setup_of(channel: _Channel, number: int, kinds: frozenset[ChaseKind], *, without_sostenuto: bool) -> list[bytes]:
    messages: list[bytes] = []

    def control(controls: Iterable[tuple[int, int]]) -> None:
        messages.extend(bytes([_CONTROL | number, *item]) for item in controls)

    if ChaseKind.CONTROLLERS in kinds:
        control(channel.modes.values())
    if ChaseKind.PROGRAM in kinds:
        bank, program = channel.program or ({}, None)
        control(bank.items())
        if program is not None:
            messages.append(bytes([_PROGRAM | number, program]))
        if list(channel.bank.items()) != list(bank.items()):  # chosen for the next program
            control(channel.bank.items())
    if ChaseKind.CONTROLLERS in kinds:
        control(item for item in channel.controllers.items() if item[0] != _SOSTENUTO or not without_sostenuto)
        for (is_registered, *halves), values in channel.parameters.items():
            control((_NUMBERS[is_registered, half], value) for half, value in enumerate(halves))
            control(values.items())
        for is_registered, choice in channel.choice.items():
            control((_NUMBERS[is_registered, half], value) for half, value in enumerate(choice) if value is not None)
    if channel.bend is not None and ChaseKind.PITCH_BEND in kinds:
        messages.append(bytes([_BEND | number, *channel.bend]))
    if channel.pressure is not None and ChaseKind.PRESSURE in kinds:
        messages.append(bytes([_PRESSURE | number, channel.pressure]))
    return messages
