-- What roles may do that the application must not, in words, the worst first. $1 is the roles' names.
WITH checked AS (
    SELECT r.oid, r.rolname FROM pg_roles r WHERE r.rolname = ANY ($1)
), may_be AS (
    -- Whoever is a member takes the rights at will, or gives them to itself.
    SELECT c.rolname AS who, a.* FROM checked c JOIN pg_roles a ON pg_has_role(c.oid, a.oid, 'MEMBER')
), risks AS (
    SELECT who, 1 AS rank, rolname, 'superuser' AS what FROM may_be WHERE rolsuper
    UNION ALL SELECT who, 2, rolname, 'BYPASSRLS' FROM may_be WHERE rolbypassrls
    UNION ALL SELECT who, 3, rolname, 'REPLICATION' FROM may_be WHERE rolreplication
    UNION ALL SELECT who, 4, rolname, 'CREATEROLE' FROM may_be WHERE rolcreaterole
    UNION ALL SELECT who, 5, rolname, 'the owner''s role' FROM may_be WHERE rolname = 'ironclaw_owner'
    UNION ALL SELECT who, 6, rolname, 'the auditors'' role' FROM may_be WHERE rolname = 'ironclaw_auditor'
    -- Those that only look at the server's state change nothing and see no row. What a later server brings is refused.
    UNION ALL SELECT who, 7, rolname, 'the server''s own role' FROM may_be WHERE rolname LIKE 'pg\_%'
        AND rolname NOT IN ('pg_monitor', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables')
    UNION ALL SELECT m.who, 8, m.rolname, 'the owner of ' || o.what FROM may_be m JOIN (
        SELECT c.relowner AS owner, 'ironclaw.' || c.relname AS what FROM pg_class c
        WHERE c.relnamespace = 'ironclaw'::regnamespace
        UNION ALL SELECT p.proowner, 'ironclaw.' || p.proname FROM pg_proc p
        WHERE p.pronamespace = 'ironclaw'::regnamespace
    ) o ON o.owner = m.oid
)
SELECT who::text, CASE WHEN who = rolname THEN format('%I is %s', who, what)
    ELSE format('%I can be %I: %s', who, rolname, what) END
FROM risks ORDER BY rank, who <> rolname, who, rolname, what
