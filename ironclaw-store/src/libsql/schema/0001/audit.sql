-- A chain for each user, which outlives the user, and one with owner_no 0 for the system.
CREATE TABLE audit_streams (
    owner_no INTEGER PRIMARY KEY,
    stream BLOB NOT NULL UNIQUE,
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL
);
INSERT INTO audit_streams (owner_no, stream, sequence, hash) VALUES (0, zeroblob(16), 0, zeroblob(32));

CREATE TABLE audit_events (
    owner_no INTEGER NOT NULL REFERENCES audit_streams,
    sequence INTEGER NOT NULL,
    previous BLOB NOT NULL,
    time INTEGER NOT NULL,
    user BLOB NOT NULL,
    principals BLOB NOT NULL,
    action INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    subjects BLOB NOT NULL,
    commitment BLOB NOT NULL,
    hash BLOB NOT NULL,
    tree_index INTEGER,
    PRIMARY KEY (owner_no, sequence)
) WITHOUT ROWID;

-- What erasure deletes. `about` is the user whom an event of the system's chain names.
CREATE TABLE audit_private (
    owner_no INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    about INTEGER,
    salt BLOB NOT NULL,
    private BLOB NOT NULL,
    PRIMARY KEY (owner_no, sequence)
) WITHOUT ROWID;
CREATE INDEX audit_private_about ON audit_private (about) WHERE about IS NOT NULL;

-- Users in person have theirs in users; operators are kept under owner_no 0.
CREATE TABLE audit_pseudonyms (
    owner_no INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    pseudonym BLOB NOT NULL,
    PRIMARY KEY (owner_no, kind, name)
) WITHOUT ROWID;

CREATE TABLE audit_checkpoints (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL,
    note TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
