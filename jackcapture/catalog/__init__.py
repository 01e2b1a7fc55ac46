"""The catalog: the live truth about streams, takes, chunks, gaps, clocks, sessions and artifacts, in one SQLite file.

One process writes it (control holds the lock). A row never points to content that is not durable: the store has
fsynced data and directory before a row is written.

- schema.sql: the tables as they are now, commented.
- migrations/NNNN.sql: what turns version NNNN - 1 into NNNN.
"""

from jackcapture.catalog.catalog import Catalog
from jackcapture.catalog.rows import SealedChunk, StreamRecord, StreamTotals, TakeRecord

__all__ = ["Catalog", "SealedChunk", "StreamRecord", "StreamTotals", "TakeRecord"]
