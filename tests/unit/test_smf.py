"""Standard MIDI Files of a range: read back by mido, tick by tick, and played by fluidsynth where it is installed."""

import io
import itertools
import random
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from mido.midifiles.midifiles import MAX_MESSAGE_LENGTH

from jackcapture.errors import InvalidValueError
from jackcapture.formats import midi_messages
from jackcapture.formats.midi_chase import ChaseKind
from jackcapture.formats.midi_messages import SkipReason, join_messages
from jackcapture.formats.smf import Smf, SmfOptions, Tempo, write_smf
from jackcapture.formats.smf_reading import read_smf

RATE = 48000
NOTE, OFF = bytes.fromhex("90 3c 50"), bytes.fromhex("80 3c 40")
SOUND_FONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")


def read_back(smf: Smf) -> tuple[list[tuple[int, Fraction, bytes]], list[tuple[int, Any]], Fraction]:
    """What mido reads: of each message its tick, seconds and bytes; metas with their ticks; the length in seconds.

    Seconds are reckoned as every reader does, tick by tick with the tempo in force, but exactly.
    """
    file = mido.MidiFile(file=io.BytesIO(smf.data), charset="utf-8")
    messages, metas = [], []
    tick, seconds, tempo = 0, Fraction(0), 500_000
    for message in file.merged_track:
        tick += message.time
        seconds += Fraction(message.time * tempo, file.ticks_per_beat * 1_000_000)
        if message.is_meta:
            metas.append((tick, message))
        else:
            messages.append((tick, seconds, bytes(message.bytes())))
        if message.type == "set_tempo":
            tempo = message.tempo
    return messages, metas, seconds


byte = st.integers(0, 127)
messages = st.one_of(
    st.builds(lambda kind, a, b: bytes([kind, a, b]), st.integers(0x80, 0xBF) | st.integers(0xE0, 0xEF), byte, byte),
    st.builds(lambda kind, a: bytes([kind, a]), st.integers(0xC0, 0xDF), byte),
    st.lists(byte, max_size=5).map(lambda data: bytes([0xF0, *data, 0xF7])),
)
tempos = st.builds(
    Tempo,
    st.integers(0, 3_000_000),
    st.floats(70, 400),
    st.integers(1, 12).map(float),
    st.sampled_from([2.0, 4.0, 8.0, 16.0]),
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1_000_000, 2_999_999), messages), max_size=30),
    st.lists(tempos, max_size=6, unique_by=lambda tempo: tempo.sample_position),
    st.sampled_from([0, 1]),
    st.sampled_from([24, 96, 480, 960, 24_000, 32_767]),
    st.sampled_from([44_100, 48_000, 192_000]),
)
def test_every_event_lies_within_half_a_tick_of_its_frame(
    events: list[tuple[int, bytes]], tempo_map: list[Tempo], file_type: int, resolution: int, rate: int
) -> None:
    events.sort(key=lambda event: event[0])
    tempo_map.sort(key=lambda tempo: tempo.sample_position)
    smf = write_smf(events, 1_000_000, 3_000_000, rate, tempo_map, SmfOptions(file_type, resolution))
    found, metas, seconds = read_back(smf)
    assert (smf.chased, smf.events, smf.skipped) == (0, len(events), {})
    assert [data for _, _, data in found[: len(events)]] == [data for _, data in events], "all, in their order"
    assert len(found) == len(events) + smf.ended == len(smf.frames)
    assert smf.frames == tuple([position for position, _ in events] + [3_000_000] * smf.ended)
    slowest = max(tempo.microseconds for tempo in [Tempo(0, 120), *tempo_map])
    half_a_tick = Fraction(slowest, 2 * resolution * 1_000_000)
    for (_, at, _), position in zip(found, smf.frames, strict=True):
        assert abs(at - Fraction(position - 1_000_000, rate)) <= half_a_tick
    assert abs(seconds - Fraction(2_000_000, rate)) <= half_a_tick
    changes = [meta.tempo for _, meta in metas if meta.type == "set_tempo"]
    assert changes == [tempo for tempo, _ in itertools.groupby(expected_tempos(tempo_map))]
    assert smf == write_smf(events, 1_000_000, 3_000_000, rate, tempo_map, SmfOptions(file_type, resolution))


