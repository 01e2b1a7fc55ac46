"""What an engine leaves beside a ring: whole, or an error that says so."""

import os
from pathlib import Path

import pytest

from jackcapture.engine.journal import Journal
from jackcapture.errors import StorageDamagedError
from jackcapture.protocol import messages
from jackcapture.protocol.framing import Envelope, encode_envelope
from parts.messages import ENVELOPES


def test_a_state_comes_back_as_it_was_and_the_next_replaces_it(tmp_path: Path) -> None:
    state = ENVELOPES["streamState"].payload
    assert isinstance(state, messages.StreamState)
    journal = Journal(str(tmp_path / "1.ring"))
    for head in (0, 1 << 40):
        written = messages.StreamState(state.uri, state.status, state.definition, head_sample=head)
        journal.write(written)
        assert journal.read() == written
    journal.write(state)
    assert journal.read() == state
    assert os.listdir(tmp_path) == ["1.ring.state"]
    journal.remove()
    journal.remove()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("data", [None, b"", b"?" * 64, encode_envelope(Envelope(0, messages.Done()))])
def test_what_is_no_state_is_refused(tmp_path: Path, data: bytes | None) -> None:
    journal = Journal(str(tmp_path / "1.ring"))
    if data is not None:
        Path(journal.path).write_bytes(data)
    with pytest.raises(StorageDamagedError, match=r"the journal .*1\.ring\.state"):
        journal.read()


def test_a_journal_that_cannot_be_written_is_an_operating_systems_error(tmp_path: Path) -> None:
    state = ENVELOPES["streamState"].payload
    assert isinstance(state, messages.StreamState)
    with pytest.raises(OSError, match="No such file"):
        Journal(str(tmp_path / "gone" / "1.ring")).write(state)
