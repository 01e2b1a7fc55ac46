-- What a take's samples and sources were like; what JACK did at a clock snapshot; overviews beside the chunks.
ALTER TABLE takes ADD COLUMN clipped_samples INTEGER NOT NULL DEFAULT 0;
ALTER TABLE takes ADD COLUMN latencies TEXT NOT NULL DEFAULT '[]';
ALTER TABLE takes ADD COLUMN overview_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN clipped_samples INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN overview_hash TEXT;
ALTER TABLE clock_snapshots ADD COLUMN reasons TEXT NOT NULL DEFAULT '';
ALTER TABLE clock_snapshots ADD COLUMN period INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clock_snapshots ADD COLUMN is_freewheeling INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clock_snapshots ADD COLUMN transport TEXT NOT NULL DEFAULT '{}';
ALTER TABLE clock_snapshots ADD COLUMN midi_clock TEXT NOT NULL DEFAULT '{}';