def expected_tempos(tempo_map: list[Tempo]) -> list[int]:
    before = [tempo for tempo in tempo_map if tempo.sample_position <= 1_000_000]
    within = [tempo for tempo in tempo_map if 1_000_000 < tempo.sample_position < 3_000_000]
    return [tempo.microseconds for tempo in [*(before[-1:] or [Tempo(0, 120)]), *within]]


def test_the_local_tempo_makes_the_half_tick_and_errors_do_not_add_up() -> None:
    random.seed(3)
    rate, begin, end = 44_100, 12_345, 12_345 + 44_100 * 600
    positions = sorted(random.sample(range(begin, end), 300))
    tempo_map = [Tempo(position, random.uniform(50, 250)) for position in positions]
    events = [(position, NOTE) for position in sorted(random.choices(range(begin, end), k=3000))]
    found, _, _ = read_back(write_smf(events, begin, end, rate, tempo_map))
    worst = Fraction(0)
    for (_, at, _), (position, _) in zip(found, events, strict=False):
        # a frame or two from a change, either tempo may be the one in force
        near = [tempo for tempo in [Tempo(begin, 120), *tempo_map] if tempo.sample_position <= position + 40]
        microseconds = max(tempo.microseconds for tempo in near[-2:])
        worst = max(worst, abs(at - Fraction(position - begin, rate)) / Fraction(microseconds, 960_000_000))
    assert worst <= Fraction(1, 2)


def test_24000_ticks_at_120_are_frames() -> None:
    events = [(position, NOTE) for position in range(5, 3000, 7)]
    smf = write_smf(events, 5, 3000, RATE, options=SmfOptions(ticks_per_quarter=24_000))
    found, _, _ = read_back(smf)
    assert [tick for tick, _, _ in found] == [position - 5 for position in smf.frames]
    assert read_smf(smf.data, RATE, 3000)[: len(events)] == [(position - 5, data) for position, data in events]


def test_golden_bytes() -> None:
    events = [
        (0, bytes.fromhex("c0 05")),
        (10, NOTE),
        (48_000, bytes.fromhex("f0 7e 7f 09 01 f7")),
        (48_000, bytes.fromhex("90 40 60")),
        (72_000, bytes.fromhex("80 40 00")),
    ]
    tempo_map = [Tempo(0, 120, 3, 4), Tempo(60_000, 60, 6, 8)]
    smf = write_smf(events, 24_000, 96_000, RATE, tempo_map, SmfOptions(track_name="é"))
    assert smf.data.hex(" ", -4) == (
        "4d546864 00000006 00010002 03c04d54 726b0000 002a00ff 0302c3a9 00ff5103 07a12000 ff580403 0218088b 20ff5103 "
        "1e848000 ff580406 030c0882 68ff2f00 4d54726b 00000027 00ff0302 c3a900c0 0500903c 508740f0 057e7f09 01f70090 "
        "40608458 80400081 703c4000 ff2f00"
    )
    assert (smf.events, smf.chased, smf.ended, smf.skipped) == (3, 2, 1, {})
    assert smf.frames == (24_000, 24_000, 48_000, 48_000, 72_000, 96_000)


def ticks_of(smf: Smf) -> list[tuple[int, str]]:
    return [(tick, data.hex(" ")) for tick, _, data in read_back(smf)[0]]


def test_what_sounds_at_both_ends_is_begun_and_ended() -> None:
    events = [
        (100, bytes.fromhex("b0 00 01")),
        (100, bytes.fromhex("c0 05")),
        (200, NOTE),
        (300, bytes.fromhex("90 40 20")),
        (1000, bytes.fromhex("80 40 11")),
        (1000 + 25 * 10, bytes.fromhex("90 41 22")),
        (1000 + 25 * 20, bytes.fromhex("80 41 00")),
        (1000 + 25 * 30, bytes.fromhex("90 41 33")),
        (1000 + 25 * 40, bytes.fromhex("90 42 44")),  # at the end: not in it
    ]
    for file_type in (0, 1):
        smf = write_smf(events, 1000, 2000, RATE, options=SmfOptions(file_type))
        assert ticks_of(smf) == [
            (0, "b0 00 01"),
            (0, "c0 05"),
            (0, "90 3c 50"),
            (0, "90 40 20"),
            (0, "80 40 11"),
            (10, "90 41 22"),
            (20, "80 41 00"),
            (30, "90 41 33"),
            (40, "80 3c 40"),
            (40, "80 41 40"),
        ]
        assert (smf.events, smf.chased, smf.ended) == (4, 4, 2)
        assert smf.frames == (1000,) * 5 + (1250, 1500, 1750, 2000, 2000)
        assert read_back(smf)[2] == Fraction(40 * 500_000, 960_000_000)
    without = write_smf(events, 1000, 2000, RATE, options=SmfOptions(chase=frozenset()))
    assert ticks_of(without) == [
        (0, "80 40 11"),
        (10, "90 41 22"),
        (20, "80 41 00"),
        (30, "90 41 33"),
        (40, "80 41 40"),
    ]
    programs = write_smf(events, 1000, 2000, RATE, options=SmfOptions(chase=frozenset({ChaseKind.PROGRAM})))
    assert ticks_of(programs)[:3] == [(0, "b0 00 01"), (0, "c0 05"), (0, "80 40 11")]


