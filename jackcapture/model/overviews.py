"""Overviews: min, max and RMS of every 256 frames of an audio chunk, per channel. Their names and sizes.

docs/store.md gives the layout, formats/overview.py reads it, engine/overview.py writes it.
"""

from jackcapture.model.streams import StreamDefinition

OVERVIEW_FRAMES = 256
"""Frames of a block, counted from the chunk's first; the last block of a chunk may have fewer."""

OVERVIEW_VALUES = 3
"""Values per block and channel: min, max, RMS."""

OVERVIEW_SUFFIX = ".overview"

_VALUE_BYTES = 4


def overview_path(chunk_path: str) -> str:
    """Give the path of the overview that is written together with the staging chunk at `chunk_path`."""
    return chunk_path + OVERVIEW_SUFFIX


def overview_blocks(frames: int) -> int:
    """Give the blocks of a chunk of so many frames."""
    return -(-frames // OVERVIEW_FRAMES)


def overview_block_bytes(channels: int) -> int:
    """Give the bytes of one block of all channels."""
    return channels * OVERVIEW_VALUES * _VALUE_BYTES


def overview_bytes(frames: int, channels: int) -> int:
    """Give the bytes of the overview of a chunk of so many frames."""
    return overview_blocks(frames) * overview_block_bytes(channels)


def overview_room(definition: StreamDefinition) -> int:
    """Give the bytes that the overview of a stream's full chunk takes; 0 for MIDI, whose chunks have none."""
    return overview_bytes(definition.chunk_frames, definition.audio.channels) if definition.is_audio else 0
