"""Samples from one format to another: compared with exact fractions, and with what the engine makes of floats."""

import itertools
import math
import struct
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackcapture.errors import InvalidValueError
from jackcapture.formats.samples import Block, convert_samples, decode_integers, decode_samples, whole_samples
from jackcapture.model.streams import AudioFormat, SampleFormat
from parts.core_harness import CoreHarness, read

F32, I24, I16 = SampleFormat.F32, SampleFormat.I24, SampleFormat.I16
BITS = {F32: 24, I24: 24, I16: 16}
PAIRS = list(itertools.product(SampleFormat, SampleFormat))

EDGES = [
    *(sign * (1 + step * 2.0**-23) for sign in (-1, 1) for step in range(-3, 4)),
    *(sign * (whole + 0.5) / 2**15 for sign in (-1, 1) for whole in (0, 1, 2, 32766, 32767, 32768)),
    *(sign * (whole + 0.5) / 2**23 for sign in (-1, 1) for whole in (0, 1, 2, 4194303)),
    *(math.nextafter(sign * 32767.5 / 2**15, towards) for sign in (-1, 1) for towards in (-2, 0, 2)),
    0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 3.4e38, -3.4e38, math.inf, -math.inf, math.nan,
]  # fmt: skip
floats = (
    st.floats(width=32) | st.floats(-1.125, 1.125, width=32) | st.sampled_from([float(np.float32(x)) for x in EDGES])
)
STORED = {
    F32: floats.map(lambda x: struct.pack("<f", x)),
    I24: st.integers(-(2**23), 2**23 - 1).map(lambda x: x.to_bytes(3, "little", signed=True)),
    I16: st.integers(-(2**15), 2**15 - 1).map(lambda x: x.to_bytes(2, "little", signed=True)),
}


def value(data: bytes, kind: SampleFormat) -> Fraction | float:
    """The exact value of one sample, full scale 1; a float where it is no number."""
    if kind is F32:
        (number,) = struct.unpack("<f", data)
        return Fraction(number) if math.isfinite(number) else number
    return Fraction(int.from_bytes(data, "little", signed=True), 2 ** (BITS[kind] - 1))


def slow(data: bytes, source: SampleFormat, target: SampleFormat) -> bytes:
    """One sample from one format to another, by exact arithmetic."""
    if source is target:
        return data
    exact = value(data, source)
    if target is F32:
        packed: bytes = struct.pack("<f", exact)
        assert value(packed, F32) == exact, "float32 holds every integer sample exactly"
        return packed
    full = 2 ** (BITS[target] - 1)
    if isinstance(exact, float):
        whole = 0 if math.isnan(exact) else full if exact > 0 else -full
    else:
        whole = round(exact * full)  # of a Fraction: to the nearest, from halfway to the even one
    clipped: int = max(-full, min(full - 1, whole))
    return clipped.to_bytes(BITS[target] // 8, "little", signed=True)


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=40)
@given(data=st.data())
def test_every_sample_is_what_exact_arithmetic_says(
    source: SampleFormat, target: SampleFormat, data: st.DataObject
) -> None:
    samples = data.draw(st.lists(STORED[source], max_size=40))
    whole = b"".join(samples)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    blocks = [whole[a:b] for a, b in itertools.pairwise([0, *cuts, len(whole)])]
    converted = b"".join(convert_samples(blocks, source, target))
    assert converted == b"".join(slow(sample, source, target) for sample in samples)


def every_integer(kind: SampleFormat, step: int = 1) -> tuple[bytes, Any]:
    """All samples of a format, as bytes and as int32."""
    whole = np.arange(-(2 ** (BITS[kind] - 1)), 2 ** (BITS[kind] - 1), step, dtype="<i4")
    return whole.view(np.uint8).reshape(-1, 4)[:, : kind.sample_bytes].tobytes(), whole


