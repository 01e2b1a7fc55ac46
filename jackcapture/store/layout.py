"""Where an address lies, and which address lies at a path."""

import re
from collections.abc import Iterator

from jackcapture.model.overviews import OVERVIEW_SUFFIX
from jackcapture.store.files import Files

CONTENT = "content"
STAGING = "staging"
ALGORITHM = "blake3"
DESCRIPTION = "store.json"
UNSEALED = "unsealed"  # beside the staging files: notes of those that wait to be sealed

_SHARD = re.compile(r"[0-9a-f]{2}", re.ASCII)
_NAME = re.compile(r"[0-9a-f]{64}", re.ASCII)


def shards(base: str, name: str) -> tuple[str, str]:
    """Give the outer and the inner shard directory of `name` (64 hex digits): `base/ab`, `base/ab/cd`."""
    outer = f"{base}/{name[:2]}"
    return outer, f"{outer}/{name[2:4]}"


def place(base: str, name: str) -> str:
    """Give the path of `name` (64 hex digits): `base/ab/cd/abcd...`."""
    return f"{base}/{name[:2]}/{name[2:4]}/{name}"


def walk(files: Files, base: str, *, overviews: bool) -> Iterator[tuple[str, str | None]]:
    """Give each path below `base` with its name, sorted; the name is None for what is not the store's.

    A foreign directory is given, but not what is in it. What goes away meanwhile is left out, and with `overviews` also
    each overview that lies beside its own chunk; one without its chunk is foreign.
    """
    yield from _walk(files, base, "", overviews)


def _walk(files: Files, directory: str, prefix: str, overviews: bool) -> Iterator[tuple[str, str | None]]:
    try:
        entries = files.scandir(directory)
    except FileNotFoundError:
        if not prefix:
            raise
        return  # a shard that lost its last file since its parent was read
    own = None  # the overview of the chunk before: it comes after that, and before the next
    for entry in entries:
        path = f"{directory}/{entry.name}"
        if len(prefix) < 4:
            if _SHARD.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield from _walk(files, path, prefix + entry.name, overviews)
                continue
        elif _NAME.fullmatch(entry.name) and entry.name.startswith(prefix) and entry.is_file(follow_symlinks=False):
            own = entry.name + OVERVIEW_SUFFIX if overviews else None
            yield path, entry.name
            continue
        elif entry.name == own and entry.is_file(follow_symlinks=False):
            continue
        yield path, None
