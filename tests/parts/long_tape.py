"""A store with a long take that takes next to no room: all its chunks are one content."""

from pathlib import Path

import numpy as np

from jackcapture.catalog import SealedChunk
from jackcapture.model.streams import AudioFormat, SampleFormat
from jackcapture.model.takes import Chunk
from parts.tape import BEGIN_NS, RATE, new_tape

URI = "stream://desk/main"
CHUNK_FRAMES = 1 << 20


def record_long_take(root: Path, chunks: int) -> int:
    """Make a store in `root` with a mono take of so many chunks of noise; gives its frames. Nobody else may have it."""
    with new_tape(root, AudioFormat(RATE, 1, SampleFormat.F32)) as tape:
        noise = np.random.default_rng(1).uniform(-1, 1, CHUNK_FRAMES).astype("<f4").tobytes()
        tape.begin()
        first = tape.seal(tape.full(noise))
        for index in range(1, chunks):
            chunk = Chunk(index, index * CHUNK_FRAMES, CHUNK_FRAMES, len(noise), BEGIN_NS, (), ())
            tape.catalog.add_chunk(tape.stream.uri, SealedChunk(1, chunk, first.content, None), overview_bytes=0)
        tape.catalog.end_take(tape.stream.uri, 1, chunks * CHUNK_FRAMES, BEGIN_NS, "")
    return chunks * CHUNK_FRAMES
