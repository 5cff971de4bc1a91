-- A chain for each user, which outlives the user, and one with owner_no 0 for the system.
CREATE TABLE ironclaw.audit_streams (
    owner_no bigint NOT NULL PRIMARY KEY,
    stream bytea NOT NULL UNIQUE CHECK (length(stream) = 16),
    sequence bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32)
) WITH (fillfactor = 50);

INSERT INTO ironclaw.audit_streams (owner_no, stream, sequence, hash)
VALUES (0, decode(repeat('00', 16), 'hex'), 0, decode(repeat('00', 32), 'hex'));

CREATE TABLE ironclaw.audit_events (
    owner_no bigint NOT NULL REFERENCES ironclaw.audit_streams,
    sequence bigint NOT NULL,
    previous bytea NOT NULL CHECK (length(previous) = 32),
    time timestamptz NOT NULL,
    "user" bytea NOT NULL CHECK (length("user") = 16),
    principals bytea NOT NULL CHECK (length(principals) % 17 = 0),
    action integer NOT NULL CHECK (action BETWEEN 0 AND 65535),
    outcome smallint NOT NULL CHECK (outcome BETWEEN 0 AND 2),
    subjects bytea NOT NULL CHECK (length(subjects) % 17 = 0),
    commitment bytea NOT NULL CHECK (length(commitment) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    tree_index bigint,
    PRIMARY KEY (owner_no, sequence)
);

-- What erasure deletes. `about` is the user whom an event of the system's chain names.
CREATE TABLE ironclaw.audit_private (
    owner_no bigint NOT NULL,
    sequence bigint NOT NULL,
    about bigint,
    salt bytea NOT NULL CHECK (length(salt) = 32),
    private bytea NOT NULL,
    PRIMARY KEY (owner_no, sequence)
);
CREATE INDEX audit_private_about ON ironclaw.audit_private (about) WHERE about IS NOT NULL;

-- Users in person have theirs in users; operators are kept under owner_no 0.
CREATE TABLE ironclaw.audit_pseudonyms (
    owner_no bigint NOT NULL,
    kind smallint NOT NULL,
    name text COLLATE "C" NOT NULL,
    pseudonym bytea NOT NULL CHECK (length(pseudonym) = 16),
    PRIMARY KEY (owner_no, kind, name)
);

CREATE TABLE ironclaw.audit_checkpoints (
    size bigint NOT NULL PRIMARY KEY,
    root bytea NOT NULL CHECK (length(root) = 32),
    note text NOT NULL,
    created_at timestamptz NOT NULL
);