def test_tempo_and_time_signatures() -> None:
    tempo_map = [Tempo(0, 90), Tempo(500, 100, 3, 4), Tempo(1500, 100, 7, 8), Tempo(1600, 100, 7.5, 8), Tempo(2000, 60)]
    smf = write_smf([], 1000, 2000, RATE, tempo_map, SmfOptions(track_name="stream://studio/keys"))
    _, metas, _ = read_back(smf)
    told = [(tick, meta.type, getattr(meta, "tempo", None)) for tick, meta in metas if meta.type == "set_tempo"]
    assert told == [(0, "set_tempo", 600_000), (17, "set_tempo", 1_200_000)]
    signatures = [
        (tick, meta.numerator, meta.denominator, meta.clocks_per_click)
        for tick, meta in metas
        if meta.type == "time_signature"
    ]
    assert signatures == [(0, 3, 4, 24), (17, 7, 8, 12)]
    assert smf.skipped == {SkipReason.TIME_SIGNATURE: 1}
    assert [meta.name for _, meta in metas if meta.type == "track_name"] == ["stream://studio/keys"] * 2
    _, metas, _ = read_back(write_smf([], 0, 9, RATE))
    assert [(meta.type, tick) for tick, meta in metas][:2] == [("set_tempo", 0), ("time_signature", 0)]


def test_what_has_no_place_in_a_file_is_counted() -> None:
    bad = ["", "3c 50", "90 3c", "90 3c 80", "90 3c 50 00", "f4", "f7", "f9", "80", "f0 90 f7", "90 3c 50 90 40 50"]
    common = ["f1 01", "f2 01 02", "f3 01", "f6"]
    real_time = ["f8", "fa", "fb", "fc", "fe", "ff"]
    events = [(0, bytes.fromhex(data)) for data in [*bad, *common, *real_time, "f0 01 02"]]
    events += [
        (5, NOTE),
        *[(position, data) for position in (6, 7) for data in map(bytes.fromhex, [*bad, *common, *real_time])],
    ]
    smf = write_smf(events, 5, 9, RATE)
    assert (smf.events, smf.chased) == (1, 0)
    assert smf.skipped == {
        SkipReason.INVALID: 2 * len(bad),
        SkipReason.SYSTEM_COMMON: 2 * len(common),
        SkipReason.SYSTEM_REAL_TIME: 2 * len(real_time),
    }


@pytest.mark.parametrize(
    ("events", "joined"),
    [
        (["f0 01 f7"], ["f0 01 f7"]),
        (["f0 f7"], ["f0 f7"]),
        (["f0", "01", "02 f7"], ["2: f0 01 02 f7"]),
        (["f0 01", "f7"], ["1: f0 01 f7"]),
        (["f0 01", "f8", "02 f7"], ["1: f8", "2: f0 01 02 f7"]),
        (["f0 01 f8 02", "fe f7"], ["f8", "1: fe", "1: f0 01 02 f7"]),
        (["f0 01", "90 3c 50", "f7"], ["sysex_broken", "1: 90 3c 50", "2: invalid"]),
        (["f0 01", "f0 02 f7"], ["sysex_broken", "1: f0 02 f7"]),
        (["f0 01", "02 f7 03"], ["sysex_broken", "1: invalid"]),
        (["f0 01"], ["sysex_broken"]),
        (["f0 01 f7 02"], ["invalid"]),
        (["01 f7"], ["invalid"]),
    ],
)
def test_system_exclusives_are_joined(events: list[str], joined: list[str]) -> None:
    given_events = [(at, bytes.fromhex(data)) for at, data in enumerate(events)]
    found = []
    for at, message in join_messages(given_events):
        text = message.value if isinstance(message, SkipReason) else message.hex(" ")
        found.append(f"{at}: {text}" if at else text)
    assert found == joined


