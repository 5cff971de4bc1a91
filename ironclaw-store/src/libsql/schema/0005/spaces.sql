-- Who is a member of a space. A space is a row of users, whose owner is its name after U+0001. A membership that ended stays,
-- so that "who had access on that day" has an answer. Members are named: one may be invited before they ever wrote.
CREATE TABLE members (
    owner_no    INTEGER NOT NULL REFERENCES users,
    id          BLOB    NOT NULL,
    tenant      TEXT    NOT NULL,
    member      TEXT    NOT NULL,
    role        INTEGER NOT NULL,
    valid_from  INTEGER NOT NULL,
    valid_until INTEGER,
    PRIMARY KEY (owner_no, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX members_in_force ON members (owner_no, member) WHERE valid_until IS NULL;
CREATE INDEX members_by_name ON members (tenant, member, id);

-- Who asked for a forgetting in a space, as the space's trail tells of it.
ALTER TABLE removals ADD COLUMN person INTEGER REFERENCES users;
ALTER TABLE removals ADD COLUMN pseudonym BLOB;
