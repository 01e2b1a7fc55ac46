"""What the blocking client and the asyncio client share: a call as bytes, and what becomes of its reply."""

import json
from collections.abc import Mapping
from typing import Any

from jackcapture.errors import InvalidValueError, UnreachableError
from jackcapture.protocol import messages
from jackcapture.protocol.framing import Envelope, encode_envelope, raised_from
from jackcapture.protocol.sockets import MAX_REQUEST_BYTES

LOOK_SECONDS = 1.0
"""Control may die while it works on a call, and the next one knows nothing of that: so often one looks."""
CANCEL_SECONDS = 2.0
"""How long a call that was given up may take to end; it ends all the same if it takes longer."""


def given_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is None: such an argument counts as not given."""
    return {name: value for name, value in arguments.items() if value is not None}


def encode_call(number: int, operation: str, arguments: Mapping[str, Any]) -> bytes:
    """Give the bytes of a call; raises `InvalidValueError` for what is no JSON, or more than control takes."""
    try:
        written = json.dumps(arguments)
    except (TypeError, ValueError, RecursionError) as error:  # also integers of thousands of digits
        raise InvalidValueError(f"{operation}: its arguments are no JSON: {error}", operation=operation) from None
    data = encode_envelope(Envelope(number, messages.OperationCall(operation, written)))
    if len(data) > MAX_REQUEST_BYTES:  # its socket would drop it, and nobody would ever answer
        raise InvalidValueError(
            f"{operation}: its arguments make a message of {len(data)} bytes: it must have at most {MAX_REQUEST_BYTES}",
            operation=operation,
        )
    return data


def result_of(reply: messages.Payload, operation: str) -> Any:
    """Give the result in the last reply to a call as JSON values; raises the error in it."""
    match reply:
        case messages.OperationResult(result):
            try:
                return json.loads(result)
            except (ValueError, RecursionError):
                raise UnreachableError(f"control answered {operation} with what is no JSON: {result[:100]!r}") from None
        case messages.Error() as failure:
            raise raised_from(failure)
        case other:
            raise UnreachableError(f"control answered {operation} with {type(other).__name__}")


def another_control(runtime: str) -> UnreachableError:
    """Give the error for a control that was replaced while a call was under way."""
    return UnreachableError(
        "control died while it worked on this, and another one has been started; look what was done, and ask again",
        runtime=runtime,
    )
