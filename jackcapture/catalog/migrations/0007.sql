-- Suggestions of triggered sessions, and how far each of their segments has been watched.
CREATE TABLE watches (
    session INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    frame INTEGER NOT NULL,
    is_done INTEGER NOT NULL,
    PRIMARY KEY (session, segment),
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX watches_under_way ON watches (session, segment) WHERE is_done = 0;
CREATE TABLE suggestions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    session INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    stream_id INTEGER NOT NULL REFERENCES streams (id),
    peak REAL,
    begin_frame INTEGER NOT NULL,
    end_frame INTEGER NOT NULL,
    from_frame INTEGER NOT NULL,
    to_frame INTEGER,
    found_at_ns INTEGER NOT NULL,
    decided_at_ns INTEGER,
    artifacts TEXT NOT NULL,
    problem TEXT NOT NULL,
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT;
CREATE UNIQUE INDEX suggestions_by_place ON suggestions (session, segment, begin_frame);
CREATE INDEX suggestions_by_status ON suggestions (status, session);
INSERT INTO watches SELECT session, segments.number, start_frame, 0
    FROM segments JOIN sessions ON sessions.number = session
    WHERE mode = 'triggered' AND segments.status = 'running';
