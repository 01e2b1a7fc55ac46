"""What a long catalog costs: 24 hours of 32 streams beside one minute of them, in turn, both served by control.

Half of the long streams have one take, half 30. Slices are cut by a client; `grab` needs a recording, so what it does
in the catalog is measured by itself: a range of the last 30 s of every stream. `status` lists the newest 100 gaps and
takes of each stream, so it is compared with a minute that has as many.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import check_room
from benchmarks.measuring import Pairs, Row, figure, in_turn, milliseconds, ratio, say, timed
from benchmarks.recordings import BEGAN_NS, RATE, Extent, record_catalog
from benchmarks.workspace import Workspace, control, started
from jackcapture.catalog import Catalog
from jackcapture.client import Client
from jackcapture.control.documents import render_manifest
from jackcapture.control.managed_stream import ManagedStream
from jackcapture.control.slices.excerpts import collect
from jackcapture.control.slices.excerpts import extent as extent_of
from jackcapture.model.times import iso
from jackcapture.store import Store

STREAMS = 32
DAY = Extent(24 * 3600, takes=30)
MINUTE = Extent(60)
FULL_MINUTE = Extent(60, takes=30, chunk_seconds=2, gap_seconds=0.6)  # with as much to list as the day
_PAIRS = 21
_STARTS = 5
_AT_MOST = 1.3
_ONE_TAKE = "stream://bench/track-01"
_MANY_TAKES = "stream://bench/track-02"
_ROOM_BYTES = 2 << 30  # 2.8 million rows, and their journal


def catalog(workspace: Workspace) -> Iterator[Row]:
    """Make both, and ask both the same."""
    check_room(workspace.folder, _ROOM_BYTES)
    say("writing a catalog of 24 h of 32 streams ...")
    roots = workspace.folder / "day", workspace.folder / "minute", workspace.folder / "full-minute"
    for root, extent in zip(roots, (DAY, MINUTE, FULL_MINUTE), strict=True):
        record_catalog(root, STREAMS, extent)
    size = (roots[0] / "catalog.db").stat().st_size / 1e6
    yield figure("catalog", "24 h of 32 streams: the catalog's size", "MB", [size])
    for root in roots:  # what a first start does once
        with started(root):
            pass
    starts = in_turn(lambda: _start(roots[0]), lambda: _start(roots[1]), _STARTS, workspace.settle)
    yield figure("catalog", "start of control until it answers status, 24 h", "s", starts.first, aim="< 2 s")
    yield ratio("catalog", "start of control, 24 h / 1 min", starts.ratios)
    with control(roots[0]) as day, control(roots[1]) as minute:
        yield from _slices(day, minute)
    with control(roots[0]) as day, control(roots[2]) as minute:
        yield from _lists(day, minute)
    yield from _inside(roots[0], roots[1])


def _slices(day: Client, minute: Client) -> Iterator[Row]:
    middle, small = DAY.seconds * RATE // 2, MINUTE.seconds * RATE // 2
    noon, half_past = (iso(BEGAN_NS + extent.seconds // 2 * 10**9) for extent in (DAY, MINUTE))
    for what, uri, big_place, small_place, options in (
        ("10 s slice in a take of 24 h", _ONE_TAKE, f"sample:{middle}", f"sample:{small}", {}),
        ("10 s slice in takes of 48 min", _MANY_TAKES, f"sample:{middle}", f"sample:{small}", {}),
        ("10 s virtual slice in a take of 24 h", _ONE_TAKE, f"sample:{middle}", f"sample:{small}", {"virtual": True}),
        ("10 s virtual slice before the head", _ONE_TAKE, "head-10s", "head-10s", {"virtual": True}),
        ("10 s virtual slice at a time of day", _ONE_TAKE, noon, half_past, {"virtual": True}),
    ):
        pairs = in_turn(
            lambda uri=uri, place=big_place, options=options: _slice(day, uri, place, options),  # type: ignore[misc]
            lambda uri=uri, place=small_place, options=options: _slice(minute, uri, place, options),  # type: ignore[misc]
            _PAIRS,
        )
        yield from _both(what, pairs)


def _lists(day: Client, minute: Client) -> Iterator[Row]:
    for operation in ("status", "stream_list", "store_status"):
        pairs = in_turn(
            lambda operation=operation: timed(day.call, operation)[0],  # type: ignore[misc]
            lambda operation=operation: timed(minute.call, operation)[0],  # type: ignore[misc]
            _PAIRS,
        )
        yield from _both(operation.replace("_", " "), pairs)


def _inside(day: Path, minute: Path) -> Iterator[Row]:
    with _Streams(day) as big, _Streams(minute) as small:
        pairs = in_turn(lambda: timed(big.collect)[0], lambda: timed(small.collect)[0], _PAIRS)
        yield from _both("the last 30 s of 32 streams, found", pairs)
        spent = [timed(big.manifest, number)[0] for number in range(5)]
        yield figure("catalog", "the manifest of 24 h, rendered (once, at the end of a take)", "s", spent)


def _both(what: str, pairs: Pairs) -> Iterator[Row]:
    yield ratio("catalog", f"{what}, 24 h / 1 min", pairs.ratios, at_most=_AT_MOST)
    yield milliseconds("catalog", f"{what}, 24 h", pairs.first)
    yield milliseconds("catalog", f"{what}, 1 min", pairs.second)


def _start(root: Path) -> float:
    context = started(root)
    spent, _ = timed(context.__enter__)
    context.__exit__(None, None, None)
    return spent


def _slice(client: Client, uri: str, place: str, options: dict[str, bool]) -> float:
    spent, result = timed(client.slice, uri, place, f"{place}+10s" if place != "head-10s" else "head", **options)
    client.call("artifact_delete", artifact_id=result["artifact_id"])
    return spent


class _Streams:
    """All streams of a store, in this process."""

    def __init__(self, root: Path) -> None:
        self._store = Store.create_or_open(str(root))
        self._catalog = Catalog(str(root / "catalog.db"), self._store.uuid)
        self._streams = [ManagedStream(record) for record in self._catalog.streams()]

    def __enter__(self) -> "_Streams":
        return self

    def __exit__(self, *_: object) -> None:
        self._catalog.close()

    def collect(self) -> None:
        """Find the last 30 s of each."""
        for stream in self._streams:
            head = extent_of(self._catalog, stream, None).head_sample
            assert collect(self._catalog, stream, None, head - 30 * RATE, head).frames == 30 * RATE

    def manifest(self, number: int) -> None:
        """Render the manifest of one."""
        assert render_manifest(self._store, self._catalog, self._streams[number].record)["takes"]
