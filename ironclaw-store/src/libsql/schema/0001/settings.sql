CREATE TABLE settings (
    owner_no INTEGER NOT NULL REFERENCES users,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    content_format INTEGER NOT NULL DEFAULT 0,
    content_key BLOB,
    value TEXT NOT NULL,
    PRIMARY KEY (owner_no, key)
) WITHOUT ROWID;

-- Both numbers are unsigned and kept in the 64 bits of a signed one.
CREATE TABLE quotas (
    owner_no INTEGER NOT NULL REFERENCES users,
    name TEXT NOT NULL,
    allowed INTEGER NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (owner_no, name)
) WITHOUT ROWID;
