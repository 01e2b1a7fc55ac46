-- Requests of sessions: MIDI that was sent in a segment, and its answers.
CREATE TABLE requests (
    session INTEGER NOT NULL,
    number INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    request TEXT NOT NULL,
    PRIMARY KEY (session, number),
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT, WITHOUT ROWID;
