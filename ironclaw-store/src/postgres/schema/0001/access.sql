-- What may be done by whom, and until when. Users and roles are the operator's.
CREATE TABLE ironclaw.agents (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    name text COLLATE "C" NOT NULL,
    active boolean NOT NULL,
    policy_epoch bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (owner_no, name)
);

-- A policy that ended stays, so that "who had access on that day" has an answer.
CREATE TABLE ironclaw.policies (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id uuid NOT NULL,
    agent text COLLATE "C" NOT NULL,
    resource text NOT NULL,
    actions json NOT NULL,
    conditions json NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_until timestamptz,
    PRIMARY KEY (owner_no, id)
);
CREATE INDEX policies_agent ON ironclaw.policies (owner_no, agent, id);

CREATE TABLE ironclaw.tokens (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id uuid NOT NULL,
    agent text COLLATE "C" NOT NULL,
    policy_epoch bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (owner_no, id)
);

CREATE TABLE ironclaw.api_keys (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id uuid NOT NULL,
    label text NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (owner_no, id)
);

CREATE TABLE ironclaw.leases (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id uuid NOT NULL,
    secret text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    uses_left bigint NOT NULL CHECK (uses_left >= 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (owner_no, id)
) WITH (fillfactor = 80);

CREATE TABLE ironclaw.approvals (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id uuid NOT NULL,
    agent text COLLATE "C" NOT NULL,
    action text NOT NULL,
    content_format smallint NOT NULL DEFAULT 0,
    content_key uuid,
    details json NOT NULL,
    state smallint NOT NULL CHECK (state BETWEEN 0 AND 2),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    decided_at timestamptz,
    PRIMARY KEY (owner_no, id)
);

CREATE TABLE ironclaw.tool_grants (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id uuid NOT NULL,
    tool text COLLATE "C" NOT NULL,
    capability text NOT NULL,
    parameters json NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (owner_no, id)
);
CREATE INDEX tool_grants_tool ON ironclaw.tool_grants (owner_no, tool, id);
