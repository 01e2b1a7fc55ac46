"""Compares what lies in content and staging with the rows that need it, shard by shard. Blocks.

Nothing is told because of a race: content is listed first and rows are read then, and what looks wrong is looked at
again, rows and file, in a moment in which nobody enters or removes anything.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator

from jackcapture.catalog.audit import Audit, Need
from jackcapture.control.maintenance.check_place import CheckPlace
from jackcapture.model.checks import ProblemKind
from jackcapture.store.survey import SHARDS, Found, Survey

_AT_ONCE = 64
"""How much is looked at again in one moment in which nobody enters anything."""

_LATER = 1000
"""How much is left for the end of the check: most of it was just being entered, and is right then."""


class ContentCheck:
    """One comparison; `bytes` is the length of all content that was seen."""

    def __init__(self, place: CheckPlace, audit: Audit | None, survey: Survey) -> None:
        self._place = place
        self._audit = audit
        self._survey = survey
        self._doubts: list[str] = []
        self._in_staging: set[tuple[int, int]] = set()
        self._misplaced: set[str] = set()
        self.bytes = 0

    def run(self) -> None:
        """Look at all files of the store; without a catalog, only at what they are by themselves."""
        orphans = self._look_at_staging()
        self._look_outside()
        for number, shard in enumerate(SHARDS):
            self._look_at_shard(shard, SHARDS[number + 1] if number + 1 < len(SHARDS) else None)
            if len(self._doubts) > _LATER:
                self._settle_doubts()
        self._settle_doubts()
        self._settle_staging(orphans)
        for name in self._misplaced:
            self._place.problems.withdraw(ProblemKind.CONTENT_MISSING, content_path(name))

    # --- content ---

    def _look_at_shard(self, shard: str, following: str | None) -> None:
        place = self._place
        place.go_on()
        seen: dict[str, Found] = {}
        for found in self._survey.content(shard):
            if found.name is None:
                self._doubt_foreign(found)
            elif not found.is_in_place:
                self._misplaced.add(found.name)
                self._add(
                    ProblemKind.CONTENT_MISPLACED,
                    found.path,
                    f"it should lie at {content_path(found.name)}, by its name",
                )
            else:
                seen[found.name] = found
                self.bytes += found.status.st_size if found.is_file else 0
        place.checked.content += len(seen)
        place.progress(place.checked.content, 0, "files")
        if self._audit is None:
            return
        needed = _by_hash(self._needs(shard, following))
        for name in seen.keys() | needed.keys():
            if any(True for _ in self._wrong(name, seen.get(name), needed.get(name, []))):
                self._doubts.append(name)

    def _needs(self, shard: str, following: str | None) -> Iterable[Need]:
        assert self._audit is not None
        low = "" if shard == SHARDS[0] else shard
        needs = self._audit.needs(low) if following is None else self._audit.needs(low, following)
        for need in needs:
            if not need.is_going:
                self._place.checked.chunks += need.count if need.what == "chunk" else 0
                self._place.checked.artifacts += need.count if need.what == "artifact" else 0
            if len(need.content_hash) == 64 and not set(need.content_hash) - set("0123456789abcdef"):
                yield need
            else:
                self._add(
                    ProblemKind.ROW_MALFORMED,
                    need.owner,
                    f"the {need.what} names the content {need.content_hash[:80]!r}: it must be 64 of 0-9 and a-f",
                )

    def _wrong(self, name: str, found: Found | None, needs: list[Need]) -> Iterator[tuple[ProblemKind, str]]:
        """Give what does not fit between a file and the rows that name it; those that are going need nothing."""
        named, needs = bool(needs), [need for need in needs if not need.is_going]
        who = ", ".join(f"{need.owner} ({need.what})" for need in needs[:3])
        more = sum(need.count for need in needs) - min(len(needs), 3)
        who += f" and {more} more" if more else ""
        if found is None:
            if needs:
                yield ProblemKind.CONTENT_MISSING, f"there is no such file; it is needed by {who}"
            return
        if not found.is_file:
            yield (
                ProblemKind.CONTENT_NOT_FILE,
                "it must be a regular file" + (f"; it is needed by {who}" if needs else ""),
            )
            return
        if found.is_writable:
            mode = f"{found.status.st_mode & 0o7777:04o}"
            yield ProblemKind.CONTENT_MODE, f"it can be written to (mode {mode}); content is never changed: chmod 0444"
        if not needs:
            if not named and (found.status.st_dev, found.status.st_ino) not in self._in_staging:
                yield ProblemKind.CONTENT_UNKNOWN, f"no row needs this file of {found.status.st_size} bytes"
            return
        wrong = [need for need in needs if need.bytes not in (None, found.status.st_size)]
        if wrong:
            yield (
                ProblemKind.CONTENT_SIZE,
                f"it has {found.status.st_size} bytes; {wrong[0].owner} ({wrong[0].what}) says {wrong[0].bytes}",
            )

    def _settle_doubts(self) -> None:
        """Look again at what looked wrong: without a moment's rest first, which most of it does not need."""
        names = [name for name in self._doubts if any(True for _ in self._wrong_now(name))]
        if names:  # what is being sealed since, and fails, keeps its staging name
            self._in_staging |= {(it.status.st_dev, it.status.st_ino) for it in self._survey.staging() if it.is_file}
        for start in range(0, len(names), _AT_ONCE):
            self._place.go_on()
            with self._place.settled():
                for name in names[start : start + _AT_ONCE]:
                    for kind, message in self._wrong_now(name):
                        self._add(kind, content_path(name), message)
        self._doubts.clear()

    def _wrong_now(self, name: str) -> Iterator[tuple[ProblemKind, str]]:
        assert self._audit is not None
        yield from self._wrong(name, self._survey.find(content_path(name), name), self._audit.needs_of(name))

    # --- what is not content ---

    def _look_outside(self) -> None:
        for found in self._survey.outside():
            self._doubt_foreign(found)

    def _doubt_foreign(self, found: Found) -> None:
        # A copy between file systems has such a name in content for a moment.
        if "/.copy-" in found.path and not self._is_old(found):
            return
        if self._survey.look(found) is not None:
            self._add(ProblemKind.FOREIGN, found.path, "the store did not make it, and does not need it")

    def _look_at_staging(self) -> list[Found]:
        """Note what lies in staging; give what nobody has."""
        used = self._place.staging_in_use()
        orphans = []
        chunk = None
        for found in self._survey.staging():
            if found.name is None or not found.is_in_place or not found.is_file:
                self._doubt_foreign(found)
                continue
            if found.is_overview:
                if chunk != found.name:
                    orphans.append(found)
                continue
            chunk = found.name
            self._in_staging.add((found.status.st_dev, found.status.st_ino))
            if used is not None and found.name not in used:
                orphans.append(found)
        return orphans

    def _settle_staging(self, orphans: list[Found]) -> None:
        """Tell of what nobody has, now as before."""
        used = self._place.staging_in_use()
        opened = _opened_here()
        for found in orphans:
            again = self._survey.look(found)
            if again is None or not self._is_old(again) or (again.status.st_dev, again.status.st_ino) in opened:
                continue
            if found.is_overview:
                assert found.name is not None
                chunk = found.path.removesuffix(".overview")
                if self._survey.find(chunk, found.name) is None:
                    self._add(
                        ProblemKind.OVERVIEW_ORPHANED, found.path, "it is the overview of a chunk that is not there"
                    )
            elif used is not None and found.name not in used:
                self._add(
                    ProblemKind.STAGING_ORPHANED,
                    found.path,
                    f"neither the engine nor a take has this file of {again.status.st_size} bytes",
                )

    def _is_old(self, found: Found) -> bool:
        """Whether nobody can be about to use it: slices and spares are named a moment after they are made."""
        return time.time_ns() - found.status.st_ctime_ns >= self._place.staging_age_ns

    def _add(self, kind: ProblemKind, path: str, message: str) -> None:
        self._place.problems.add(kind, path, message)


def content_path(name: str) -> str:
    """Give the path of content in the store."""
    return f"content/blake3/{name[:2]}/{name[2:4]}/{name}"


def _by_hash(needs: Iterable[Need]) -> dict[str, list[Need]]:
    found: dict[str, list[Need]] = {}
    for need in needs:
        found.setdefault(need.content_hash, []).append(need)
    return found


def _opened_here() -> set[tuple[int, int]]:
    """Give device and inode of each file that this process has open: a slice that is being hashed, for instance."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            status = os.fstat(int(name))
            found.add((status.st_dev, status.st_ino))
    return found
