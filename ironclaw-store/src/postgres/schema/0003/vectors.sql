-- An index over the vectors of all users gives what others' rows let it give: from now on each is over one user's, and
-- `index_vectors` makes it. Until then vectors are compared one by one.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
            JOIN pg_catalog.pg_am a ON a.oid = c.relam
            WHERE i.indrelid = 'ironclaw.chunk_vectors'::pg_catalog.regclass AND a.amname = 'hnsw'
    LOOP
        EXECUTE pg_catalog.format('DROP INDEX ironclaw.%I', name);
    END LOOP;
END
$$;
