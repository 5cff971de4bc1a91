-- The number that the user's conversations, jobs, workspace and receipts are kept under, if it is not owner_no. To forget
-- is to give the user a new one: what is under the old one is nobody's at once, however much it is.
ALTER TABLE users ADD COLUMN content_no INTEGER REFERENCES users;
CREATE UNIQUE INDEX users_by_content ON users (content_no) WHERE content_no IS NOT NULL;

-- What was hidden and is not yet gone. `kind`: 1 all content under a number, 2 a user, 3 a conversation, 4 a job.
CREATE TABLE removals (
    removal_no INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    owner_no INTEGER NOT NULL REFERENCES users, -- whose legal holds stop it
    content_no INTEGER NOT NULL REFERENCES users,
    id BLOB, -- the conversation's, the job's or the erasure's
    last_event INTEGER NOT NULL, -- up to which private parts of the user's audit events go
    position INTEGER NOT NULL, -- up to which they are gone; with a term, up to which row of message_terms
    term TEXT,
    rows INTEGER NOT NULL, -- gone so far
    begun_at INTEGER NOT NULL,
    -- The event that tells of it when it is complete, and where its number is told then.
    operator TEXT,
    tenant TEXT,
    salt BLOB,
    private BLOB,
    receipt TEXT,
    place INTEGER
);
CREATE INDEX removals_by_content ON removals (content_no, kind, id);
CREATE INDEX removals_by_owner ON removals (owner_no);

CREATE VIEW visible_conversations AS SELECT * FROM conversations c WHERE NOT EXISTS
    (SELECT 1 FROM removals r WHERE r.content_no = c.owner_no AND r.kind = 3 AND r.id = c.id);
CREATE VIEW visible_messages AS SELECT * FROM messages m WHERE NOT EXISTS
    (SELECT 1 FROM removals r WHERE r.content_no = m.owner_no AND r.kind = 3 AND r.id = m.conversation);
CREATE VIEW visible_jobs AS SELECT * FROM jobs j
    WHERE NOT EXISTS (SELECT 1 FROM removals r WHERE r.content_no = j.owner_no AND r.kind = 4 AND r.id = j.id)
    AND NOT EXISTS (SELECT 1 FROM removals r WHERE r.content_no = j.owner_no AND r.kind = 3 AND r.id = j.conversation);
CREATE VIEW visible_job_events AS SELECT * FROM job_events e WHERE EXISTS
    (SELECT 1 FROM visible_jobs j WHERE j.owner_no = e.owner_no AND j.id = e.job);
CREATE VIEW visible_llm_calls AS SELECT * FROM llm_calls c WHERE EXISTS
    (SELECT 1 FROM visible_jobs j WHERE j.owner_no = c.owner_no AND j.id = c.job);
CREATE VIEW visible_sandbox_jobs AS SELECT * FROM sandbox_jobs s WHERE EXISTS
    (SELECT 1 FROM visible_jobs j WHERE j.owner_no = s.owner_no AND j.id = s.job);
