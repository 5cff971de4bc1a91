CREATE TABLE ironclaw.jobs (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id uuid NOT NULL,
    conversation uuid,
    kind text NOT NULL,
    agent text COLLATE "C",
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 5),
    worker text,
    claimed_until timestamptz,
    error text,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    content_format smallint NOT NULL DEFAULT 0,
    content_key uuid,
    input json NOT NULL,
    PRIMARY KEY (owner_no, id),
    FOREIGN KEY (owner_no, conversation) REFERENCES ironclaw.conversations (owner_no, id)
) WITH (fillfactor = 80);
CREATE INDEX jobs_by_conversation ON ironclaw.jobs (owner_no, conversation, id);
CREATE INDEX jobs_by_state ON ironclaw.jobs (owner_no, state, id);

CREATE TABLE ironclaw.job_events (
    owner_no bigint NOT NULL,
    job uuid NOT NULL,
    sequence bigint NOT NULL,
    created_at timestamptz NOT NULL,
    content_format smallint NOT NULL DEFAULT 0,
    content_key uuid,
    step json NOT NULL,
    PRIMARY KEY (owner_no, job, sequence),
    FOREIGN KEY (owner_no, job) REFERENCES ironclaw.jobs (owner_no, id)
);

CREATE TABLE ironclaw.llm_calls (
    owner_no bigint NOT NULL,
    job uuid NOT NULL,
    id uuid NOT NULL,
    model text NOT NULL,
    error text,
    input_tokens bigint,
    output_tokens bigint,
    cost_micro_usd bigint,
    latency_us bigint NOT NULL,
    created_at timestamptz NOT NULL,
    content_format smallint NOT NULL DEFAULT 0,
    content_key uuid,
    request json NOT NULL,
    response json,
    PRIMARY KEY (owner_no, job, id),
    UNIQUE (owner_no, id),
    FOREIGN KEY (owner_no, job) REFERENCES ironclaw.jobs (owner_no, id)
);

CREATE TABLE ironclaw.sandbox_jobs (
    owner_no bigint NOT NULL,
    job uuid NOT NULL,
    id uuid NOT NULL,
    tool text NOT NULL,
    usage json,
    created_at timestamptz NOT NULL,
    content_format smallint NOT NULL DEFAULT 0,
    content_key uuid,
    outcome json NOT NULL,
    parameters json NOT NULL,
    log text NOT NULL,
    PRIMARY KEY (owner_no, job, id),
    UNIQUE (owner_no, id),
    FOREIGN KEY (owner_no, job) REFERENCES ironclaw.jobs (owner_no, id)
);
