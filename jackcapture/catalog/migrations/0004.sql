-- Sessions: streams recorded together, in segments, with marks.
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    mode TEXT NOT NULL,
    status TEXT NOT NULL,
    settings TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL,
    closed_at_ns INTEGER
) STRICT;
CREATE TABLE session_streams (
    session INTEGER NOT NULL REFERENCES sessions (number),
    ordinal INTEGER NOT NULL,
    stream_id INTEGER NOT NULL REFERENCES streams (id),
    PRIMARY KEY (session, ordinal)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX session_streams_by_stream ON session_streams (stream_id, session);
CREATE TABLE segments (
    session INTEGER NOT NULL REFERENCES sessions (number),
    number INTEGER NOT NULL,
    status TEXT NOT NULL,
    start_frame INTEGER NOT NULL,
    started TEXT NOT NULL,
    ended TEXT,
    PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX segments_running ON segments (session) WHERE status = 'running';
CREATE TABLE segment_ranges (
    session INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    take_id INTEGER NOT NULL REFERENCES takes (id),
    from_sample INTEGER NOT NULL,
    to_sample INTEGER,
    is_own INTEGER NOT NULL,
    PRIMARY KEY (session, segment, take_id),
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX segment_ranges_by_take ON segment_ranges (take_id);
CREATE TABLE marks (
    session INTEGER NOT NULL,
    name TEXT NOT NULL,
    segment INTEGER NOT NULL,
    jack_frame INTEGER NOT NULL,
    wall_clock_ns INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    PRIMARY KEY (session, name),
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE mark_positions (
    session INTEGER NOT NULL,
    name TEXT NOT NULL,
    stream_id INTEGER NOT NULL REFERENCES streams (id),
    sample_position INTEGER NOT NULL,
    PRIMARY KEY (session, name, stream_id),
    FOREIGN KEY (session, name) REFERENCES marks (session, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX mark_positions_by_stream ON mark_positions (stream_id, name);
