-- Sealed values and wrapped keys; never plaintext.
CREATE TABLE ironclaw.vault_header (
    tenant text COLLATE "C" NOT NULL PRIMARY KEY,
    id uuid NOT NULL,
    format integer NOT NULL,
    root_key bigint NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE ironclaw.root_key_wraps (
    tenant text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    root_key bigint NOT NULL,
    source text NOT NULL,
    format integer NOT NULL,
    algorithm smallint NOT NULL,
    parameters bytea NOT NULL,
    nonce bytea NOT NULL,
    ciphertext bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE ironclaw.data_keys (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id uuid NOT NULL,
    number bigint NOT NULL,
    root_key bigint NOT NULL,
    format integer NOT NULL,
    algorithm smallint NOT NULL,
    parameters bytea NOT NULL,
    nonce bytea NOT NULL,
    ciphertext bytea NOT NULL,
    seals bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (owner_no, id),
    UNIQUE (owner_no, number)
);

CREATE TABLE ironclaw.secrets (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    name text COLLATE "C" NOT NULL,
    provider text,
    bindings json NOT NULL,
    expires_at timestamptz,
    current_version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    last_used_at timestamptz,
    usage_count bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (owner_no, name)
) WITH (fillfactor = 80);

-- `format` and `data_key` are what other tables call `content_format` and `content_key`.
CREATE TABLE ironclaw.secret_versions (
    owner_no bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    format integer NOT NULL,
    algorithm smallint NOT NULL,
    data_key uuid NOT NULL,
    salt bytea NOT NULL,
    nonce bytea NOT NULL,
    ciphertext bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (owner_no, name, number)
);

-- The last number of each deleted secret. A sealed value is bound to its number: a secret that is made anew goes on
-- counting, so that no ciphertext of the deleted one fits a row of the new one. Of the name only SHA-256 is left.
CREATE TABLE ironclaw.secret_numbers (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    name_hash bytea NOT NULL CHECK (length(name_hash) = 32),
    last_number bigint NOT NULL,
    PRIMARY KEY (owner_no, name_hash)
);
