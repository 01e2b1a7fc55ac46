-- Relocations of JACK's transport while a segment ran.
CREATE TABLE relocations (
    session INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    jack_frame INTEGER NOT NULL,
    clocks TEXT NOT NULL,
    from_frame INTEGER,
    mark TEXT,
    PRIMARY KEY (session, segment, jack_frame),
    FOREIGN KEY (session, segment) REFERENCES segments (session, number)
) STRICT, WITHOUT ROWID;
