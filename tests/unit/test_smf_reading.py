"""Standard MIDI Files read into messages at frames: against mido, and against bytes written by hand."""

import io
import struct
from fractions import Fraction
from typing import Any

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.errors import InvalidValueError
from jackcapture.formats.smf import SmfOptions, Tempo, write_smf
from jackcapture.formats.smf_reading import read_smf

RATE = 48000
HOUR = 3600 * RATE


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack(">I", len(body)) + body


def smf(*tracks: str, file_type: int = 0, division: int = 0x03C0) -> bytes:
    """A file of tracks in hexadecimal."""
    head = chunk(b"MThd", struct.pack(">HHH", file_type, len(tracks), division))
    return head + b"".join(chunk(b"MTrk", bytes.fromhex(track)) for track in tracks)


def read(*tracks: str, file_type: int = 0, division: int = 0x03C0) -> list[tuple[int, str]]:
    """What is read of such a file, in hexadecimal."""
    found = read_smf(smf(*tracks, file_type=file_type, division=division), RATE, HOUR)
    return [(frame, message.hex(" ")) for frame, message in found]


TICK = 25  # frames, at 960 ticks and 120 quarter notes per minute


@pytest.mark.parametrize(
    ("track", "found"),
    [
        ("", []),
        ("00 ff 2f 00", []),
        ("00 90 3c 50 01 80 3c 40", [(0, "90 3c 50"), (TICK, "80 3c 40")]),
        ("00 90 3c 50", [(0, "90 3c 50")]),  # a track may lack its end
        ("00 90 3c 50 00 ff 2f 00 00 90 3d 50", [(0, "90 3c 50")]),
        ("83 60 c5 01", [(480 * TICK, "c5 01")]),
        ("81 80 80 00 d5 01", [((1 << 21) * TICK, "d5 01")]),
        # running status, also over a meta event and a system exclusive
        ("00 90 3c 50 01 3d 51 01 3d 00", [(0, "90 3c 50"), (TICK, "90 3d 51"), (2 * TICK, "90 3d 00")]),
        ("00 c0 01 01 02", [(0, "c0 01"), (TICK, "c0 02")]),
        ("00 90 3c 50 00 ff 01 01 41 01 3d 51", [(0, "90 3c 50"), (TICK, "90 3d 51")]),
        ("00 90 3c 50 00 f0 02 01 f7 01 3d 51", [(0, "90 3c 50"), (0, "f0 01 f7"), (TICK, "90 3d 51")]),
        # system exclusives, in one packet or more: RP-001 gives the second as its example
        ("00 f0 03 43 12 f7", [(0, "f0 43 12 f7")]),
        (
            "00 f0 03 43 12 00 81 48 f7 06 43 12 00 43 12 00 64 f7 04 43 12 00 f7",
            [(300 * TICK, "f0 43 12 00 43 12 00 43 12 00 43 12 00 f7")],
        ),
        ("00 f0 00 01 f7 01 f7", [(TICK, "f0 f7")]),
        # escapes
        ("00 f7 01 f8 01 f7 03 fa f8 f8", [(0, "f8"), (TICK, "fa"), (TICK, "f8"), (TICK, "f8")]),
        ("00 f7 03 f2 01 02 00 f7 02 f3 01 00 f7 01 f6", [(0, "f2 01 02"), (0, "f3 01"), (0, "f6")]),
        ("00 f7 04 f0 01 02 f7", [(0, "f0 01 02 f7")]),
        # tempo: 60 quarter notes per minute, from tick 2 on; twice at one tick, where the last counts
        ("02 ff 51 03 0f 42 40 02 90 3c 50", [(2 * TICK + 2 * 2 * TICK, "90 3c 50")]),
        ("00 ff 51 03 00 00 01 00 ff 51 03 0f 42 40 01 90 3c 50", [(2 * TICK, "90 3c 50")]),
    ],
)
def test_what_is_read(track: str, found: list[tuple[int, str]]) -> None:
    assert read(track) == found


def test_tracks_are_merged_and_any_may_have_the_tempo() -> None:
    tracks = ["02 90 01 01 02 90 02 02", "02 ff 51 03 0f 42 40", "00 91 03 03 02 91 04 04 02 91 05 05"]
    assert read(*tracks, file_type=1) == [
        (0, "91 03 03"),
        (2 * TICK, "90 01 01"),
        (2 * TICK, "91 04 04"),
        (6 * TICK, "90 02 02"),
        (6 * TICK, "91 05 05"),
    ]


@pytest.mark.parametrize(
    ("division", "ticks_per_second"),
    [
        (0xE800 | 100, Fraction(2400)),
        (0xE700 | 40, Fraction(1000)),
        (0xE300 | 80, Fraction(80 * 30_000, 1001)),
        (0xE200 | 4, Fraction(120)),
    ],
)
def test_smpte_time_goes_by_whatever_the_tempo(division: int, ticks_per_second: Fraction) -> None:
    found = read("00 ff 51 03 00 00 01 81 00 90 3c 50 ff 7f 80 3c 40", division=division)
    assert found == [
        (round(128 / ticks_per_second * RATE), "90 3c 50"),
        (round((128 + 0x3FFF) / ticks_per_second * RATE), "80 3c 40"),
    ]


