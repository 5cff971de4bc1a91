-- A path has up to 4,096 bytes, and an index takes no row of more than 2,704. So a file is found by the SHA-256 of its path,
-- and listed in the order of the first 600 characters, which have 2,400 bytes at most; the few that have these in common are
-- sorted. Every other text in a key is a name of at most 256 bytes or a term of at most 64. The columns are the server's
-- own: row-level security lets an index compare a column, but not what a function makes of one.
ALTER TABLE ironclaw.workspace_entries
    ADD COLUMN path_hash bytea NOT NULL GENERATED ALWAYS AS
        (pg_catalog.sha256(pg_catalog.decode(pg_catalog.replace(path, '\', '\\'), 'escape'))) STORED,
    ADD COLUMN path_start text COLLATE "C" NOT NULL GENERATED ALWAYS AS (pg_catalog."left"(path, 600)) STORED;
ALTER TABLE ironclaw.workspace_entries
    DROP CONSTRAINT workspace_entries_pkey,
    ADD PRIMARY KEY (owner_no, path_hash);
CREATE INDEX workspace_entries_by_path ON ironclaw.workspace_entries (owner_no, path_start);