def test_a_system_exclusive_has_a_greatest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    assert midi_messages.MAX_SYSEX_BYTES <= MAX_MESSAGE_LENGTH, "mido reads it, too"
    monkeypatch.setattr(midi_messages, "MAX_SYSEX_BYTES", 1000)
    longest = b"\xf0" + bytes(998) + b"\xf7"
    pieces = [longest[at : at + 300] for at in range(0, len(longest), 300)]
    assert read_smf(write_smf([(7, piece) for piece in pieces], 7, 9, RATE).data, RATE, 9) == [(0, longest)]
    assert write_smf([(7, longest[:-1] + b"\0\xf7")], 0, 9, RATE).skipped == {SkipReason.SYSEX_BROKEN: 1}
    too_long = [*pieces[:-1], b"\0", pieces[-1], NOTE]
    smf = write_smf([(7, piece) for piece in too_long], 0, 9, RATE)
    assert (smf.events, smf.skipped) == (1, {SkipReason.SYSEX_BROKEN: 1})


def test_a_long_silence_is_bridged() -> None:
    day = 86_400 * RATE
    events = [(0, NOTE), (3 * day, OFF)]
    smf = write_smf(events, 0, 4 * day, RATE, options=SmfOptions(ticks_per_quarter=24_000))
    found, _, seconds = read_back(smf)
    assert [(tick, data) for tick, _, data in found] == events
    assert seconds == 4 * 86_400
    assert read_smf(smf.data, RATE, 4 * day) == events, "in numbers of four bytes, as RP-001 has them"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: write_smf([], 5, 5, RATE), "the range 5 to 5: it must have at least one frame"),
        (lambda: write_smf([(3, NOTE), (2, OFF)], 0, 9, RATE), "position 2 after one at 3"),
        (lambda: SmfOptions(file_type=2), "of type 2: it must be 0 or 1"),
        (lambda: SmfOptions(ticks_per_quarter=0), "0 ticks per quarter note: it must be 1 to 32767"),
        (lambda: SmfOptions(ticks_per_quarter=32_768), "must be 1 to 32767"),
        (lambda: Tempo(0, 0), "must be above 0"),
        (lambda: Tempo(0, float("nan")), "must be above 0"),
        (lambda: Tempo(0, 120, 4, 0), "must be above 0"),
        (lambda: Tempo(0, 3), "3.58 quarter notes per minute"),
        (lambda: Tempo(0, 1e9), "can say 1 to 16777215"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make()


@pytest.mark.skipif(shutil.which("fluidsynth") is None or not SOUND_FONT.exists(), reason="needs fluidsynth")
def test_fluidsynth_plays_what_was_chased(tmp_path: Path) -> None:
    """An organ that began before the range is heard from the first moment until its end, and not after it."""
    events = [(0, bytes.fromhex("c0 10")), (100, NOTE), (100, bytes.fromhex("b0 07 7f"))]

    def loudness(options: SmfOptions) -> Any:
        path, wav = tmp_path / "file.mid", tmp_path / "file.wav"
        path.write_bytes(write_smf(events, RATE, 3 * RATE, RATE, options=options).data)
        command = ["fluidsynth", "-q", "-n", "-i", "-R", "0", "-C", "0", "-r", str(RATE), "-F"]
        subprocess.run([*command, str(wav), str(SOUND_FONT), str(path)], check=True, capture_output=True, timeout=60)
        samples, rate = soundfile.read(wav)
        assert rate == RATE
        tenths = samples[: len(samples) // 4800 * 4800].reshape(-1, 4800 * 2)
        return np.sqrt((tenths**2).mean(axis=1))

    played = loudness(SmfOptions())
    assert (played[:20] > 0.001).all()
    assert (played[25:] < played[10] / 100).all()
    assert (loudness(SmfOptions(chase=frozenset())) < 1e-4).all()
