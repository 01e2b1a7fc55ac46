"""Requests of sessions: what is sent, when an answer has decayed, where it goes, and what is kept of it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackcapture.catalog import Catalog
from jackcapture.control.documents import rendered
from jackcapture.control.maintenance.request_reading import RequestPart
from jackcapture.control.maintenance.session_reading import read_session
from jackcapture.control.operations.describe_requests import describe_request
from jackcapture.control.sessions.answers import Span, Spans, end_of_answer
from jackcapture.control.sessions.document import render_session
from jackcapture.control.sessions.request_content import (
    MAX_EVENTS,
    ContentLimits,
    NoteArgument,
    content_of_file,
    content_of_notes,
)
from jackcapture.control.sessions.request_ports import choose_destinations, choose_output
from jackcapture.control.sessions.sending import Sending
from jackcapture.control.sessions.settings import RequestSettings
from jackcapture.errors import ConflictError, InvalidValueError, NotFoundError, UnreachableError
from jackcapture.formats.smf_exact import write_exact_smf
from jackcapture.formats.smf_reading import read_smf
from jackcapture.model.requests import Answer, EndedBy, Request, request_from_json
from jackcapture.model.sessions import Segment, SegmentClock, Session, SessionMode, SessionStatus
from jackcapture.model.uris import parse_stream_uri
from jackcapture.protocol.messages import LateEvent, MidiOutputState, Port, PortConnections, PortType

RATE = 48_000
HOLD, LONGEST = 100, 1000
URI = parse_stream_uri("stream://synth/main")
LIMITS = ContentLimits(RATE, 600.0)
DECAYED, MAXIMUM = EndedBy.DECAYED, EndedBy.MAXIMUM


# --- when an answer ends ---


@pytest.mark.parametrize(
    ("spans", "heard", "expected"),
    [
        ([], 5099, None),
        ([], 5100, (5100, DECAYED)),
        ([], 9000, (5100, DECAYED)),  # however late it is looked at
        ([(4000, 4900)], 5100, (5100, DECAYED)),  # what was before the last message does not count
        ([(4000, 5001)], 5100, None),
        ([(4000, 5001)], 5101, (5101, DECAYED)),
        ([(5099, 5200)], 5300, (5300, DECAYED)),
        ([(5100, 5200)], 5300, (5100, DECAYED)),  # it was quiet for long enough before that
        ([(5050, 5060), (5160, 5170)], 6000, (5160, DECAYED)),
        ([(5050, 5060), (5159, 5170)], 6000, (5270, DECAYED)),
        ([(5159, 5170), (5050, 5060)], 6000, (5270, DECAYED)),  # of several streams
        ([(5000, 5900)], 5999, None),
        ([(5000, 5900)], 6000, (6000, DECAYED)),
        ([(5000, 5901)], 5999, None),
        ([(5000, 5901)], 6000, (6000, MAXIMUM)),
        ([(5000, 9000)], 9000, (6000, MAXIMUM)),
    ],
)
def test_when_an_answer_ends(spans: list[Span], heard: int, expected: tuple[int, EndedBy] | None) -> None:
    assert end_of_answer(spans, 5000, HOLD, LONGEST, heard) == expected


def slow_end(loud: set[int], last_event: int, hold: int, longest: int, heard: int) -> tuple[int, EndedBy] | None:
    """The same, frame by frame."""
    quiet = 0
    for frame in range(last_event, heard):
        if frame == last_event + longest:
            return frame, EndedBy.MAXIMUM
        quiet = 0 if frame in loud else quiet + 1
        if quiet == hold:
            return frame + 1, EndedBy.DECAYED
    return (heard, EndedBy.MAXIMUM) if heard >= last_event + longest else None


@given(
    st.lists(st.sets(st.integers(0, 120)), min_size=1, max_size=3),
    st.integers(0, 60),
    st.integers(1, 20),
    st.integers(1, 60),
    st.integers(0, 120),
    st.integers(1, 40),
)
def test_an_answer_ends_where_it_would_frame_by_frame_whenever_it_is_looked_at(
    streams: list[set[int]], last_event: int, hold: int, longest: int, heard: int, step: int
) -> None:
    ears = []
    for loud in streams:
        spans = Spans(hold)
        for begin in range(0, heard, step):  # as it is recorded
            spans.add(np.array(sorted(it for it in loud if begin <= it < min(begin + step, heard)), np.int64))
        ears.append(spans)
    loud = {frame for stream in streams for frame in stream if frame < heard}
    found = end_of_answer([span for ear in ears for span in ear.found], last_event, hold, longest, heard)
    assert found == slow_end(loud, last_event, hold, longest, heard)


# --- what is sent ---


def test_notes_become_messages_in_order() -> None:
    content = content_of_notes(
        [
            NoteArgument(60, ms=10, duration_ms=10),
            NoteArgument(60, ms=0, duration_ms=10, velocity=1),
            NoteArgument(75, ms=0.01, duration_ms=0.0001, channel=10),
        ],
        LIMITS,
    )
    assert content.messages == (
        (0, b"\x90\x3c\x01"),
        (0, b"\x99\x4b\x64"),
        (1, b"\x89\x4b\x40"),
        (480, b"\x80\x3c\x40"),  # it ends before the next one begins
        (480, b"\x90\x3c\x64"),
        (960, b"\x80\x3c\x40"),
    )
    assert read_smf(content.file, RATE, RATE) == list(content.messages)
    assert (content.first_note, content.source) == (0, "3 notes")


def test_the_first_note_is_that_which_sounds(tmp_path: Path) -> None:
    track = mido.MidiTrack([mido.Message("program_change", program=3), mido.Message("note_on", note=1, velocity=0)])
    mido.MidiFile(tracks=[track]).save(tmp_path / "none.mid")
    assert content_of_file(str(tmp_path / "none.mid"), LIMITS).first_note == 0
    track.append(mido.Message("note_on", note=1, velocity=1))
    mido.MidiFile(tracks=[track]).save(tmp_path / "one.mid")
    assert content_of_file(str(tmp_path / "one.mid"), LIMITS).first_note == 2


@pytest.mark.parametrize("note", [{"ms": float("nan")}, {"duration_ms": 0.0}, {"velocity": 0}, {"channel": 0}])
def test_notes_that_are_none(note: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=r"note 1: .* must b"):
        content_of_notes([NoteArgument(60), NoteArgument(60, **note)], LIMITS)


def test_too_many_notes() -> None:
    with pytest.raises(InvalidValueError, match=f"the notes: {MAX_EVENTS + 2} MIDI messages"):
        content_of_notes([NoteArgument(60)] * (MAX_EVENTS // 2 + 1), LIMITS)


def test_smpte_and_a_path_that_is_not_absolute(tmp_path: Path) -> None:
    track = b"\x00\x90\x40\x40\x0a\x80\x40\x40\x00\xff\x2f\x00"
    file = b"MThd\0\0\0\x06\0\0\0\1\xe7\x28MTrk" + len(track).to_bytes(4, "big") + track  # 25 frames of 40 ticks
    (tmp_path / "smpte.mid").write_bytes(file)
    content = content_of_file(str(tmp_path / "smpte.mid"), LIMITS)
    assert content.messages == ((0, b"\x90\x40\x40"), (480, b"\x80\x40\x40"))
    with pytest.raises(InvalidValueError, match=r"'smpte.mid' is not an absolute path"):
        content_of_file("smpte.mid", LIMITS)
    with pytest.raises(InvalidValueError, match="is no file with bytes"):
        content_of_file(str(tmp_path), LIMITS)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1 << 33),
            st.one_of(
                st.sampled_from([b"\x90\x40\x40", b"\xc5\x01", b"\xf8", b"\xf3\x01", b"\xf6"]),
                st.binary(max_size=300).map(lambda data: b"\xf0" + bytes(byte & 0x7F for byte in data) + b"\xf7"),
            ),
        )
    ),
    st.sampled_from([8000, 11025, 22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000, 384000, 768000]),
)
def test_a_file_of_exact_frames_is_read_as_it_was_written(messages: list[tuple[int, bytes]], rate: int) -> None:
    messages.sort(key=lambda it: it[0])
    assert read_smf(write_exact_smf(messages, rate), rate, 1 << 34) == messages


def test_a_rate_of_which_no_tick_can_be_a_frame() -> None:
    with pytest.raises(InvalidValueError, match="no tick of a MIDI file lasts a frame at 47999 Hz"):
        write_exact_smf([], 47_999)


# --- where it goes ---


def port(name: str, *, is_output: bool = False, kind: PortType = PortType.MIDI) -> Port:
    return Port(name, kind, is_output, False)


PORTS = [
    port("synth:in"), port("synth:in_2"), port("synth:out", is_output=True), port("desk:in", kind=PortType.AUDIO),
    port("jackcapture:keys"), port("odd (port:in"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("to", "found"),
    [
        (["synth:in"], ("synth:in",)),
        (["synth:.*"], ("synth:in", "synth:in_2")),
        (["synth:in_2", "synth:.*"], ("synth:in_2", "synth:in")),
        (["odd (port:in"], ("odd (port:in",)),
        ([".*keys", "x"], None),
        (["jackcapture:keys"], ("jackcapture:keys",)),  # ours, where it is named
        (["desk:in"], None),
        (["synth:out"], None),
        (["synth"], None),
        (["("], None),
    ],
)
def test_destinations(to: list[str], found: tuple[str, ...] | None) -> None:
    if found is not None:
        assert choose_destinations(to, PORTS, "jackcapture") == found
        return
    with pytest.raises(NotFoundError, match=r"names no MIDI input; there are synth:in, synth:in_2, odd"):
        choose_destinations(to, PORTS, "jackcapture")


def test_no_destination() -> None:
    with pytest.raises(InvalidValueError, match=r"name one with --port.*there are synth:in, synth:in_2, odd"):
        choose_destinations([], PORTS, "jackcapture")
    with pytest.raises(InvalidValueError, match="there are none at present"):
        choose_destinations([], PORTS[4:5], "jackcapture")


def test_an_output_is_used_again_if_it_goes_nowhere_else() -> None:
    def output(name: str, *to: str, is_done: bool = True) -> MidiOutputState:
        return MidiOutputState(name, PortConnections(f"jackcapture:{name}", to), is_done=is_done)

    assert choose_output([], ["a"], ()) == "request"
    assert choose_output([output("request", "a")], ["a", "b"], ()) == "request"
    assert choose_output([output("request", "a")], ["b"], ()) == "request-2"
    assert choose_output([output("request", "a"), output("request-2")], ["b"], ()) == "request-2"
    assert choose_output([output("request", "a"), output("request-2")], ["b"], {"request-2"}) == "request-3"
    assert choose_output([output("request", "a", is_done=False)], ["a"], ()) == "request-2"
    assert choose_output([output("midi-out", "a")], ["a"], ()) == "request"


# --- on its way ---


def state(**fields: Any) -> list[MidiOutputState]:
    return [MidiOutputState("request", PortConnections("x"), **{"start_frame": 1000, "events": 3} | fields)]


def test_frames_at_which_messages_were_sent() -> None:
    sending = Sending(1, "request", (0, 10, 20), 1000)
    sending.look(state(sent=2, is_done=False))
    assert (sending.last_event_frame, sending.frame_of(1)) == (None, 1010)
    sending.look(state(sent=3, late=(LateEvent(1, 7), LateEvent(2, 64)), late_count=2))
    assert (sending.last_event_frame, sending.frame_of(0), sending.frame_of(1)) == (1084, 1000, 1017)
    with pytest.raises(ConflictError, match="request 1 was not all sent, 2 of 3 messages: cancelled"):
        sending.look(state(sent=2, error="cancelled after 2 of 3 events"))
    with pytest.raises(UnreachableError, match="the engine died while it sent request 1"):
        sending.look(state(start_frame=7))


# --- what is kept ---

REQUEST = Request(
    1, 1, True, "request", ("synth:in",), RATE, 2, 10**9, DECAYED, "request-0123456789ab", "ab" * 32, 2, 1, 900, 1000,
    1100, 6000, True,
    (
        Answer(URI, True, "slice-0123456789ab", "cd" * 32, "audio/vnd.wave", 0, 5100, 1764, ((0, 64),)),
        Answer(URI, False, "slice-0123456789ac", "cd" * 32, "audio/midi", 0, 5100, 1001),
    ),
)  # fmt: skip


def test_a_request_comes_back_from_row_and_document() -> None:
    written = json.dumps(REQUEST.as_json())
    assert request_from_json(json.loads(written)) == REQUEST
    assert RequestPart.model_validate_json(written).request == REQUEST
    assert REQUEST.artifact_ids == ("slice-0123456789ab", "slice-0123456789ac", "request-0123456789ab")


def test_what_is_told_of_a_request() -> None:
    told = describe_request(REQUEST, RequestSettings())
    assert told.first_sound is not None
    assert (told.first_sound.stream_uri, told.first_sound.frames, told.first_sound.ms) == (URI, 764, 15.917)
    assert told.answers[1].first_sound is not None
    assert told.answers[1].first_sound.frames == 1
    assert told.hint is not None
    assert "before the first note" in told.hint
    assert describe_request(replace(REQUEST, was_loud_before=False), RequestSettings()).hint is None
    running = describe_request(replace(REQUEST, ended_by=None, answers=(), first_note_frame=None), RequestSettings())
    assert (running.ended_by, running.first_sound, running.hint) == (None, None, None)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(str(tmp_path / "catalog.db"), "5e0c7a3c-0000-4000-8000-000000000001")
    session = Session("session-1", "x", SessionMode.REQUEST_RESPONSE, SessionStatus.CREATED, 1, None, ())
    made.sessions.add(session)
    made.sessions.begin_segment("session-1", Segment(1, SegmentClock(5, 6), None, ()), 7)
    yield made
    made.close()


def test_requests_in_the_catalog(catalog: Catalog) -> None:
    begun = catalog.requests.add("session-1", replace(REQUEST, number=0, ended_by=None, answers=()))
    assert begun.number == 1
    assert catalog.requests.running() == [("session-1", begun)]
    assert catalog.sessions.get("session-1").running_request == begun
    catalog.requests.update("session-1", REQUEST)
    assert catalog.requests.running() == []
    second = catalog.requests.add("session-1", replace(REQUEST, number=0))
    assert second.number == 2
    assert catalog.sessions.get("session-1").requests == (REQUEST, second)
    assert catalog.sessions.get("session-1").running_request is None
    with pytest.raises(NotFoundError, match="no session 'session-2'"):
        catalog.requests.add("session-2", REQUEST)
    catalog.sessions.delete("session-1")
    assert catalog.requests.artifacts("session-1", 1) == []


# --- in the document of a session ---


def closed(*requests: Request) -> Session:
    segment = Segment(1, SegmentClock(5, 6), SegmentClock(7, 8), ())
    status = SessionStatus.CLOSED
    return Session("s", "x", SessionMode.REQUEST_RESPONSE, status, 1, 2, (URI,), (segment,), requests=requests)


def document(*requests: Request) -> bytes:
    return rendered(render_session("5e0c7a3c-0000-4000-8000-000000000001", closed(*requests), ["ab" * 32]))


def test_a_document_tells_of_requests() -> None:
    assert [it.request for it in read_session(document(REQUEST)).requests] == [REQUEST]
    cancelled = Request(2, 1, False, "request", (), RATE, 2, 5, EndedBy.CANCELLED)
    assert [it.request for it in read_session(document(REQUEST, cancelled)).requests] == [REQUEST, cancelled]
    without = json.loads(document())
    del without["requests"]  # of a session that was closed before there were any
    assert read_session(rendered(without)).requests == ()


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([replace(REQUEST, segment=2)], "the request 1 is in no segment"),
        ([REQUEST, REQUEST], "the request 1 is there more than once"),
        ([replace(REQUEST, ended_by=None)], "ended_by"),
        ([replace(REQUEST, content_hash="../x")], "content_hash"),
        ([replace(REQUEST, artifact_id="request-'; DROP")], "artifact_id"),
        ([replace(REQUEST, answers=(replace(REQUEST.answers[0], uri=parse_stream_uri("stream://a/b")),))], "no answer"),
        ([replace(REQUEST, answers=(replace(REQUEST.answers[0], from_sample=9000),))], "no answer of its streams"),
        ([replace(REQUEST, sample_rate=0)], "sample_rate"),
    ],
)
def test_a_document_that_does_not_hold_up(requests: list[Request], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        read_session(document(*requests))
