-- Time may go back, where a clock ran ahead and was put right: what is written then is older than what was noted of its user.
CREATE TRIGGER conversations_note_earlier AFTER UPDATE OF updated_at ON conversations
WHEN new.updated_at < old.updated_at BEGIN
    UPDATE users SET conversations_since = new.updated_at
        WHERE (content_no = new.owner_no OR owner_no = new.owner_no AND content_no IS NULL)
        AND (conversations_since IS NULL OR conversations_since > new.updated_at);
END;
CREATE TRIGGER jobs_note_earlier AFTER UPDATE OF updated_at ON jobs WHEN new.updated_at < old.updated_at BEGIN
    UPDATE users SET jobs_since = new.updated_at
        WHERE (content_no = new.owner_no OR owner_no = new.owner_no AND content_no IS NULL)
        AND (jobs_since IS NULL OR jobs_since > new.updated_at);
END;

-- A file is as old as the version of it that is seen, not as its path.
DROP TRIGGER workspace_entries_note_age;
CREATE TRIGGER entry_versions_note_seen AFTER INSERT ON entry_versions WHEN new.state = 1 BEGIN
    UPDATE users SET files_since = new.updated_at
        WHERE (content_no = new.owner_no OR owner_no = new.owner_no AND content_no IS NULL)
        AND (files_since IS NULL OR files_since > new.updated_at);
END;
CREATE TRIGGER entry_versions_note_earlier AFTER UPDATE OF state, updated_at ON entry_versions
WHEN new.state = 1 AND (old.state <> 1 OR new.updated_at < old.updated_at) BEGIN
    UPDATE users SET files_since = new.updated_at
        WHERE (content_no = new.owner_no OR owner_no = new.owner_no AND content_no IS NULL)
        AND (files_since IS NULL OR files_since > new.updated_at);
END;

UPDATE users SET
    conversations_since = (SELECT min(c.updated_at) FROM conversations c WHERE c.owner_no = coalesce(content_no, users.owner_no)),
    jobs_since = (SELECT min(j.updated_at) FROM jobs j WHERE j.owner_no = coalesce(content_no, users.owner_no)),
    files_since = (SELECT min(v.updated_at) FROM entry_versions v
        WHERE v.owner_no = coalesce(content_no, users.owner_no) AND v.state = 1);
