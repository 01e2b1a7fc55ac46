"""The content-addressed store: bytes under the names that their hashes give them.

Words:

- content: immutable bytes, mode 0444, named by their BLAKE3 hash: `content/blake3/ab/cd/abcd...`.
- staging: a file that is being written, mode 0600, named by the BLAKE3 hash of random bytes:
  `staging/blake3/ef/01/ef01...`.
- overview: of a staging chunk, beside it while that is being written, as `ef01....overview`; made and removed with it.
- shard: the two directory levels made of an address's first four digits.
- seal: to turn a staging file into content, once and durably.
- foreign: anything below the two `blake3` directories that the store did not name.

THE ORDER OF DURABILITY. A catalog row never points to bytes that a power cut could take back:

1. the bytes and the mode of the file are durable: fsync of the file;
2. it gets its name in content, never replacing one: link (or rename);
3. the name is durable: fsync of its directory, and of the directories above it if they are new;
4. the staging name goes: unlink;
5. `seal` returns, and only then the caller enters the row in the catalog.

After a crash between any two steps the staging file is still there, and `seal` of it finishes the work.
Content that was there already goes through step 3 as well: another thread may have linked it without having
reached its fsync yet. A crash after step 4 leaves content without a row, never a row without content.

An overview is made after the staging file that it belongs to, and removed before it: it is never alone, but perhaps
after a power cut, as names in staging are not made durable.
"""

from jackcapture.store.files import Files
from jackcapture.store.store import Sealed, Stat, Store

__all__ = ["Files", "Sealed", "Stat", "Store"]
