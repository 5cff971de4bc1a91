CREATE TABLE ironclaw.settings (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    key text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    content_format smallint NOT NULL DEFAULT 0,
    content_key uuid,
    value json NOT NULL,
    PRIMARY KEY (owner_no, key)
);

-- Both numbers are unsigned and kept in the 64 bits of a signed one.
CREATE TABLE ironclaw.quotas (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    name text COLLATE "C" NOT NULL,
    allowed bigint NOT NULL,
    used bigint NOT NULL,
    PRIMARY KEY (owner_no, name)
) WITH (fillfactor = 80);
