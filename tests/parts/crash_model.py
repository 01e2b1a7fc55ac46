"""What a file system may show after a power cut: events as a program made them, and all states that they may leave.

The rule, which is weaker than any file system that jackcapture is likely to meet, so that what holds here holds there:

- A file is an inode: data, size and mode. fsync of a file makes these three durable, and no name of it (fsync(2): "does
  not necessarily ensure that the entry in the directory containing the file has also reached disk"; ext4 and btrfs
  often do more, which is not relied upon).
- Data that is not durable: each sector of 512 bytes by itself shows what was durable, or any of what was written since;
  a sector without durable data may also show garbage (blocks that were another file's, as with ext4's data=writeback).
  A sector is never torn.
- Size and mode that are not durable: any value since the durable one, whatever the data shows. So a file may have its
  size and read as zeros, which is what delayed allocation leaves (ext4, xfs, btrfs).
- Each change of a directory (a name made or removed) is there or not, by itself, in whatever order it came: between two
  directories, but also in one. fsync of a directory makes all changes of it so far durable, and nothing above or below
  it: what lies in a directory without a name is lost with it. A file system with one journal for all (ext4, xfs) shows
  fewer states, but POSIX promises no order at all.
- rename within one directory is one change: both names as before, or both as after. ext4, xfs and btrfs do so, and
  every program that replaces a file relies on it. rename from one directory to another is two changes, one in each:
  both old, both new, two names, or none. ext4, xfs and btrfs make it one transaction, but POSIX promises it only to
  those who look while the machine runs; and FAT has no transactions, which is a place without hard links.
- A call that was under way is as one that was made and is not yet durable. A transaction of SQLite is durable when its
  commit has returned (`synchronous = FULL`); while that is under way it is there or not.

Not in the model: disks that lie about a flush, and sectors that fail.

After Pillai et al., All File Systems Are Not Created Equal (ALICE), OSDI 2014: which of these properties programs rely
on and file systems lack; Bornholt et al., Specifying and Checking File System Crash-Consistency Models (Ferrite),
ASPLOS 2016: models of this form; Mohan et al., Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing
(CrashMonkey and ACE), OSDI 2018: how to bound them; SQLite, How SQLite Is Tested, on crash testing; Linux,
Documentation/admin-guide/ext4.rst, on the data= modes.
"""

import copy
import itertools
import math
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from parts.crash_events import (
    ROOT,
    SECTOR,
    Born,
    Committed,
    Committing,
    Data,
    Event,
    Inode,
    Log,
    Mode,
    Names,
    Promised,
    Size,
    Snapshot,
    Synced,
    Withdrawn,
)

_ZEROS = bytes(SECTOR)
_GARBAGE = b"\xa5" * SECTOR


@dataclass(frozen=True, slots=True)
class Image:
    """A file as it is found: its bytes and its permission bits."""

    data: bytes = field(repr=False)
    mode: int


@dataclass(frozen=True, slots=True)
class State:
    """All that is found: directories and files by their paths below the root, without a leading slash."""

    directories: frozenset[str]
    files: dict[str, Image]

    @property
    def key(self) -> tuple[frozenset[str], frozenset[tuple[str, Image]]]:
        """Equal for equal states."""
        return self.directories, frozenset(self.files.items())

    def make(self, folder: Path) -> None:
        """Make real directories and files of it in an empty directory."""
        for path in sorted(self.directories):
            (folder / path).mkdir(0o700)
        for path, image in self.files.items():
            (folder / path).write_bytes(image.data)
            (folder / path).chmod(image.mode)


@dataclass(frozen=True, slots=True)
class PowerCut:
    """One state that a power cut after `done` events may leave, with one state of the catalog."""

    done: int
    last: Event | None
    state: State
    catalog: Snapshot | None
    promised: frozenset[str]


