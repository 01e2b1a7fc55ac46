"""What can be wrong with a store: the kinds of damage, and how many of them are told."""

import enum
from dataclasses import dataclass

MAX_LISTED = 1000
"""Problems that are listed; beyond them they are only counted."""


class ProblemKind(enum.StrEnum):
    """Kinds of damage; docs/store.md says of each what it is and what helps."""

    # the store as such
    STORE_DAMAGED = "store_damaged"
    CATALOG_MISSING = "catalog_missing"
    CATALOG_DAMAGED = "catalog_damaged"
    CATALOG_FOREIGN = "catalog_foreign"
    CATALOG_REFERENCES = "catalog_references"
    # files
    CONTENT_MISSING = "content_missing"
    CONTENT_SIZE = "content_size"
    CONTENT_NOT_FILE = "content_not_file"
    CONTENT_MODE = "content_mode"
    CONTENT_UNKNOWN = "content_unknown"
    CONTENT_MISPLACED = "content_misplaced"
    CONTENT_DAMAGED = "content_damaged"
    CONTENT_UNREADABLE = "content_unreadable"
    MIDI_MALFORMED = "midi_malformed"
    STAGING_ORPHANED = "staging_orphaned"
    OVERVIEW_ORPHANED = "overview_orphaned"
    FOREIGN = "foreign"
    # rows
    ROW_MALFORMED = "row_malformed"
    CHUNK_BYTES = "chunk_bytes"
    CHUNK_SEQUENCE = "chunk_sequence"
    TAKE_LENGTH = "take_length"
    TAKE_TOTALS = "take_totals"
    TAKES_DISORDERED = "takes_disordered"
    GAP_MISPLACED = "gap_misplaced"
    CLOCK_MISPLACED = "clock_misplaced"
    PARENT_MISSING = "parent_missing"
    HOLD_WITHOUT_HOLDER = "hold_without_holder"
    # documents
    DEFINITION_DIFFERS = "definition_differs"
    MANIFEST_MALFORMED = "manifest_malformed"
    MANIFEST_DIFFERS = "manifest_differs"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: its kind, what it is about, and what is wrong with the values.

    `address` is a path in the store, or names rows: `stream://desk/main/take:2/chunk:7`, `artifact:ID`.
    """

    kind: ProblemKind
    address: str
    message: str


class Problems:
    """Findings in the order in which they are made, each once; at most `MAX_LISTED` are kept, all are counted."""

    def __init__(self) -> None:
        self.listed: list[Problem] = []
        self.total = 0
        self._seen: set[tuple[ProblemKind, str]] = set()

    def add(self, kind: ProblemKind, address: str, message: str) -> None:
        """Take a finding."""
        if (kind, address) in self._seen:
            return
        self.total += 1
        if len(self.listed) < MAX_LISTED:
            self._seen.add((kind, address))
            self.listed.append(Problem(kind, address, message))

    def withdraw(self, kind: ProblemKind, address: str) -> None:
        """Take back a finding of which another one is the reason; nothing happens if it is not listed."""
        if (kind, address) in self._seen:
            self._seen.remove((kind, address))
            self.listed = [it for it in self.listed if (it.kind, it.address) != (kind, address)]
            self.total -= 1


def take_address(uri: str, number: int) -> str:
    """Name a take."""
    return f"{uri}/take:{number}"


def chunk_address(uri: str, number: int, index: int) -> str:
    """Name a chunk of a take."""
    return f"{uri}/take:{number}/chunk:{index}"


def artifact_address(artifact_id: str) -> str:
    """Name an artifact."""
    return f"artifact:{artifact_id}"
