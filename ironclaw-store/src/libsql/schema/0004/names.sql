-- The same columns have the same names in every table and on both engines.
ALTER TABLE approvals RENAME COLUMN format TO content_format;
ALTER TABLE approvals RENAME COLUMN key_id TO content_key;
ALTER TABLE entry_versions RENAME COLUMN format TO content_format;
ALTER TABLE entry_versions RENAME COLUMN key_id TO content_key;
ALTER TABLE entry_parts RENAME COLUMN format TO content_format;
ALTER TABLE entry_parts RENAME COLUMN key_id TO content_key;
ALTER TABLE memory_chunks RENAME COLUMN format TO content_format;
ALTER TABLE memory_chunks RENAME COLUMN key_id TO content_key;

-- What is being removed is gone for readers: nothing names a user who is erased.
CREATE VIEW visible_audit_private AS SELECT * FROM audit_private p
    WHERE NOT EXISTS (SELECT 1 FROM removals r WHERE r.owner_no = p.about AND r.kind = 2);