@dataclass(slots=True)
class _Pending:
    """What was done to a file since its fsync: each list is of versions, oldest first."""

    sizes: list[int] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    sectors: dict[int, list[bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that is durable in one of `choices` ways by itself; 0 is as it was, the last is as it was left."""

    inode: int
    what: Names | str | int  # a change of a directory, "size", "mode" or the number of a sector
    versions: tuple[object, ...]

    @property
    def choices(self) -> int:
        return 1 + len(self.versions)


class Disk:
    """The file system after the events that it was given: what is durable, and what is not."""

    def __init__(self, initial: dict[int, Inode]) -> None:
        self._durable = copy.deepcopy(initial)
        self._names: list[Names] = []
        self._files: dict[int, _Pending] = {}
        self._images: dict[int, Image] = {}  # of what is durable

    def apply(self, event: Event) -> None:
        """Take note of the next event."""
        match event:
            case Born():
                self._durable[event.inode] = Inode(event.mode, event.is_directory)
            case Names():
                self._names.append(event)
            case Data():
                self._write(event)
            case Size():
                self._resize(event)
            case Mode():
                self._pending(event.inode).modes.append(event.mode)
            case Synced():
                self._sync(event.inode)

    def parts(self) -> list[_Part]:
        """Give all that is not durable and that some name leads to."""
        reachable = {number for inode in self._durable.values() for number in inode.names.values()}
        reachable |= {number for names in self._names for _, number in names.changes if number is not None}
        parts = [_Part(names.directory, names, (names,)) for names in self._names]
        for number, pending in self._files.items():
            if number not in reachable:
                continue
            durable = self._durable[number]
            for index, versions in pending.sectors.items():
                is_new = index not in durable.sectors
                parts.append(_Part(number, index, (*((_GARBAGE,) if is_new else ()), *versions)))
            if pending.sizes:
                parts.append(_Part(number, "size", tuple(pending.sizes)))
            if pending.modes:
                parts.append(_Part(number, "mode", tuple(pending.modes)))
        return parts

    def state(self, parts: Sequence[_Part], choices: Sequence[int]) -> State:
        """Give the state in which each part shows what was chosen for it."""
        names = {number: inode.names for number, inode in self._durable.items() if inode.is_directory}
        changed: dict[int, Inode] = {}
        for part, choice in zip(parts, choices, strict=True):
            if not choice:
                continue
            version = part.versions[choice - 1]
            if isinstance(version, Names):
                if part.inode not in changed:
                    changed[part.inode] = Inode(0, True)
                    names[part.inode] = dict(names[part.inode])
                for name, number in version.changes:
                    if number is None:
                        names[part.inode].pop(name, None)
                    else:
                        names[part.inode][name] = number
                continue
            inode = changed.get(part.inode)
            if inode is None:
                durable = self._durable[part.inode]
                inode = changed[part.inode] = replace(durable, sectors=dict(durable.sectors))
            if isinstance(version, bytes):
                assert isinstance(part.what, int)
                inode.sectors[part.what] = version
            elif part.what == "size":
                assert isinstance(version, int)
                inode.size = version
            else:
                assert isinstance(version, int)
                inode.mode = version
        return self._walk(names, changed)

    def present(self) -> State:
        """Give what there is while the machine runs."""
        parts = self.parts()
        return self.state(parts, [part.choices - 1 for part in parts])

    def _walk(self, names: dict[int, dict[str, int]], changed: dict[int, Inode]) -> State:
        directories: set[str] = set()
        files: dict[str, Image] = {}
        waiting = [("", ROOT)]
        while waiting:
            prefix, directory = waiting.pop()
            for name, number in names[directory].items():
                path = prefix + name
                inode = self._durable[number]
                if inode.is_directory:
                    directories.add(path)
                    waiting.append((f"{path}/", number))
                else:
                    files[path] = _image(changed[number]) if number in changed else self._image(number)
        return State(frozenset(directories), files)

    def _image(self, number: int) -> Image:
        image = self._images.get(number)
        if image is None:
            image = self._images[number] = _image(self._durable[number])
        return image

    def _pending(self, inode: int) -> _Pending:
        return self._files.setdefault(inode, _Pending())

    def _size(self, number: int) -> int:
        pending = self._files.get(number)
        return pending.sizes[-1] if pending is not None and pending.sizes else self._durable[number].size

    def _sector(self, number: int, index: int) -> bytes:
        versions = self._pending(number).sectors.get(index)
        return versions[-1] if versions else self._durable[number].sectors.get(index, _ZEROS)

    def _write(self, event: Data) -> None:
        end = event.position + len(event.data)
        for index in range(event.position // SECTOR, -(-end // SECTOR)):
            sector = bytearray(self._sector(event.inode, index))
            start = index * SECTOR
            first, last = max(event.position, start), min(end, start + SECTOR)
            sector[first - start : last - start] = event.data[first - event.position : last - event.position]
            self._pending(event.inode).sectors.setdefault(index, []).append(bytes(sector))
        if end > self._size(event.inode):
            self._pending(event.inode).sizes.append(end)

    def _resize(self, event: Size) -> None:
        pending, durable = self._pending(event.inode), self._durable[event.inode]
        # What is cut off reads as zeros if the file grows again.
        for index in {*pending.sectors, *durable.sectors}:
            kept = max(0, event.size - index * SECTOR)
            sector = self._sector(event.inode, index)
            if any(sector[kept:]):
                pending.sectors.setdefault(index, []).append(sector[:kept].ljust(SECTOR, b"\0"))
        pending.sizes.append(event.size)

    def _sync(self, number: int) -> None:
        inode = self._durable[number]
        if inode.is_directory:
            for names in self._names:
                if names.directory != number:
                    continue
                for name, target in names.changes:
                    if target is None:
                        inode.names.pop(name, None)
                    else:
                        inode.names[name] = target
            self._names = [names for names in self._names if names.directory != number]
            return
        self._images.pop(number, None)
        pending = self._files.pop(number, _Pending())
        inode.sectors.update((index, versions[-1]) for index, versions in pending.sectors.items())
        inode.size = pending.sizes[-1] if pending.sizes else inode.size
        inode.mode = pending.modes[-1] if pending.modes else inode.mode


def power_cuts(log: Log, *, limit: int, seed: int, since: int = 0) -> Iterator[PowerCut]:
    """Give the states that a power cut at any moment after `since` events may leave; after each event, each once.

    After each event: all states if they are not more than `limit`; else those in which all, nothing, all but one part
    or file or directory, or only one of these is durable, and `limit` that chance (`seed`) chooses. Of a file with more
    than `limit` sectors that are not durable, chance chooses so many for the part.
    """
    chance = random.Random(seed)
    disk = Disk(log.initial)
    catalogs = [log.catalog]
    promised: frozenset[str] = frozenset()
    for done, event in enumerate((None, *log.events)):
        match event:
            case Committing(after):
                catalogs = [*catalogs, after]
            case Committed(after):
                catalogs = [after]
            case Promised(content):
                promised |= {content}
            case Withdrawn(content):
                promised -= {content}
            case None:
                pass
            case _:
                disk.apply(event)
        if done < since or isinstance(event, Born):  # an inode without a name is nothing
            continue
        parts = disk.parts()
        seen = set()
        for choices in dict.fromkeys(_choices(parts, limit, chance)):
            state = disk.state(parts, choices)
            if (key := hash(state.key)) in seen:  # not the states themselves, of which there can be a gigabyte
                continue
            seen.add(key)
            for catalog in catalogs:
                yield PowerCut(done, event, state, catalog, promised)


def _choices(parts: Sequence[_Part], limit: int, chance: random.Random) -> Iterable[tuple[int, ...]]:
    counts = [part.choices for part in parts]
    if math.prod(counts) <= limit:
        return itertools.product(*map(range, counts))
    return _some_choices(parts, counts, limit, chance)


def _some_choices(
    parts: Sequence[_Part], counts: Sequence[int], limit: int, chance: random.Random
) -> Iterator[tuple[int, ...]]:
    nothing = tuple(0 for _ in parts)
    everything = tuple(count - 1 for count in counts)
    yield nothing
    yield everything
    for at in _single(parts, limit, chance):
        for choice in range(counts[at]):
            for others in (nothing, everything):
                yield (*others[:at], choice, *others[at + 1 :])
    for inode in {part.inode: None for part in parts}:
        own = [part.inode == inode for part in parts]
        for others, these in ((nothing, everything), (everything, nothing)):
            yield tuple(these[at] if is_own else others[at] for at, is_own in enumerate(own))
    for _ in range(limit):
        # From rare to usual: with an even chance for each of many, hardly anything would have all its parts.
        durable = chance.random()
        yield tuple(
            everything[at] if chance.random() < durable else chance.randrange(count) for at, count in enumerate(counts)
        )


def _single(parts: Sequence[_Part], limit: int, chance: random.Random) -> list[int]:
    """Choose the parts that are to differ from all others."""
    sectors: dict[int, list[int]] = {}
    chosen: list[int] = []
    for at, part in enumerate(parts):
        (sectors.setdefault(part.inode, []) if isinstance(part.what, int) else chosen).append(at)
    for those in sectors.values():
        chosen += those if len(those) <= limit else chance.sample(those, limit)
    return sorted(chosen)


def _image(inode: Inode) -> Image:
    sectors = range(-(-inode.size // SECTOR))
    data = b"".join([inode.sectors.get(index, _ZEROS) for index in sectors])
    return Image(data[: inode.size], inode.mode)


def describe(log: Log, cut: PowerCut) -> str:
    """Say where a power cut is, for the message of a failure."""
    before = log.events[max(0, cut.done - 4) : cut.done]
    return f"power cut after event {cut.done} of {len(log.events)}; the last ones are:" + "".join(
        f"{os.linesep}  {_short(event)}" for event in before
    )


def _short(event: Event) -> str:
    return f"Data({event.inode}, {event.position}, {len(event.data)} bytes)" if isinstance(event, Data) else f"{event}"
