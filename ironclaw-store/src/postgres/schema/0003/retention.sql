-- Retention finds whose time has come without looking at anybody else. Nothing that a user has of a category was last changed
-- before these times; they are NULL while there is nothing. Whoever inserts lowers them, retention raises them.
ALTER TABLE ironclaw.users
    ADD COLUMN conversations_since timestamptz,
    ADD COLUMN jobs_since timestamptz,
    ADD COLUMN files_since timestamptz;

CREATE INDEX users_by_conversations ON ironclaw.users (tenant, conversations_since, owner_no)
    WHERE conversations_since IS NOT NULL;
CREATE INDEX users_by_jobs ON ironclaw.users (tenant, jobs_since, owner_no) WHERE jobs_since IS NOT NULL;
CREATE INDEX users_by_files ON ironclaw.users (tenant, files_since, owner_no) WHERE files_since IS NOT NULL;

-- The oldest of a user. By the day, which seldom changes: an index over the time itself would get an entry for each message.
ALTER TABLE ironclaw.conversations
    ADD COLUMN updated_on date GENERATED ALWAYS AS ((updated_at AT TIME ZONE 'UTC')::date) STORED;
CREATE INDEX conversations_by_age ON ironclaw.conversations (owner_no, updated_on);
ALTER TABLE ironclaw.jobs
    ADD COLUMN updated_on date GENERATED ALWAYS AS ((updated_at AT TIME ZONE 'UTC')::date) STORED;
CREATE INDEX jobs_by_age ON ironclaw.jobs (owner_no, updated_on);
CREATE INDEX entry_versions_by_age ON ironclaw.entry_versions (owner_no, updated_at) WHERE state = 1;

-- What nobody sees any more, and what was begun and not published.
CREATE INDEX entry_versions_gone ON ironclaw.entry_versions (owner_no) WHERE state = 2;
CREATE INDEX entry_versions_begun ON ironclaw.entry_versions (updated_at) WHERE state = 0;
CREATE INDEX receipts_expiring ON ironclaw.receipts (at);

-- As an operator: row-level security binds the owner too.
SELECT pg_catalog.set_config('ironclaw.maintenance', 'on', true);
UPDATE ironclaw.users u SET
    conversations_since = (SELECT min(c.updated_at) FROM ironclaw.conversations c WHERE c.owner_no = u.owner_no),
    jobs_since = (SELECT min(j.updated_at) FROM ironclaw.jobs j WHERE j.owner_no = u.owner_no),
    files_since = (SELECT min(v.updated_at) FROM ironclaw.entry_versions v WHERE v.owner_no = u.owner_no AND v.state = 1);
SELECT pg_catalog.set_config('ironclaw.maintenance', '', true);

-- Notes that a user has something of a category, and how old it is at most. The transaction has locked the user.
CREATE FUNCTION ironclaw.note_age() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_TABLE_NAME = 'conversations' THEN
        UPDATE ironclaw.users u SET conversations_since = n.since
            FROM (SELECT f.owner_no, min(f.updated_at) AS since FROM fresh f GROUP BY f.owner_no) n
            WHERE u.owner_no = n.owner_no AND (u.conversations_since IS NULL OR u.conversations_since > n.since);
    ELSIF TG_TABLE_NAME = 'jobs' THEN
        UPDATE ironclaw.users u SET jobs_since = n.since
            FROM (SELECT f.owner_no, min(f.updated_at) AS since FROM fresh f GROUP BY f.owner_no) n
            WHERE u.owner_no = n.owner_no AND (u.jobs_since IS NULL OR u.jobs_since > n.since);
    ELSE
        UPDATE ironclaw.users u SET files_since = n.since
            FROM (SELECT f.owner_no, min(f.created_at) AS since FROM fresh f GROUP BY f.owner_no) n
            WHERE u.owner_no = n.owner_no AND (u.files_since IS NULL OR u.files_since > n.since);
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION ironclaw.note_age() FROM PUBLIC;
CREATE TRIGGER note_age AFTER INSERT ON ironclaw.conversations REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ironclaw.note_age();
CREATE TRIGGER note_age AFTER INSERT ON ironclaw.jobs REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ironclaw.note_age();
CREATE TRIGGER note_age AFTER INSERT ON ironclaw.workspace_entries REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ironclaw.note_age();