@pytest.mark.parametrize(("source", "target"), [(I24, I16), (I16, I24), (I16, I16)])
def test_every_integer_there_is(source: SampleFormat, target: SampleFormat) -> None:
    data, whole = every_integer(source)
    full = 2 ** (BITS[target] - 1)
    expected = np.clip(np.rint(whole / 2 ** (BITS[source] - 1) * full), -full, full - 1)
    assert np.array_equal(decode_integers(b"".join(convert_samples([data], source, target)), target), expected)


@pytest.mark.parametrize("kind", [I24, I16])
def test_through_float_and_back_nothing_is_lost(kind: SampleFormat) -> None:
    data, _ = every_integer(kind, step=5)
    assert b"".join(convert_samples(convert_samples([data], kind, F32), F32, kind)) == data


@pytest.mark.parametrize("target", [I24, I16])
def test_floats_become_what_the_engine_makes_of_them(target: SampleFormat) -> None:
    random = np.random.default_rng(5)
    with np.errstate(over="ignore"):
        edges = np.array(EDGES, np.float32)
    near = np.concatenate([np.nextafter(edges, np.float32(-9)), edges, np.nextafter(edges, np.float32(9))])
    samples = np.concatenate([near, random.uniform(-1.1, 1.1, 2000).astype(np.float32)])
    halves = (random.integers(-(2**15), 2**15, 1000) + 0.5) / 2**15
    samples = np.concatenate([samples, halves.astype(np.float32)])[:, np.newaxis]
    with CoreHarness() as harness:
        stream = harness.attach(channels=1, capacity=8192)
        harness.cycle(len(samples), source=samples)
        stored, _ = read(stream.ring, 0, len(samples), target)
    assert b"".join(convert_samples([samples.astype("<f4").tobytes()], F32, target)) == stored


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_memory_does_not_grow_with_the_number_of_samples(source: SampleFormat, target: SampleFormat) -> None:
    block = bytes(range(251)) * 4096  # of 1 MB, and of no whole number of samples

    def blocks() -> Iterator[Block]:
        for _ in range(source.sample_bytes * 4):
            yield block

    tracemalloc.start()
    try:
        done = sum(len(converted) for converted in convert_samples(blocks(), source, target))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done == len(block) * 4 * target.sample_bytes
    assert peak < 3 << 20


def test_any_buffer_is_a_block() -> None:
    samples = np.array([0.5, -0.5], "<f4")
    blocks: list[Block] = [memoryview(samples.data), bytearray(samples.tobytes()), samples.tobytes()]
    assert b"".join(convert_samples(blocks, F32, I16)) == b"\0\x40\0\xc0" * 3


@pytest.mark.parametrize(("blocks", "left"), [([b"ab"], 2), ([b"abcd", b"e"], 1), ([b"a", b"b", b"c"], 3)])
def test_an_end_within_a_sample_is_refused(blocks: list[Block], left: int) -> None:
    with pytest.raises(InvalidValueError, match=f"{left} bytes after a whole one of 4 bytes"):
        list(convert_samples(blocks, F32, I24))


@given(st.lists(st.binary(max_size=50)), st.integers(1, 40))
def test_pieces_are_whole_and_the_same_bytes(blocks: list[bytes], unit: int) -> None:
    data = b"".join(blocks)
    data = data[: len(data) // unit * unit]
    kept, left = [], len(data)
    for block in blocks:
        kept.append(block[:left])
        left -= len(kept[-1])
    pieces = [bytes(piece) for piece in whole_samples(kept, unit)]
    assert b"".join(pieces) == data
    assert all(piece and len(piece) % unit == 0 for piece in pieces)


@pytest.mark.parametrize("kind", list(SampleFormat))
@settings(max_examples=40)
@given(data=st.data())
def test_decoded_samples_are_the_exact_values(kind: SampleFormat, data: st.DataObject) -> None:
    samples = data.draw(st.lists(STORED[kind], max_size=20))
    decoded = decode_samples(b"".join(samples), AudioFormat(48000, 1, kind))
    assert decoded.shape == (len(samples), 1)
    for number, sample in zip(decoded[:, 0].tolist(), samples, strict=True):
        exact = value(sample, kind)
        assert number == exact or (math.isnan(number) and math.isnan(exact))