def test_chunks_of_other_names_and_longer_headers_are_passed_over() -> None:
    track = chunk(b"MTrk", bytes.fromhex("00 90 3c 50"))
    header = chunk(b"MThd", struct.pack(">HHH", 0, 1, 960) + b"more")
    data = header + chunk(b"XFIH", b"anything") + track + chunk(b"XFKM", b"")
    assert read_smf(data, RATE, HOUR) == [(0, b"\x90\x3c\x50")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file: a MIDI file begins with MThd"),
        (b"RIFF....", "not a MIDI file: it begins with b'RIFF'"),
        (b"MThd", "with no whole header"),
        (chunk(b"MThd", b"\0\0\0"), "with no whole header"),
        (smf("00 90 3c 50")[:-1], "cut off: its chunk b'MTrk' ends at 26"),
        (smf("00 90 3c 50", file_type=2), "of type 2: only types 0 and 1"),
        (smf("00 90 3c 50", file_type=3), "of type 3: only types 0 and 1"),
        (smf("", "", file_type=0), "of type 0 with 2 tracks: it must have one"),
        (smf("", file_type=1) + chunk(b"MTrk", b""), "with 2 tracks: it must have the 1 that its header says"),
        (smf("", division=0), "0 ticks per quarter note"),
        (smf("", division=0x8001), "1 ticks in each of 128 SMPTE frames"),
        (smf("", division=0xE700), "0 ticks in each of 25 SMPTE frames"),
        (smf("00 3c 50"), "before byte 23: a message has no status byte"),
        (smf("00 90 3c"), "the track ends within an event, 1 bytes too early"),
        (smf("00 90 3c 80"), "status 90 with data bytes 3C 80"),
        (smf("00 f2 01 02"), "status F2 has no place"),
        (smf("00 f8"), "status F8 has no place"),
        (smf("80 80 80 80 00"), "a number of more than 4 bytes"),
        (smf("00 ff 51 02 01 02"), "a tempo of 258 microseconds in 2 bytes"),
        (smf("00 ff 51 03 00 00 00"), "a tempo of 0 microseconds"),
        (smf("00 f0 02 01 02"), r"a system exclusive does not end \(F7\)"),
        (smf("00 f0 01 01 00 90 3c 50"), r"does not end \(F7\) before the next message"),
        (smf("00 f0 01 01 00 f0 01 f7"), "begins before another has its end"),
        (smf("00 f0 02 90 f7"), "bytes above 7F"),
        (smf("00 f7 02 f2 01"), "an escape: 'F2 01' is no MIDI message"),
        (smf("00 f7 00"), "an escape: '' is no MIDI message"),
    ],
)
def test_what_is_no_sound_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        read_smf(data, RATE, HOUR)


def test_a_file_has_a_greatest_length() -> None:
    data = smf("87 40 90 3c 50")  # tick 960
    assert read_smf(data, RATE, 24_000) == [(24_000, b"\x90\x3c\x50")]
    with pytest.raises(InvalidValueError, match=r"a message at 0\.5 s: it may last 0\.2 s at most"):
        read_smf(data, RATE, 12_000)


byte = st.integers(0, 127)
delta = st.integers(0, 300) | st.integers(0, 100_000)
timed = st.one_of(
    st.builds(
        lambda t, c, a, b: mido.Message("note_on", channel=c, note=a, velocity=b, time=t),
        delta,
        st.integers(0, 15),
        byte,
        byte,
    ),
    st.builds(lambda t, a: mido.Message("program_change", program=a, time=t), delta, byte),
    st.builds(lambda t, a: mido.Message("sysex", data=a, time=t), delta, st.lists(byte, max_size=4)),
    st.builds(lambda t, a: mido.MetaMessage("set_tempo", tempo=a, time=t), delta, st.integers(1, 0xFFFFFF)),
    st.builds(lambda t: mido.MetaMessage("text", text="x", time=t), delta),
)


@settings(max_examples=50)
@given(st.lists(st.lists(timed, max_size=12), min_size=1, max_size=4), st.integers(1, 0x7FFF))
def test_all_that_mido_writes_and_reads(tracks: list[list[Any]], resolution: int) -> None:
    out = io.BytesIO()
    file = mido.MidiFile(type=1, ticks_per_beat=resolution, tracks=[mido.MidiTrack(track) for track in tracks])
    file.save(file=out)
    expected, seconds, tempo = [], Fraction(0), 500_000
    for message in mido.MidiFile(file=io.BytesIO(out.getvalue())).merged_track:
        seconds += Fraction(message.time * tempo, resolution * 1_000_000)
        if message.type == "set_tempo":
            tempo = message.tempo
        elif not message.is_meta:
            expected.append((round(seconds * RATE), bytes(message.bytes())))
    assert read_smf(out.getvalue(), RATE, 1 << 62) == expected


written = st.lists(
    st.tuples(st.integers(0, 500_000), st.sampled_from([b"\x90\x3c\x50", b"\xc0\x05", b"\xf0\x01\xf7", b"\xe3\1\2"])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60)
@given(written, st.sampled_from([0, 1]), st.lists(st.tuples(st.integers(0), byte | st.integers(128, 255)), max_size=4))
def test_no_bytes_bring_anything_but_messages_or_a_refusal(
    events: list[tuple[int, bytes]], file_type: int, changes: list[tuple[int, int]]
) -> None:
    events.sort(key=lambda event: event[0])
    data = bytearray(write_smf(events, 0, 500_001, RATE, [Tempo(9, 70)], SmfOptions(file_type)).data)
    for at, value in changes:
        data[at % len(data)] = value
    try:
        found = read_smf(bytes(data), RATE, 1 << 62)
    except InvalidValueError:
        assert changes
        return
    assert all(frame >= 0 and message[0] >= 0x80 for frame, message in found)
    assert found == sorted(found, key=lambda event: event[0])
    if not changes:
        assert [message for _, message in found][: len(events)] == [message for _, message in events]
