"""What is bounded without a server: errors that are sent, calls under way, and arguments that are wrong many times."""

import asyncio
import json
import time
import tracemalloc
from contextlib import ExitStack

import pytest

from jackcapture.control.admission import MAX_BYTES, MAX_CALLS, MAX_CALLS_OF_CLIENT, Admission
from jackcapture.control.operations import Context, call
from jackcapture.errors import ConflictError, InvalidValueError
from jackcapture.protocol import messages
from jackcapture.protocol.framing import (
    MAX_ERROR_DETAILS,
    MAX_ERROR_TEXT,
    Envelope,
    decode_envelope,
    encode_envelope,
    error_payload,
)


@pytest.mark.parametrize("value", ["x" * 4_000_000, "\0" * 1_000_000, "\udc80/staging"])
def test_an_error_that_is_sent_is_short_and_utf_8(value: str) -> None:
    payload = error_payload(InvalidValueError(f"{value} is wrong", value=value))
    data = encode_envelope(Envelope(1, payload))
    assert len(data) < 8 * MAX_ERROR_TEXT + MAX_ERROR_DETAILS
    assert decode_envelope(data).payload == payload
    if len(value) > MAX_ERROR_TEXT:
        assert payload.message.endswith(f"... ({len(value) + 9} characters)")
        assert json.loads(payload.details) == {}


def test_what_a_side_does_not_take_is_not_even_read() -> None:
    ports = tuple(messages.Port(f"p:{n}", messages.PortType.OTHER, True, True) for n in range(10_000))
    data = encode_envelope(Envelope(1, messages.PortList(ports)))
    began = time.thread_time()
    with pytest.raises(InvalidValueError, match="PortList is no message that this side takes"):
        decode_envelope(data, messages.Command)
    with pytest.raises(InvalidValueError, match="PortList is no message that this side takes"):
        decode_envelope(data, messages.OperationCall)
    assert time.thread_time() - began < 0.02


def test_calls_are_bounded_by_client_in_number_and_in_bytes() -> None:
    admission = Admission()
    with ExitStack() as under_way:
        for _ in range(MAX_CALLS_OF_CLIENT):
            under_way.enter_context(admission.admit(b"one", 100))
        with pytest.raises(ConflictError, match="64 calls of this client are under way"):
            under_way.enter_context(admission.admit(b"one", 100))
        under_way.enter_context(admission.admit(b"two", 100))
        with pytest.raises(ConflictError, match=f"bytes are under way: {MAX_CALLS} calls and {MAX_BYTES}"):
            under_way.enter_context(admission.admit(b"two", MAX_BYTES))
        for number in range(MAX_CALLS - MAX_CALLS_OF_CLIENT - 1):
            under_way.enter_context(admission.admit(str(number).encode(), 0))
        with pytest.raises(ConflictError, match=f"{MAX_CALLS} calls of 6500 bytes are under way"):
            under_way.enter_context(admission.admit(b"three", 0))
    with admission.admit(b"one", MAX_BYTES):  # all is forgotten
        pass


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("status", json.dumps({f"a{n}": 0 for n in range(60_000)}), "status: 'a0', .* and 59995 more arguments"),
        ("stream_start", json.dumps({"uris": [0] * 200_000}), r"stream_start: uris\.0: "),
        ("midi_send", json.dumps({"events": [{}] * 100_000}), r"midi_send: events\.0\.ms: Field required"),
        ("stream_start", json.dumps({"uris": {"a": [0] * 200_000}}), "stream_start: uris: "),
    ],
)
def test_arguments_that_are_wrong_many_times_cost_little(name: str, arguments: str, says: str) -> None:
    context = Context(None, lambda done, total, unit: None)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        began = time.thread_time()
        with pytest.raises(InvalidValueError, match=says) as refused:
            asyncio.run(call(context, name, arguments))
        assert time.thread_time() - began < 2
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
        assert len(refused.value.message) < 1000
    finally:
        tracemalloc.stop()
