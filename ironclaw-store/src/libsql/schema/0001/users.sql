CREATE TABLE store_meta (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- owner_no stands for tenant and owner in the keys of all other tables. It is never used twice.
CREATE TABLE users (
    owner_no INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    status INTEGER NOT NULL,
    pseudonym BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant, owner)
);

CREATE TABLE roles (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    permissions TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) WITHOUT ROWID;

CREATE TABLE user_roles (
    owner_no INTEGER NOT NULL REFERENCES users,
    role TEXT NOT NULL,
    PRIMARY KEY (owner_no, role)
) WITHOUT ROWID;

CREATE TABLE receipts (
    owner_no INTEGER NOT NULL REFERENCES users,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    at INTEGER NOT NULL,
    numbers TEXT NOT NULL,
    PRIMARY KEY (owner_no, key)
) WITHOUT ROWID;
