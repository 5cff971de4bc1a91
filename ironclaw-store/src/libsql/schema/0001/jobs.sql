CREATE TABLE jobs (
    job_no INTEGER PRIMARY KEY,
    owner_no INTEGER NOT NULL REFERENCES users,
    id BLOB NOT NULL,
    conversation BLOB,
    kind TEXT NOT NULL,
    agent TEXT,
    state INTEGER NOT NULL,
    worker TEXT,
    claimed_until INTEGER,
    error TEXT,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    content_format INTEGER NOT NULL DEFAULT 0,
    content_key BLOB,
    input TEXT NOT NULL,
    UNIQUE (owner_no, id),
    FOREIGN KEY (owner_no, conversation) REFERENCES conversations (owner_no, id)
);
CREATE INDEX jobs_by_conversation ON jobs (owner_no, conversation, id);
CREATE INDEX jobs_by_state ON jobs (owner_no, state, id);

CREATE TABLE job_events (
    event_no INTEGER PRIMARY KEY,
    owner_no INTEGER NOT NULL,
    job BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    content_format INTEGER NOT NULL DEFAULT 0,
    content_key BLOB,
    step TEXT NOT NULL,
    UNIQUE (owner_no, job, sequence),
    FOREIGN KEY (owner_no, job) REFERENCES jobs (owner_no, id)
);

CREATE TABLE llm_calls (
    call_no INTEGER PRIMARY KEY,
    owner_no INTEGER NOT NULL,
    job BLOB NOT NULL,
    id BLOB NOT NULL,
    model TEXT NOT NULL,
    error TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cost_micro_usd INTEGER,
    latency_us INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    content_format INTEGER NOT NULL DEFAULT 0,
    content_key BLOB,
    request TEXT NOT NULL,
    response TEXT,
    UNIQUE (owner_no, job, id),
    UNIQUE (owner_no, id),
    FOREIGN KEY (owner_no, job) REFERENCES jobs (owner_no, id)
);

CREATE TABLE sandbox_jobs (
    run_no INTEGER PRIMARY KEY,
    owner_no INTEGER NOT NULL,
    job BLOB NOT NULL,
    id BLOB NOT NULL,
    tool TEXT NOT NULL,
    usage TEXT,
    created_at INTEGER NOT NULL,
    content_format INTEGER NOT NULL DEFAULT 0,
    content_key BLOB,
    outcome TEXT NOT NULL,
    parameters TEXT NOT NULL,
    log TEXT NOT NULL,
    UNIQUE (owner_no, job, id),
    UNIQUE (owner_no, id),
    FOREIGN KEY (owner_no, job) REFERENCES jobs (owner_no, id)
);
