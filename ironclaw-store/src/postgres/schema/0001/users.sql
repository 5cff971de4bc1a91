-- owner_no stands for tenant and owner in the keys of all other tables. It is never used twice.
CREATE TABLE ironclaw.users (
    owner_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    status smallint NOT NULL CHECK (status IN (0, 1)),
    pseudonym bytea NOT NULL CHECK (length(pseudonym) = 16),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (tenant, owner)
);

CREATE TABLE ironclaw.roles (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    permissions json NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE ironclaw.user_roles (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    role text COLLATE "C" NOT NULL,
    PRIMARY KEY (owner_no, role)
);

-- What was done under an idempotency key.
CREATE TABLE ironclaw.receipts (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    key text COLLATE "C" NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    at timestamptz NOT NULL,
    numbers bigint[] NOT NULL,
    PRIMARY KEY (owner_no, key)
);
