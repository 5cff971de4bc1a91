-- Retention finds whose time has come without looking at anybody else. Nothing that a user has of a category was last changed
-- before these times; they are NULL while there is nothing. Whoever inserts lowers them, retention raises them.
ALTER TABLE users ADD COLUMN conversations_since INTEGER;
ALTER TABLE users ADD COLUMN jobs_since INTEGER;
ALTER TABLE users ADD COLUMN files_since INTEGER;

CREATE INDEX conversations_by_age ON conversations (owner_no, updated_at);
CREATE INDEX jobs_by_age ON jobs (owner_no, updated_at);
CREATE INDEX entry_versions_by_age ON entry_versions (owner_no, updated_at) WHERE state = 1;

UPDATE users SET
    conversations_since = (SELECT min(c.updated_at) FROM conversations c WHERE c.owner_no = coalesce(content_no, users.owner_no)),
    jobs_since = (SELECT min(j.updated_at) FROM jobs j WHERE j.owner_no = coalesce(content_no, users.owner_no)),
    files_since = (SELECT min(v.updated_at) FROM entry_versions v
        WHERE v.owner_no = coalesce(content_no, users.owner_no) AND v.state = 1);

CREATE INDEX users_by_conversations ON users (tenant, conversations_since, owner_no) WHERE conversations_since IS NOT NULL;
CREATE INDEX users_by_jobs ON users (tenant, jobs_since, owner_no) WHERE jobs_since IS NOT NULL;
CREATE INDEX users_by_files ON users (tenant, files_since, owner_no) WHERE files_since IS NOT NULL;

-- What nobody sees any more, and what was begun and not published.
CREATE INDEX entry_versions_gone ON entry_versions (owner_no, version_no) WHERE state = 2;
CREATE INDEX entry_versions_begun ON entry_versions (updated_at) WHERE state = 0;

-- Content may be kept under another number than its user's.
CREATE TRIGGER conversations_note_age AFTER INSERT ON conversations BEGIN
    UPDATE users SET conversations_since = new.updated_at
        WHERE (content_no = new.owner_no OR owner_no = new.owner_no AND content_no IS NULL)
        AND (conversations_since IS NULL OR conversations_since > new.updated_at);
END;
CREATE TRIGGER jobs_note_age AFTER INSERT ON jobs BEGIN
    UPDATE users SET jobs_since = new.updated_at
        WHERE (content_no = new.owner_no OR owner_no = new.owner_no AND content_no IS NULL)
        AND (jobs_since IS NULL OR jobs_since > new.updated_at);
END;
CREATE TRIGGER workspace_entries_note_age AFTER INSERT ON workspace_entries BEGIN
    UPDATE users SET files_since = new.created_at
        WHERE (content_no = new.owner_no OR owner_no = new.owner_no AND content_no IS NULL)
        AND (files_since IS NULL OR files_since > new.created_at);
END;
