-- Time may go back, where a clock ran ahead and was put right: what is written then is older than what was noted of its user.
CREATE FUNCTION ironclaw.note_earlier() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_TABLE_NAME = 'conversations' THEN
        UPDATE ironclaw.users u SET conversations_since = NEW.updated_at WHERE u.owner_no = NEW.owner_no
            AND (u.conversations_since IS NULL OR u.conversations_since > NEW.updated_at);
    ELSIF TG_TABLE_NAME = 'jobs' THEN
        UPDATE ironclaw.users u SET jobs_since = NEW.updated_at WHERE u.owner_no = NEW.owner_no
            AND (u.jobs_since IS NULL OR u.jobs_since > NEW.updated_at);
    ELSE
        UPDATE ironclaw.users u SET files_since = NEW.updated_at WHERE u.owner_no = NEW.owner_no
            AND (u.files_since IS NULL OR u.files_since > NEW.updated_at);
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION ironclaw.note_earlier() FROM PUBLIC;
CREATE TRIGGER note_earlier AFTER UPDATE OF updated_at ON ironclaw.conversations FOR EACH ROW
    WHEN (NEW.updated_at < OLD.updated_at) EXECUTE FUNCTION ironclaw.note_earlier();
CREATE TRIGGER note_earlier AFTER UPDATE OF updated_at ON ironclaw.jobs FOR EACH ROW
    WHEN (NEW.updated_at < OLD.updated_at) EXECUTE FUNCTION ironclaw.note_earlier();

-- A file is as old as the version of it that is seen, not as its path.
DROP TRIGGER note_age ON ironclaw.workspace_entries;
CREATE TRIGGER note_seen AFTER INSERT ON ironclaw.entry_versions FOR EACH ROW
    WHEN (NEW.state = 1) EXECUTE FUNCTION ironclaw.note_earlier();
CREATE TRIGGER note_earlier AFTER UPDATE OF state, updated_at ON ironclaw.entry_versions FOR EACH ROW
    WHEN (NEW.state = 1 AND (OLD.state <> 1 OR NEW.updated_at < OLD.updated_at)) EXECUTE FUNCTION ironclaw.note_earlier();
CREATE OR REPLACE FUNCTION ironclaw.note_age() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_TABLE_NAME = 'conversations' THEN
        UPDATE ironclaw.users u SET conversations_since = n.since
            FROM (SELECT f.owner_no, min(f.updated_at) AS since FROM fresh f GROUP BY f.owner_no) n
            WHERE u.owner_no = n.owner_no AND (u.conversations_since IS NULL OR u.conversations_since > n.since);
    ELSE
        UPDATE ironclaw.users u SET jobs_since = n.since
            FROM (SELECT f.owner_no, min(f.updated_at) AS since FROM fresh f GROUP BY f.owner_no) n
            WHERE u.owner_no = n.owner_no AND (u.jobs_since IS NULL OR u.jobs_since > n.since);
    END IF;
    RETURN NULL;
END
$$;

-- As an operator: row-level security binds the owner too.
SELECT pg_catalog.set_config('ironclaw.maintenance', 'on', true);
UPDATE ironclaw.users u SET
    conversations_since = (SELECT min(c.updated_at) FROM ironclaw.conversations c WHERE c.owner_no = u.owner_no),
    jobs_since = (SELECT min(j.updated_at) FROM ironclaw.jobs j WHERE j.owner_no = u.owner_no),
    files_since = (SELECT min(v.updated_at) FROM ironclaw.entry_versions v WHERE v.owner_no = u.owner_no AND v.state = 1)
    WHERE EXISTS (SELECT FROM ironclaw.conversations c
            WHERE c.owner_no = u.owner_no AND (c.updated_at >= u.conversations_since) IS NOT TRUE)
        OR EXISTS (SELECT FROM ironclaw.jobs j WHERE j.owner_no = u.owner_no AND (j.updated_at >= u.jobs_since) IS NOT TRUE)
        OR EXISTS (SELECT FROM ironclaw.entry_versions v
            WHERE v.owner_no = u.owner_no AND v.state = 1 AND (v.updated_at >= u.files_since) IS NOT TRUE);
SELECT pg_catalog.set_config('ironclaw.maintenance', '', true);
