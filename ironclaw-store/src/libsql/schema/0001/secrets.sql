-- Sealed values and wrapped keys; never plaintext.

CREATE TABLE vault_header (
    tenant     TEXT    NOT NULL PRIMARY KEY,
    id         BLOB    NOT NULL,
    format     INTEGER NOT NULL,
    root_key   INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE root_key_wraps (
    tenant     TEXT    NOT NULL,
    id         BLOB    NOT NULL,
    root_key   INTEGER NOT NULL,
    source     TEXT    NOT NULL,
    format     INTEGER NOT NULL,
    algorithm  INTEGER NOT NULL,
    parameters BLOB    NOT NULL,
    nonce      BLOB    NOT NULL,
    ciphertext BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;

CREATE TABLE data_keys (
    owner_no   INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    number     INTEGER NOT NULL,
    root_key   INTEGER NOT NULL,
    format     INTEGER NOT NULL,
    algorithm  INTEGER NOT NULL,
    parameters BLOB    NOT NULL,
    nonce      BLOB    NOT NULL,
    ciphertext BLOB    NOT NULL,
    seals      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner_no, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX data_keys_number ON data_keys (owner_no, number);

CREATE TABLE secrets (
    owner_no        INTEGER NOT NULL,
    name            TEXT    NOT NULL,
    provider        TEXT,
    bindings        TEXT    NOT NULL,
    expires_at      INTEGER,
    current_version INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    last_used_at    INTEGER,
    usage_count     INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    PRIMARY KEY (owner_no, name)
) WITHOUT ROWID;

-- `format` and `data_key` are what other tables call `format` and `key_id`.
CREATE TABLE secret_versions (
    owner_no   INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    format     INTEGER NOT NULL,
    algorithm  INTEGER NOT NULL,
    data_key   BLOB    NOT NULL,
    salt       BLOB    NOT NULL,
    nonce      BLOB    NOT NULL,
    ciphertext BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (owner_no, name, number)
) WITHOUT ROWID;

-- The last number of each deleted secret. A sealed value is bound to its number: a secret that is made anew goes on
-- counting, so that no ciphertext of the deleted one fits a row of the new one. Of the name only SHA-256 is left.
CREATE TABLE secret_numbers (
    owner_no    INTEGER NOT NULL,
    name_hash   BLOB    NOT NULL,
    last_number INTEGER NOT NULL,
    PRIMARY KEY (owner_no, name_hash)
) WITHOUT ROWID;
