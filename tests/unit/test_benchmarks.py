"""What the benchmarks tell: pairs in turn, verdicts on ratios, and recordings that are what they say."""

from pathlib import Path

import pytest

from benchmarks.measuring import figure, in_turn, ratio, skipped, timed
from benchmarks.recordings import FORMAT, RATE, Extent, opened, record_catalog
from jackcapture.control.slices.excerpts import collect, extent
from jackcapture.model.addresses import Content


def test_pairs_are_measured_in_turn() -> None:
    order: list[str] = []

    def measure(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    pairs = in_turn(lambda: measure("a", 3.0), lambda: measure("b", 2.0), 5, lambda: order.append("-"))
    assert "".join(order) == "-a-b-b-a-a-b-b-a-a-b"
    assert pairs.ratios == [1.5] * 5
    with pytest.raises(ValueError, match="4 pairs"):
        in_turn(lambda: 1.0, lambda: 1.0, 4)


@pytest.mark.parametrize(
    ("values", "at_most", "at_least", "met"),
    [
        ([1.0, 1.2, 9.0], 1.3, None, True),
        ([1.0, 1.4, 1.5], 1.3, None, False),
        ([1.0, 3.5, 4.0], None, 3.0, True),
        ([1.0, 2.9, 9.0], None, 3.0, False),
        ([9.0], None, None, None),
    ],
)
def test_the_median_of_a_ratio_is_judged(
    values: list[float], at_most: float | None, at_least: float | None, met: bool | None
) -> None:
    row = ratio("name", "what", values, at_most=at_most, at_least=at_least)
    assert (row.met, row.low, row.high, row.runs) == (met, min(values), max(values), len(values))


def test_what_is_shown_or_skipped_is_not_judged() -> None:
    assert figure("name", "what", "s", [100.0], aim="< 2 s").met is None
    row = skipped("name", "what", "sox is not installed")
    assert (row.median, row.met, row.note) == (None, None, "skipped: sox is not installed")


def test_the_time_of_work_comes_with_its_result() -> None:
    spent, result = timed(divmod, 7, 2)
    assert result == (3, 1)
    assert 0 <= spent < 60


def test_a_catalog_is_a_recording_that_can_be_cut(tmp_path: Path) -> None:
    written = Extent(seconds=60, takes=3, chunk_seconds=4, gap_seconds=10)
    record_catalog(tmp_path, 2, written)
    with opened(tmp_path) as recording:
        catalog, uris = recording.catalog, [record.definition.uri for record in recording.catalog.streams()]
        assert [len(catalog.takes(uri)) for uri in uris] == [1, 3]
        for uri in uris:
            totals = catalog.totals(uri)
            assert (totals.kept_chunks, totals.gap_count) == (15, 6)
            assert len(catalog.chunks(uri, 0, 60 * RATE)) == 15
            assert len(catalog.gaps(uri, 0, 60 * RATE)) == 6
        assert extent(catalog, recording.stream, None).head_sample == 60 * RATE
        found = collect(catalog, recording.stream, None, 9 * RATE, 21 * RATE)
        assert [gap.position for gap in found.gaps] == [10 * RATE + 1234, 20 * RATE + 1234]
        result = recording.cut(9 * RATE, 21 * RATE)
        assert result.wall_clock is not None
        assert result.bytes >= 12 * RATE * FORMAT.frame_bytes
        content = Content(result.content_hash)
        assert recording.store.stat(content).bytes == result.bytes
        recording.delete(result)
        assert not recording.store.exists(content)
