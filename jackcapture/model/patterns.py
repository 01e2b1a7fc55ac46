"""Regular expressions over port names, which come from outside: matched in linear time, so that none can hang us.

Python's `re` backtracks: `(.|.|.)*x` takes longer than a recording lasts on one port name, with the interpreter's lock
held. RE2 does not; for that it has no look-around and no back-references.
"""

from typing import Any

import re2

from jackcapture.errors import InvalidValueError

MAX_PATTERN_LENGTH = 1024
_MAX_PATTERN_MEMORY = 128 << 10  # bytes, of one compiled pattern; re2 keeps 128 of them


def compile_pattern(pattern: str) -> Any:
    """Compile a regular expression, of the syntax of RE2, with methods `search` and `fullmatch`, as those of `re`.

    Raises `InvalidValueError` with the reason alone, for one that does not compile or is too large.
    """
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise InvalidValueError(f"it has {len(pattern)} characters: a pattern has at most {MAX_PATTERN_LENGTH}")
    options = re2.Options()
    options.max_mem = _MAX_PATTERN_MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it does not compile"
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InvalidValueError(text[:100]) from None  # it may hold the whole pattern
    except UnicodeEncodeError:  # what JACK names is UTF-8
        raise InvalidValueError("it is no text that UTF-8 can hold") from None
