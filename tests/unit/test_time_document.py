"""The worked examples of docs/time.md give what it says."""

import doctest
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "time.md"


def test_the_worked_examples_give_what_the_document_says() -> None:
    result = doctest.testfile(str(DOCUMENT), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    assert result.attempted > 40
