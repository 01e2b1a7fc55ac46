-- The catalog, version 4. Times (`*_ns`) are nanoseconds since the Unix epoch; positions and lengths are frames.
-- Change this file and add a migration of the next number together: a test compares what both give.

-- Which store this catalog describes.
CREATE TABLE identity (
    store_uuid TEXT NOT NULL
) STRICT;

CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    uri TEXT NOT NULL UNIQUE,
    definition TEXT NOT NULL,               -- JSON, as it lies in the store; immutable
    definition_artifact TEXT NOT NULL REFERENCES artifacts (id),
    created_at_ns INTEGER NOT NULL,
    keep_ns INTEGER,                        -- retention: at most so much of what was recorded; NULL: no limit
    keep_bytes INTEGER,
    keep_chunks INTEGER
) STRICT;

-- One contiguous run of a stream. Sample positions of a stream run on over its takes.
CREATE TABLE takes (
    id INTEGER PRIMARY KEY,
    stream_id INTEGER NOT NULL REFERENCES streams (id),
    number INTEGER NOT NULL,                -- from 1, per stream
    start_frame INTEGER NOT NULL,           -- 64-bit JACK frame of first_sample
    first_sample INTEGER NOT NULL,
    samples INTEGER,                        -- NULL while it runs
    started_at_ns INTEGER NOT NULL,
    ended_at_ns INTEGER,
    error TEXT NOT NULL DEFAULT '',         -- why it ended by itself
    -- Totals of the rows below, also of those that were removed since: a status costs the same after a month as after a
    -- minute.
    sealed_chunks INTEGER NOT NULL DEFAULT 0,
    sealed_samples INTEGER NOT NULL DEFAULT 0,
    sealed_bytes INTEGER NOT NULL DEFAULT 0,
    gap_count INTEGER NOT NULL DEFAULT 0,
    lost_frames INTEGER NOT NULL DEFAULT 0,
    clipped_samples INTEGER NOT NULL DEFAULT 0,
    latencies TEXT NOT NULL DEFAULT '[]',   -- JSON: [least, most] frames of capture latency, per port
    overview_bytes INTEGER NOT NULL DEFAULT 0, -- total of its chunks' overviews
    -- Totals of the chunks that were removed.
    removed_chunks INTEGER NOT NULL DEFAULT 0,
    removed_bytes INTEGER NOT NULL DEFAULT 0, -- with their overviews
    UNIQUE (stream_id, number)
) STRICT;

-- Sealed chunks. `chunk_index` counts from 0 in its take.
CREATE TABLE chunks (
    take_id INTEGER NOT NULL REFERENCES takes (id),
    chunk_index INTEGER NOT NULL,
    first_sample INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    wall_clock_ns INTEGER NOT NULL,         -- of the frame after its last one
    clipped_samples INTEGER NOT NULL DEFAULT 0,
    overview_hash TEXT,                     -- content of its overview; NULL: it has none
    removing TEXT,                          -- why it is being removed, and its content may be gone; NULL: it is not
    PRIMARY KEY (take_id, chunk_index)
) STRICT, WITHOUT ROWID;
CREATE INDEX chunks_by_sample ON chunks (take_id, first_sample);
CREATE INDEX chunks_by_content ON chunks (content_hash);
CREATE INDEX chunks_by_overview ON chunks (overview_hash) WHERE overview_hash IS NOT NULL;
CREATE INDEX chunks_being_removed ON chunks (take_id, chunk_index) WHERE removing IS NOT NULL;

-- Runs of a take's chunks that are not there any more: neighbours that went for the same reason are one row.
CREATE TABLE removals (
    take_id INTEGER NOT NULL REFERENCES takes (id),
    first_index INTEGER NOT NULL,
    end_index INTEGER NOT NULL,             -- after the last one
    first_sample INTEGER NOT NULL,
    end_sample INTEGER NOT NULL,
    reason TEXT NOT NULL,
    removed_at_ns INTEGER NOT NULL,         -- of the newest one
    PRIMARY KEY (take_id, first_index)
) STRICT, WITHOUT ROWID;

