-- What others than the store's owner may do with the schemas that the store uses, in words, and what to do about it.
WITH trusted AS (
    SELECT r.oid FROM pg_roles r WHERE r.rolsuper OR pg_has_role(r.oid, 'ironclaw_owner', 'MEMBER')
), extension AS (
    SELECT e.extnamespace AS oid FROM pg_extension e WHERE e.extname = 'vector'
), schemas AS (
    -- Who owns the database owns what belongs to pg_database_owner.
    SELECT n.oid, n.nspname, n.nspacl, n.nspowner, CASE pg_get_userbyid(n.nspowner) WHEN 'pg_database_owner'
        THEN (SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()) ELSE n.nspowner END AS owner
    FROM pg_namespace n
), creators AS (
    SELECT s.nspname, a.grantee,
        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)::text) END AS who
    FROM schemas s CROSS JOIN LATERAL aclexplode(s.nspacl) a
    WHERE a.privilege_type = 'CREATE' AND a.grantee <> s.nspowner
)
SELECT format('the schema ironclaw belongs to %I, who may change what is in it: if it is the store''s, run ALTER SCHEMA '
    'ironclaw OWNER TO ironclaw_owner, otherwise use another database', pg_get_userbyid(s.nspowner))
FROM schemas s WHERE s.nspname = 'ironclaw' AND pg_get_userbyid(s.nspowner) <> 'ironclaw_owner'
UNION ALL
SELECT format('%s may make functions in the schema %I, which would run with your rights: REVOKE CREATE ON SCHEMA %I '
    'FROM %s, and drop what was made in it', c.who, c.nspname, c.nspname, c.who)
FROM creators c
WHERE c.nspname = 'ironclaw' AND c.who <> 'ironclaw_owner'
    -- The extension's script, which a superuser may run, is still to come.
    OR c.nspname = 'public' AND NOT EXISTS (SELECT FROM extension) AND c.grantee NOT IN (SELECT t.oid FROM trusted t)
UNION ALL
SELECT format('%I owns the schema %I, which is pgvector''s, and may put another in its place: run ALTER SCHEMA %I OWNER '
    'TO ironclaw_owner, or GRANT ironclaw_owner TO %I', pg_get_userbyid(s.owner), s.nspname, s.nspname,
    pg_get_userbyid(s.owner))
FROM schemas s
WHERE s.oid = coalesce((SELECT e.oid FROM extension e), to_regnamespace('public')::oid)
    AND s.owner NOT IN (SELECT t.oid FROM trusted t)
