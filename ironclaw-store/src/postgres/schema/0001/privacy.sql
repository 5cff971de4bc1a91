-- Ids of one millisecond are in no order: hold_no and erasure_no count in the order of making.
CREATE TABLE ironclaw.holds (
    hold_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    released_at timestamptz
);
CREATE INDEX holds_by_owner ON ironclaw.holds (owner_no, released_at);

CREATE TABLE ironclaw.retention_policies (
    tenant text COLLATE "C" NOT NULL,
    category smallint NOT NULL,
    days bigint NOT NULL CHECK (days >= 1),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, category)
);

CREATE TABLE ironclaw.erasures (
    erasure_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    stream bytea NOT NULL CHECK (length(stream) = 16),
    deleted_rows bigint NOT NULL,
    created_at timestamptz NOT NULL
);
