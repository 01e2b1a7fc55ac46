"""What a program did to files, directories and its catalog, in order: the words of model and recorder."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

SECTOR = 512
ROOT = 0
"""The inode of the directory that everything recorded lies below; it has its name for ever."""


@dataclass(frozen=True, slots=True)
class Born:
    """A new inode, empty; it has no name yet."""

    inode: int
    mode: int
    is_directory: bool


@dataclass(frozen=True, slots=True)
class Names:
    """One change of a directory: each name now stands for an inode, or for nothing (None)."""

    directory: int
    changes: tuple[tuple[str, int | None], ...]
    call: str  # what made it, for messages


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes written at a position of a file."""

    inode: int
    position: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Size:
    """A file has another length."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Mode:
    """A file has other permission bits."""

    inode: int
    mode: int


@dataclass(frozen=True, slots=True)
class Synced:
    """fsync of a file or a directory has returned."""

    inode: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The catalog at a moment: the bytes of its file, and the hashes of the content that its rows point to."""

    data: bytes = field(repr=False)
    named: frozenset[str]


@dataclass(frozen=True, slots=True)
class Committing:
    """The commit of a transaction has begun: the catalog is as before, or as this."""

    after: Snapshot


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit has returned."""

    after: Snapshot


@dataclass(frozen=True, slots=True)
class Promised:
    """Somebody was told that this content, by hash, is safe: from now on it must be there."""

    content: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Content, by hash, that may go from now on, as it is being removed."""

    content: str


Event = Born | Names | Data | Size | Mode | Synced | Committing | Committed | Promised | Withdrawn


@dataclass(slots=True)
class Inode:
    """What is durable of a file or a directory."""

    mode: int
    is_directory: bool
    size: int = 0
    sectors: dict[int, bytes] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)

    def set_data(self, data: bytes) -> None:
        """Hold these bytes, and no others."""
        self.size = len(data)
        self.sectors = {at // SECTOR: data[at : at + SECTOR].ljust(SECTOR, b"\0") for at in range(0, len(data), SECTOR)}


@dataclass(frozen=True, slots=True)
class Log:
    """What was durable at first, and all that happened since."""

    initial: dict[int, Inode]
    catalog: Snapshot | None
    events: tuple[Event, ...]

    @property
    def directories(self) -> frozenset[int]:
        """All inodes that are or were directories."""
        born = {event.inode for event in self.events if isinstance(event, Born) and event.is_directory}
        return frozenset(born | {number for number, inode in self.initial.items() if inode.is_directory})

    def without(self, unwanted: Callable[[Event], bool]) -> "Log":
        """The same without some events: a program that forgets a call."""
        return replace(self, events=tuple(event for event in self.events if not unwanted(event)))

    def earlier(self, moved: Callable[[Event], bool], before: Callable[[Event], bool]) -> "Log":
        """The same with some events moved to just before the first one of others: a program in another order."""
        at = next(at for at, event in enumerate(self.events) if before(event))
        late = [event for event in self.events[at:] if moved(event)]
        rest = [event for event in self.events[at:] if not moved(event)]
        return replace(self, events=(*self.events[:at], *late, *rest))

    def later(self, moved: Callable[[Event], bool], after: Callable[[Event], bool]) -> "Log":
        """The same with some events moved to just after the last one of others."""
        at = max(at for at, event in enumerate(self.events) if after(event)) + 1
        early = [event for event in self.events[:at] if moved(event)]
        rest = [event for event in self.events[:at] if not moved(event)]
        return replace(self, events=(*rest, *early, *self.events[at:]))
