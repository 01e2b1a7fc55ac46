"""What a stream's recorder knows and its ring does not, kept beside the ring in shared memory.

It outlives the engine's process: the next engine goes on in the take (docs/engine.md). Written whenever the structure
of the take changes, which is about once a second; how far the take has come is in the ring's head.
"""

import contextlib
import os

from jackcapture.errors import JackCaptureError, StorageDamagedError
from jackcapture.protocol.framing import Envelope, decode_envelope, encode_envelope
from jackcapture.protocol.messages import StreamState

JOURNAL_SUFFIX = ".state"


class Journal:
    """The file beside one ring. Writer thread, but for `read` and `remove`."""

    def __init__(self, ring_path: str) -> None:
        self.path = ring_path + JOURNAL_SUFFIX

    def write(self, state: StreamState) -> None:
        """Put a state in the place of the one before, as a whole: a process that dies leaves one or the other."""
        new = self.path + ".new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(encode_envelope(Envelope(0, state)))
        os.rename(new, self.path)  # in memory: nothing of this survives the machine, so nothing is synced

    def read(self) -> StreamState:
        """Give the state; raises `StorageDamagedError` if there is none."""
        try:
            with open(self.path, "rb") as file:
                payload = decode_envelope(file.read()).payload
        except (OSError, JackCaptureError) as error:
            raise StorageDamagedError(f"the journal {self.path} cannot be read: {error}", path=self.path) from error
        if not isinstance(payload, StreamState):
            raise StorageDamagedError(f"the journal {self.path} holds {type(payload).__name__}", path=self.path)
        return payload

    def remove(self) -> None:
        """Remove the file, if there is one."""
        for path in (self.path, self.path + ".new"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
