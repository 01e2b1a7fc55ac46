"""What was perhaps meant by a name that is not known."""

import difflib
from collections.abc import Iterable


def did_you_mean(given: str, known: Iterable[str], before: str = "") -> str:
    """Say which known name is near, or which there are; `before` stands before each, such as the name of a table."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1)
    if near:
        return f"did you mean {before + near[0]!r}?"
    return f"there are {', '.join(before + name for name in names)}" if names else "there are none"
