"""A finding: what a check saw, how bad that is, and what helps."""

import enum
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"  # worth knowing
    WARNING = "warning"  # may cost samples
    PROBLEM = "problem"  # will cost samples, or keeps the recorder from working


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw, with its values; `remedy` is empty where nothing is to be done."""

    check: str
    severity: Severity
    message: str
    remedy: str = ""
