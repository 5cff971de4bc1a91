CREATE TABLE holds (
    id BLOB NOT NULL PRIMARY KEY,
    owner_no INTEGER NOT NULL REFERENCES users,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    released_at INTEGER
) WITHOUT ROWID;
CREATE INDEX holds_by_owner ON holds (owner_no, released_at);

CREATE TABLE retention_policies (
    tenant TEXT NOT NULL,
    category INTEGER NOT NULL,
    days INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, category)
) WITHOUT ROWID;

CREATE TABLE erasures (
    id BLOB NOT NULL PRIMARY KEY,
    stream BLOB NOT NULL,
    deleted_rows INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
