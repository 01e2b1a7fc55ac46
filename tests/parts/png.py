"""A reader of PNG pictures that is not the writer's: of 8-bit RGB without interlace, and strict.

Source: W3C, "Portable Network Graphics (PNG) Specification", sections 5 (chunks), 9 (filters), 11.2 (IHDR, IDAT).
"""

import struct
import zlib

import numpy as np
import numpy.typing as npt

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXEL = 3


def read_png(data: bytes) -> npt.NDArray[np.uint8]:
    """The pixels: shape (rows, columns, 3)."""
    assert data.startswith(_SIGNATURE)
    at, parts = len(_SIGNATURE), []
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(name + body),)
        parts.append((name, body))
        at += 12 + length
    names = [name for name, _ in parts]
    assert (names[0], names[-1], set(names)) == (b"IHDR", b"IEND", {b"IHDR", b"IDAT", b"IEND"})
    columns, rows, *form = struct.unpack(">IIBBBBB", parts[0][1])
    assert form == [8, 2, 0, 0, 0]  # bits, RGB, deflate, the five filters, no interlace
    lines = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    row_bytes = columns * _PIXEL
    assert len(lines) == rows * (1 + row_bytes)
    found, above = [], bytes(row_bytes)
    for start in range(0, len(lines), 1 + row_bytes):
        above = _unfiltered(lines[start], lines[start + 1 : start + 1 + row_bytes], above)
        found.append(above)
    return np.frombuffer(b"".join(found), np.uint8).reshape(rows, columns, _PIXEL)


def _unfiltered(kind: int, line: bytes, above: bytes) -> bytes:
    found = bytearray(line)
    for at in range(len(line)):
        left = found[at - _PIXEL] if at >= _PIXEL else 0
        up = above[at]
        corner = above[at - _PIXEL] if at >= _PIXEL else 0
        found[at] = (line[at] + (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]) & 0xFF
    return bytes(found)


def _paeth(left: int, up: int, corner: int) -> int:
    """The one of the three that is nearest to left + up - corner; the first of equals."""
    return min((left, up, corner), key=lambda near: abs(left + up - corner - near))
