-- What may be done by whom, and until when. Users and roles are the operator's.

CREATE TABLE agents (
    owner_no     INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    active       INTEGER NOT NULL,
    policy_epoch INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (owner_no, name)
) WITHOUT ROWID;

-- A policy that ended stays, so that "who had access on that day" has an answer.
CREATE TABLE policies (
    owner_no    INTEGER NOT NULL,
    id          BLOB    NOT NULL,
    agent       TEXT    NOT NULL,
    resource    TEXT    NOT NULL,
    actions     TEXT    NOT NULL,
    conditions  TEXT    NOT NULL,
    valid_from  INTEGER NOT NULL,
    valid_until INTEGER,
    PRIMARY KEY (owner_no, id)
) WITHOUT ROWID;

CREATE INDEX policies_agent ON policies (owner_no, agent, id);

CREATE TABLE tokens (
    owner_no     INTEGER NOT NULL,
    id           BLOB    NOT NULL,
    agent        TEXT    NOT NULL,
    policy_epoch INTEGER NOT NULL,
    hash         BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    PRIMARY KEY (owner_no, id)
) WITHOUT ROWID;

CREATE TABLE api_keys (
    owner_no   INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    label      TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (owner_no, id)
) WITHOUT ROWID;

CREATE TABLE leases (
    owner_no   INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    secret     TEXT    NOT NULL,
    agent      TEXT    NOT NULL,
    uses_left  INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    PRIMARY KEY (owner_no, id)
) WITHOUT ROWID;

CREATE TABLE approvals (
    owner_no   INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    agent      TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    format     INTEGER NOT NULL,
    key_id     BLOB,
    details    TEXT    NOT NULL,
    state      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_at INTEGER,
    PRIMARY KEY (owner_no, id)
) WITHOUT ROWID;

CREATE TABLE tool_grants (
    owner_no   INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    tool       TEXT    NOT NULL,
    capability TEXT    NOT NULL,
    parameters TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (owner_no, id)
) WITHOUT ROWID;

CREATE INDEX tool_grants_tool ON tool_grants (owner_no, tool, id);