-- Ranges of streams whose chunks are not removed, and who holds them.
CREATE TABLE holds (
    stream_id INTEGER NOT NULL REFERENCES streams (id),
    kind TEXT NOT NULL,                     -- artifact, pin, session
    holder TEXT NOT NULL,                   -- the artifact's id, the pin's name, or the session's id
    from_sample INTEGER NOT NULL,
    to_sample INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    PRIMARY KEY (stream_id, kind, holder, from_sample)
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_by_place ON holds (stream_id, from_sample, to_sample);
CREATE INDEX holds_by_holder ON holds (kind, holder);

-- Lost frames: silence in the samples.
CREATE TABLE gaps (
    take_id INTEGER NOT NULL REFERENCES takes (id),
    position INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    cause TEXT NOT NULL,
    PRIMARY KEY (take_id, position)
) STRICT, WITHOUT ROWID;

-- Observations of all clocks at once: about one a second, and at changes.
CREATE TABLE clock_snapshots (
    take_id INTEGER NOT NULL REFERENCES takes (id),
    sample_position INTEGER NOT NULL,
    jack_frame INTEGER NOT NULL,
    monotonic_us INTEGER NOT NULL,          -- JACK's own clock
    wall_clock_ns INTEGER NOT NULL,
    reasons TEXT NOT NULL DEFAULT '',       -- words with commas between; empty: the regular interval
    period INTEGER NOT NULL DEFAULT 0,      -- frames of the JACK cycle
    is_freewheeling INTEGER NOT NULL DEFAULT 0,
    transport TEXT NOT NULL DEFAULT '{}',   -- JSON: what differs from a transport that is stopped at frame 0
    midi_clock TEXT NOT NULL DEFAULT '{}',  -- JSON, likewise
    PRIMARY KEY (take_id, sample_position)
) STRICT, WITHOUT ROWID;

-- What a content hash is. Several artifacts may share content.
CREATE TABLE artifacts (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    mime_type TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    stream_uri TEXT,
    metadata TEXT NOT NULL,                 -- JSON object
    removing INTEGER NOT NULL DEFAULT 0     -- 1: it is being removed, and its content may be gone
) STRICT;
CREATE INDEX artifacts_by_content ON artifacts (content_hash);
CREATE INDEX artifacts_by_time ON artifacts (created_at_ns);
CREATE INDEX artifacts_being_removed ON artifacts (id) WHERE removing = 1;

CREATE TABLE artifact_parents (
    artifact_id TEXT NOT NULL REFERENCES artifacts (id),
    parent_id TEXT NOT NULL REFERENCES artifacts (id),
    ordinal INTEGER NOT NULL,
    PRIMARY KEY (artifact_id, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_parents_by_parent ON artifact_parents (parent_id);

CREATE TABLE artifact_tags (
    artifact_id TEXT NOT NULL REFERENCES artifacts (id),
    tag TEXT NOT NULL,
    PRIMARY KEY (artifact_id, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_tags_by_tag ON artifact_tags (tag);

-- Several streams recorded together under one timeline.
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,             -- the newest has the greatest
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    mode TEXT NOT NULL,
    status TEXT NOT NULL,                   -- created, playing, stopped, closed
    settings TEXT NOT NULL,                 -- JSON object, its shape given by the mode
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

-- One contiguous recording period of a session; `number` counts from 1 per session.
CREATE TABLE segments (
    session INTEGER NOT NULL REFERENCES sessions (number),
    number INTEGER NOT NULL,
    status TEXT NOT NULL,                   -- running, ended
    start_frame INTEGER NOT NULL,           -- 64-bit JACK frame, the same for all its streams
    started TEXT NOT NULL,                  -- JSON: all clocks at its ends; what is not known is left out
    ended TEXT,                             -- NULL while it runs
    PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX segments_running ON segments (session) WHERE status = 'running';

-- What a segment has of a stream: sample positions of one take.
CREATE TABLE segment_ranges (
    session INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    take_id INTEGER NOT NULL REFERENCES takes (id),
    from_sample INTEGER NOT NULL,
    to_sample INTEGER,                      -- NULL while the segment runs; the take may have ended before
    is_own INTEGER NOT NULL,                -- 1: the take ends with the last segment that records it
    PRIMARY KEY (session, segment, take_id),
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX segment_ranges_by_take ON segment_ranges (take_id);

-- Named places in a session.
CREATE TABLE marks (
    session INTEGER NOT NULL,
    name TEXT NOT NULL,
    segment INTEGER NOT NULL,
    jack_frame INTEGER NOT NULL,            -- 64-bit
    wall_clock_ns INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    PRIMARY KEY (session, name),
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT, WITHOUT ROWID;

-- Where a mark lies in the streams that recorded its frame.
CREATE TABLE mark_positions (
    session INTEGER NOT NULL,
    name TEXT NOT NULL,
    stream_id INTEGER NOT NULL REFERENCES streams (id),
    sample_position INTEGER NOT NULL,
    PRIMARY KEY (session, name, stream_id),
    FOREIGN KEY (session, name) REFERENCES marks (session, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX mark_positions_by_stream ON mark_positions (stream_id, name);

-- Relocations of JACK's transport while a segment ran.
CREATE TABLE relocations (
    session INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    jack_frame INTEGER NOT NULL,            -- 64-bit
    clocks TEXT NOT NULL,                   -- JSON: all clocks there, with the transport's new place
    from_frame INTEGER,                     -- where the transport would have been by itself; NULL: not known
    mark TEXT,                              -- the mark that was made of it
    PRIMARY KEY (session, segment, jack_frame),
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT, WITHOUT ROWID;

-- Requests of sessions: MIDI that was sent in a segment, and its answers.
CREATE TABLE requests (
    session INTEGER NOT NULL,
    number INTEGER NOT NULL,                -- in the session, from 1
    segment INTEGER NOT NULL,
    request TEXT NOT NULL,                  -- JSON: all of it; its ended_by is null while it runs
    PRIMARY KEY (session, number),
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT, WITHOUT ROWID;

-- How far a segment of a triggered session has been watched for what stands out.
CREATE TABLE watches (
    session INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    frame INTEGER NOT NULL,                 -- 64-bit JACK frame: what is before it need not be looked at again
    is_done INTEGER NOT NULL,               -- 1: all of it has been watched
    PRIMARY KEY (session, segment),
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX watches_under_way ON watches (session, segment) WHERE is_done = 0;

-- What stood out in it; all frames are 64-bit JACK frames.
CREATE TABLE suggestions (
    number INTEGER PRIMARY KEY,             -- grows with the time of finding
    id TEXT NOT NULL UNIQUE,                -- suggestion-<12 hex digits>
    session INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    status TEXT NOT NULL,                   -- open, pending, accepted, dismissed
    reason TEXT NOT NULL,                   -- level, midi: what stood out first
    stream_id INTEGER NOT NULL REFERENCES streams (id),
    peak REAL,                              -- full scale 1; NULL: only MIDI
    begin_frame INTEGER NOT NULL,           -- what stood out, to the sample
    end_frame INTEGER NOT NULL,
    from_frame INTEGER NOT NULL,            -- what is suggested, with pre-roll and hold
    to_frame INTEGER,                       -- NULL while it is open
    found_at_ns INTEGER NOT NULL,
    decided_at_ns INTEGER,
    artifacts TEXT NOT NULL,                -- JSON: ids of what was cut
    problem TEXT NOT NULL,                  -- why it could not be accepted by itself
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT;
CREATE UNIQUE INDEX suggestions_by_place ON suggestions (session, segment, begin_frame);
CREATE INDEX suggestions_by_status ON suggestions (status, session);
