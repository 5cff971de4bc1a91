-- Ids of one millisecond are in no order: hold_no and erasure_no count in the order of making.
CREATE TABLE holds (
    hold_no INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    owner_no INTEGER NOT NULL REFERENCES users,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    released_at INTEGER
);
CREATE INDEX holds_by_owner ON holds (owner_no, released_at);

CREATE TABLE retention_policies (
    tenant TEXT NOT NULL,
    category INTEGER NOT NULL,
    days INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, category)
) WITHOUT ROWID;

CREATE TABLE erasures (
    erasure_no INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    stream BLOB NOT NULL,
    deleted_rows INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);
