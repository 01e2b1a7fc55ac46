"""Sessions: their rules, their rows in the catalog, what they hold, and where their places lie."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jackcapture.catalog import Catalog, SealedChunk
from jackcapture.catalog.audit import Audit
from jackcapture.control.contents import Contents
from jackcapture.control.maintenance.offline import check_offline
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.sessions.clocks import nominal_clock, observed_clock
from jackcapture.control.sessions.document import enter_session, render_session
from jackcapture.control.slices.excerpts import Extent
from jackcapture.control.slices.landmarks import Landmarks
from jackcapture.errors import ConflictError, InvalidValueError, NotFoundError
from jackcapture.model.addresses import Content
from jackcapture.model.artifacts import Artifact
from jackcapture.model.places import Anchor, End, MarkPlace, SegmentPlace, SessionPlace
from jackcapture.model.retention import HolderKind, Retention
from jackcapture.model.sessions import (
    Mark,
    Relocation,
    Segment,
    SegmentClock,
    SegmentRange,
    Session,
    SessionGlance,
    SessionMode,
    SessionStatus,
    parse_mark_name,
    parse_session_mode,
    parse_session_name,
    parse_session_streams,
)
from jackcapture.model.streams import AudioFormat, StreamDefinition
from jackcapture.model.takes import Chunk, ClockSnapshot, Take, Transport, TransportState
from jackcapture.model.uris import StreamUri, parse_stream_uri
from jackcapture.store import Store
from parts.kept_store import IDLE, MAIN, KeptStore

STORE = "5e0c7a3c-0000-4000-8000-000000000001"
A = parse_stream_uri("stream://desk/a")
B = parse_stream_uri("stream://desk/b")
RATE = 48_000
SECOND = 10**9


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """Two streams with a take each that runs: A from frame 1000 on, B from 3000 on."""
    made = Catalog(str(tmp_path / "catalog.db"), STORE)
    for uri, start in ((A, 1000), (B, 3000)):
        definition = StreamDefinition(uri, "desk", AudioFormat(RATE, 2))
        made.add_stream(definition, artifact(f"definition of {uri}", "definition"))
        made.begin_take(Take(uri, 1, start, 0, None, SECOND, None))
    yield made
    made.close()


def artifact(name: str, kind: str, **fields: Any) -> Artifact:
    return Artifact(name, kind, "ab" * 32, "application/json", 10, 5, **fields)


def session(name: str, *uris: StreamUri) -> Session:
    return Session(name, name, SessionMode.PASSIVE, SessionStatus.CREATED, SECOND, None, uris or (A, B))


def running(number: int, frame: int, is_own: bool = False) -> Segment:
    """A segment of both streams from a frame on, in their first takes."""
    ranges = [SegmentRange(uri, 1, frame - start, None, is_own, start, 0) for uri, start in ((A, 1000), (B, 3000))]
    return Segment(number, SegmentClock(frame, SECOND), None, tuple(ranges))


def play(catalog: Catalog, session_id: str, number: int, frame: int) -> Segment:
    segment = running(number, frame)
    catalog.sessions.begin_segment(session_id, segment, 7)
    return segment


def stop(catalog: Catalog, session_id: str, number: int, frame: int) -> SegmentClock:
    ended = SegmentClock(frame, 2 * SECOND, 77, TransportState.ROLLING, 5, 1, 2, 3)
    catalog.sessions.end_segment(session_id, number, ended, {A: frame - 1000, B: frame - 3000})
    return ended


def held(catalog: Catalog, uri: StreamUri) -> list[tuple[str, int, int]]:
    return [(it.holder, it.from_sample, it.to_sample) for it in catalog.keeping.holds(uri, HolderKind.SESSION)]


# --- rules


@pytest.mark.parametrize(
    ("parse", "given", "said"),
    [
        (parse_session_mode, "trigger", "passive or request-response or triggered"),
        (parse_session_name, "", "1 to 100 printable"),
        (parse_session_name, "a\nb", "1 to 100 printable"),
        (parse_session_name, " a", "1 to 100 printable"),
        (parse_session_name, "a" * 101, "1 to 100 printable"),
        (parse_session_streams, [], "needs a stream"),
        (parse_session_streams, [A, B, A], "stream://desk/a is named more than once"),
        (parse_session_streams, ["desk"], "not a stream URI"),
        (parse_mark_name, "Solo", "not a mark's name"),
        (parse_mark_name, "solo-2s", "read as an offset"),
        (parse_mark_name, "a-1m30s", "read as an offset"),
    ],
)
def test_what_cannot_be_is_refused(parse: Callable[[Any], Any], given: Any, said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        parse(given)


def test_what_can_be_is_taken() -> None:
    assert parse_session_mode("passive") is SessionMode.PASSIVE
    assert parse_session_name("Träumerei, take 2") == "Träumerei, take 2"
    assert parse_session_streams([B, A]) == (B, A)
    assert parse_mark_name("solo-2") == "solo-2"


# --- in the catalog


def test_a_session_is_found_again_at_each_stage_also_after_a_restart(catalog: Catalog, tmp_path: Path) -> None:
    made = replace(session("one", B, A), settings={"bars": 4})
    catalog.sessions.add(made)
    assert catalog.sessions.get("one") == made
    segment = running(1, 5000, is_own=True)
    segment = replace(segment, ranges=segment.ranges[::-1])  # in the order of the session's streams
    catalog.sessions.begin_segment("one", segment, 7)
    started = SegmentClock(5000, SECOND, 70, TransportState.STOPPED, 0)
    catalog.sessions.note_start("one", 1, started)
    catalog.close()
    again = Catalog(str(tmp_path / "catalog.db"), STORE)
    try:
        segment = replace(segment, started=started)
        assert again.sessions.get("one") == replace(made, status=SessionStatus.PLAYING, segments=(segment,))
        assert again.sessions.playing() == [again.sessions.get("one")]
        ended = stop(again, "one", 1, 9000)
        again.sessions.add_mark("one", mark := Mark("solo", 1, 6000, SECOND, 3, {A: 5000, B: 3000}))
        ranges = tuple(replace(it, to_sample=it.position_of(9000)) for it in segment.ranges)
        segment = replace(segment, ended=ended, ranges=ranges)
        stopped = replace(made, status=SessionStatus.STOPPED, segments=(segment,), marks=(mark,))
        assert again.sessions.get("one") == stopped
        again.sessions.close("one", 99, artifact("session-1", "session", metadata={"session_id": "one"}))
        assert again.sessions.get("one") == replace(stopped, status=SessionStatus.CLOSED, closed_at_ns=99)
        assert again.sessions.playing() == []
    finally:
        again.close()


def test_the_newest_session_comes_first(catalog: Catalog) -> None:
    for name in ("one", "two"):
        catalog.sessions.add(session(name, A))
    catalog.sessions.add(session("three", B, A))
    two, three = (session(name, *uris) for name, uris in (("two", (A,)), ("three", (B, A))))
    assert catalog.sessions.glances(2) == [
        SessionGlance(it.id, it.name, it.mode, it.status, it.created_at_ns, it.streams, 0, 0) for it in (three, two)
    ]
    with pytest.raises(NotFoundError, match="no session 'four'; there are three, two, one"):
        catalog.sessions.get("four")


def test_a_second_segment_cannot_run(catalog: Catalog) -> None:
    catalog.sessions.add(session("one"))
    play(catalog, "one", 1, 5000)
    with pytest.raises(ConflictError):
        play(catalog, "one", 2, 6000)
    assert len(catalog.sessions.get("one").segments) == 1


def test_a_take_that_ends_by_itself_ends_its_range_and_not_the_segment(catalog: Catalog) -> None:
    catalog.sessions.add(session("one"))
    play(catalog, "one", 1, 5000)
    catalog.end_take(A, 1, 4321, 9, "the disk is full")
    (segment,) = catalog.sessions.get("one").segments
    assert segment.is_running
    assert [(it.from_sample, it.to_sample) for it in segment.ranges] == [(4000, 4321), (2000, None)]
    assert catalog.sessions.segment("one", 1) == segment
    with pytest.raises(NotFoundError, match="one has no segment 2"):
        catalog.sessions.segment("one", 2)
    (glance,) = catalog.sessions.glances(2)
    assert (glance.status, glance.segment_count, glance.mark_count) == (SessionStatus.PLAYING, 1, 0)


def test_a_mark_has_a_name_of_its_own_in_its_session(catalog: Catalog) -> None:
    for name in ("one", "two"):
        catalog.sessions.add(session(name))
        play(catalog, name, 1, 5000)
        catalog.sessions.add_mark(name, Mark("solo", 1, 5000, 1, 2, {A: 4000}))
    with pytest.raises(ConflictError, match="one has a mark 'solo' already"):
        catalog.sessions.add_mark("one", Mark("solo", 1, 5001, 1, 2, {A: 4001}), artifact("session-2", "session"))
    assert catalog.artifacts(kind="session") == []


# --- holds


def test_a_segment_holds_from_its_start_on_and_no_more_than_it_has(catalog: Catalog) -> None:
    catalog.sessions.add(session("one"))
    play(catalog, "one", 1, 5000)
    assert held(catalog, A) == [("one", 4000, 2**63 - 1)]
    stop(catalog, "one", 1, 6000)
    play(catalog, "one", 2, 8000)
    stop(catalog, "one", 2, 8000)  # nothing was recorded
    assert held(catalog, A) == [("one", 4000, 5000)]
    assert held(catalog, B) == [("one", 2000, 3000)]
    play(catalog, "one", 3, 8000)
    assert held(catalog, B) == [("one", 2000, 3000), ("one", 5000, 2**63 - 1)]


def test_retention_leaves_what_a_session_has_until_it_is_deleted(catalog: Catalog) -> None:
    for index in range(6):
        chunk = Chunk(index, index * 1000, 1000, 8000, index)
        catalog.add_chunk(A, SealedChunk(1, chunk, Content(f"{index:064x}")))
    catalog.sessions.add(session("one"))
    play(catalog, "one", 1, 3500)
    stop(catalog, "one", 1, 4000)  # of A 2500 to 3000
    found = catalog.sessions.get("one").segments[0].range_of(A)
    assert found is not None
    assert catalog.sessions.chunk_range(found) == (2, 3)
    definition, retention = catalog.stream(A).definition, Retention(keep_chunks=1)
    doomed = catalog.keeping.doomed(definition, retention, -1)
    assert {it.index: it.held_by for it in doomed if it.held_by} == {2: (HolderKind.SESSION, "one")}
    catalog.sessions.delete("one")
    assert not any(it.held_by for it in catalog.keeping.doomed(definition, retention, -1))


def test_a_stream_of_a_session_is_not_deleted(catalog: Catalog) -> None:
    for name in ("one", "two"):
        catalog.sessions.add(session(name, A))
    with pytest.raises(ConflictError, match="stream://desk/a is in the session one, two; delete that first"):
        catalog.keeping.mark_stream(A)
    for name in ("one", "two"):
        catalog.sessions.delete(name)
    catalog.keeping.mark_stream(A)


def test_what_is_deleted_leaves_nothing_behind(catalog: Catalog, tmp_path: Path) -> None:
    catalog.sessions.add(session("one"))
    catalog.sessions.add(session("two"))
    for name in ("one", "two"):
        play(catalog, name, 1, 5000)
        stop(catalog, name, 1, 6000)
        catalog.sessions.add_mark(name, Mark("solo", 1, 5000, 1, 2, {A: 4000}))
        catalog.sessions.close(name, 9, artifact(f"session of {name}", "session", metadata={"session_id": name}))
    catalog.sessions.delete("one")
    assert [found.id for found in catalog.sessions.glances(9)] == ["two"]
    assert [found.id for found in catalog.artifacts(kind="session")] == ["session of two"]
    assert held(catalog, A) == [("two", 4000, 5000)]
    marked = catalog.keeping.marked(10)
    assert marked is not None
    assert marked.artifacts == ("session of one",)
    assert marked.contents == ()  # the other document has the same bytes here
    with Audit(str(tmp_path / "catalog.db")) as audit:
        assert audit.odd_holds() == audit.dangling() == []


def test_a_check_finds_a_hold_of_no_session(catalog: Catalog, tmp_path: Path) -> None:
    catalog.sessions.add(session("one", A))
    play(catalog, "one", 1, 5000)
    with catalog._connections.write() as db:
        db.execute("UPDATE holds SET holder = 'none' WHERE stream_id = (SELECT id FROM streams WHERE uri = ?)", (A,))
    with Audit(str(tmp_path / "catalog.db")) as audit:
        assert [(row["uri"], row["kind"], row["holder"]) for row in audit.odd_holds()] == [(A, "session", "none")]


# --- places


def test_places_of_sessions_are_those_of_the_newest(catalog: Catalog) -> None:
    for name, frame in (("one", 5000), ("two", 8000)):
        catalog.sessions.add(session(name))
        play(catalog, name, 1, frame)
        catalog.sessions.add_mark(name, Mark("solo", 1, frame + 100, 1, 2, {A: frame - 900}))
    stop(catalog, "one", 1, 6000)
    catalog.sessions.begin_segment("one", running(2, 6500), 7)
    stop(catalog, "one", 2, 7000)
    catalog.sessions.add(session("three", B))
    landmarks = Landmarks(catalog, ManagedStream(catalog.stream(A)), None, Extent(0, 9999))
    expected: dict[Anchor, int] = {
        SessionPlace("one", End.START): 4000,
        SessionPlace("one", End.END): 6000,
        SessionPlace("two", End.START): 7000,
        SessionPlace("two", End.END): 9999,  # it runs: the head
        SegmentPlace(1, End.START): 7000,
        SegmentPlace(1, End.END): 9999,
        SegmentPlace(2, End.START): 5500,
        SegmentPlace(2, End.END): 6000,
        MarkPlace("solo"): 7100,
    }
    assert {place: landmarks.position_of(place) for place in expected} == expected
    of_other = Landmarks(catalog, ManagedStream(catalog.stream(B)), None, Extent(0, 9999))
    for found, place, said in (
        (landmarks, SessionPlace("four", End.END), "no session 'four'; there are three, two, one"),
        (landmarks, SessionPlace("three", End.END), "session 'three' has recorded nothing of stream://desk/a"),
        (
            landmarks,
            SegmentPlace(3, End.END),
            "no segment 3 of a session has stream://desk/a: its sessions have the segments 1 to 2",
        ),
        (landmarks, MarkPlace("verse"), "no mark 'verse': it has solo"),
        (of_other, MarkPlace("solo"), "no mark 'solo': it has none"),
    ):
        with pytest.raises(NotFoundError, match=said):
            found.position_of(place)


# --- clocks and the document


def test_the_clocks_at_a_frame_are_reckoned_from_the_snapshots_around_it(catalog: Catalog) -> None:
    transport = Transport(TransportState.ROLLING, 2000)
    for second in (0, 1):
        at = ClockSnapshot(
            second * RATE, 1000 + second * RATE, 10**6 * (5 + second), SECOND * (100 + second),
            transport=replace(transport, frame=2000 + second * RATE),
        )  # fmt: skip
        catalog.add_clocks(A, 1, [at])
    stream = ManagedStream(catalog.stream(A))
    found = running(1, 5000).ranges[0]
    assert observed_clock(catalog, [(stream, None, found)], 1000 + RATE // 2) == SegmentClock(
        1000 + RATE // 2, 100 * SECOND + SECOND // 2, 5_500_000, TransportState.ROLLING, 2000 + RATE // 2
    )
    other = ManagedStream(catalog.stream(B))
    nothing = [(other, None, running(1, 5000).ranges[1])]
    assert observed_clock(catalog, nothing, 5000) is None
    assert nominal_clock(catalog, nothing, 3000 + RATE) == SegmentClock(3000 + RATE, 2 * SECOND)


def test_a_document_tells_all_of_a_session(catalog: Catalog) -> None:
    catalog.sessions.add(session("one"))
    play(catalog, "one", 1, 5000)
    stop(catalog, "one", 1, 6000)
    catalog.sessions.add_mark("one", Mark("solo", 1, 5100, 11, 12, {A: 4100}))
    relocation = Relocation(1, SegmentClock(5200, 13), 7, "r")
    catalog.sessions.add_relocation("one", relocation, Mark("r", 1, 5200, 13, 14, {}))
    assert render_session(STORE, catalog.sessions.get("one"), ["aa", "bb"]) == {
        "type": "application/vnd.jackcapture.session+json",
        "version": 1,
        "store_uuid": STORE,
        "id": "one",
        "name": "one",
        "mode": "passive",
        "settings": {},
        "created_at_ns": SECOND,
        "closed_at_ns": None,
        "streams": [{"uri": A, "definition_hash": "aa"}, {"uri": B, "definition_hash": "bb"}],
        "segments": [
            {
                "number": 1,
                "started": {"jack_frame": 5000, "wall_clock_ns": SECOND},
                "ended": {
                    "jack_frame": 6000, "wall_clock_ns": 2 * SECOND, "monotonic_us": 77,
                    "transport_state": "rolling", "transport_frame": 5, "bar": 1, "beat": 2, "tick": 3,
                },
                "ranges": [
                    {"stream_uri": A, "take": 1, "from_sample": 4000, "to_sample": 5000},
                    {"stream_uri": B, "take": 1, "from_sample": 2000, "to_sample": 3000},
                ],
            }
        ],
        "marks": [
            {
                "name": "solo", "segment": 1, "jack_frame": 5100, "wall_clock_ns": 11, "created_at_ns": 12,
                "positions": {A: 4100},
            },
            {"name": "r", "segment": 1, "jack_frame": 5200, "wall_clock_ns": 13, "created_at_ns": 14, "positions": {}},
        ],
        "requests": [],
        "relocations": [{"segment": 1, "at": {"jack_frame": 5200, "wall_clock_ns": 13}, "from_frame": 7, "mark": "r"}],
    }  # fmt: skip


def test_the_documents_of_a_session_are_linked_to_all_that_tells_of_it(kept: KeptStore) -> None:
    """Also of a take that runs on when it is closed: there is a manifest of it then, and one is enough."""
    store = Store.create_or_open(str(kept.root))
    catalog = Catalog(str(kept.catalog), store.uuid)
    try:
        contents = Contents(store, catalog)
        catalog.sessions.add(session("one", MAIN, IDLE))
        catalog.begin_take(Take(IDLE, 1, 1000, 0, None, SECOND, None))
        ranges = SegmentRange(MAIN, 2, 700, 800, False, 1550, 550), SegmentRange(IDLE, 1, 0, 500, False, 1000, 0)
        segment = Segment(1, SegmentClock(5000, SECOND), SegmentClock(5500, 2 * SECOND), ranges)
        catalog.sessions.begin_segment("one", segment, 7)
        closed = replace(catalog.sessions.get("one"), status=SessionStatus.CLOSED, closed_at_ns=time.time_ns())
        for _ in range(2):
            enter_session(store, contents, catalog, closed, lambda document: catalog.sessions.close("one", 9, document))
        for entered in catalog.artifacts(kind="session"):
            parents = [catalog.artifact(parent) for parent in entered.parents]
            assert [(it.kind, it.stream_uri) for it in parents] == [
                ("definition", MAIN), ("definition", IDLE), ("manifest", MAIN), ("manifest", IDLE),
            ]  # fmt: skip
        (manifest,) = catalog.artifacts(kind="manifest", stream_uri=IDLE)
        assert len(catalog.artifacts(kind="manifest", stream_uri=MAIN)) == 2  # one a take, as before
        assert b'"samples": null' in store.read(Content(manifest.content_hash), 0, manifest.bytes)
        assert check_offline(kept.settings, lambda *_: None, read_data=True).problems == ()
    finally:
        catalog.close()
