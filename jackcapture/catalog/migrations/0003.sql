-- What is kept and what was removed: retention, holds, two-phase removal.
ALTER TABLE streams ADD COLUMN keep_ns INTEGER;
ALTER TABLE streams ADD COLUMN keep_bytes INTEGER;
ALTER TABLE streams ADD COLUMN keep_chunks INTEGER;
ALTER TABLE takes ADD COLUMN removed_chunks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE takes ADD COLUMN removed_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN removing TEXT;
CREATE INDEX chunks_by_overview ON chunks (overview_hash) WHERE overview_hash IS NOT NULL;
CREATE INDEX chunks_being_removed ON chunks (take_id, chunk_index) WHERE removing IS NOT NULL;
ALTER TABLE artifacts ADD COLUMN removing INTEGER NOT NULL DEFAULT 0;
CREATE INDEX artifacts_being_removed ON artifacts (id) WHERE removing = 1;
CREATE INDEX artifact_parents_by_parent ON artifact_parents (parent_id);
CREATE TABLE removals (
    take_id INTEGER NOT NULL REFERENCES takes (id),
    first_index INTEGER NOT NULL,
    end_index INTEGER NOT NULL,
    first_sample INTEGER NOT NULL,
    end_sample INTEGER NOT NULL,
    reason TEXT NOT NULL,
    removed_at_ns INTEGER NOT NULL,
    PRIMARY KEY (take_id, first_index)
) STRICT, WITHOUT ROWID;
CREATE TABLE holds (
    stream_id INTEGER NOT NULL REFERENCES streams (id),
    kind TEXT NOT NULL,
    holder TEXT NOT NULL,
    from_sample INTEGER NOT NULL,
    to_sample INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    PRIMARY KEY (stream_id, kind, holder, from_sample)
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_by_place ON holds (stream_id, from_sample, to_sample);
CREATE INDEX holds_by_holder ON holds (kind, holder);
