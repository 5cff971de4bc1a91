-- What roles may do that the application must not, in words, the worst first, and what kind of thing it is. $1 is the
-- roles' names. What everybody may do is told whoever they are.
WITH holders AS (
    -- Whoever is a member takes the rights at will, or gives them to itself.
    SELECT a.oid, quote_ident(a.rolname) AS name,
        array_agg(quote_ident(c.rolname) ORDER BY c.rolname) FILTER (WHERE c.oid <> a.oid) AS others
    FROM pg_roles c JOIN pg_roles a ON pg_has_role(c.oid, a.oid, 'MEMBER') WHERE c.rolname = ANY ($1)
    GROUP BY a.oid, a.rolname
    UNION ALL SELECT 0, 'everybody', NULL
), owned AS (
    SELECT o.classid, o.objid, o.refobjid AS owner FROM pg_shdepend o
    WHERE o.refclassid = 'pg_authid'::regclass AND o.deptype = 'o' AND o.refobjid IN (SELECT h.oid FROM holders h)
        -- Of that role it is said at once.
        AND o.refobjid <> 'ironclaw_owner'::regrole
        AND o.dbid IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
), ours AS (
    -- Whatever stands in the schema or is over something in it, such as statistics, and what no schema bounds.
    SELECT o.* FROM owned o WHERE o.classid IN ('pg_publication'::regclass, 'pg_event_trigger'::regclass,
        'pg_foreign_server'::regclass, 'pg_foreign_data_wrapper'::regclass, 'pg_language'::regclass)
    UNION SELECT o.* FROM owned o JOIN pg_subscription s ON o.classid = 'pg_subscription'::regclass AND s.oid = o.objid
    WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    UNION SELECT o.* FROM owned o JOIN pg_depend d ON d.classid = o.classid AND d.objid = o.objid
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'ironclaw'::regnamespace
        OR d.refclassid = 'pg_class'::regclass
        AND d.refobjid IN (SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'ironclaw'::regnamespace)
), guarded AS (
    -- What the server, or an extension, was made with, and what was made of it. A function is in the list of the former
    -- if it is not everybody's; so is each table of the server's. The tables that keep what is long in others are nobody's,
    -- and have no policies.
    SELECT i.classoid, i.objoid, 0 AS subid, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl, i.initprivs AS made
    FROM pg_proc p JOIN pg_init_privs i ON i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid
    UNION ALL SELECT 'pg_class'::regclass, c.oid, 0, c.relacl, i.initprivs FROM pg_class c
    LEFT JOIN pg_init_privs i ON i.classoid = 'pg_class'::regclass AND i.objoid = c.oid AND i.objsubid = 0
    WHERE c.relnamespace IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
    -- Who has a table has its columns.
    UNION ALL SELECT 'pg_class'::regclass, c.oid, t.attnum, t.attacl,
        nullif(coalesce(i.initprivs, '{}') || coalesce(w.initprivs, '{}'), '{}')
    FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid AND t.attacl IS NOT NULL
    LEFT JOIN pg_init_privs i ON i.classoid = 'pg_class'::regclass AND i.objoid = c.oid AND i.objsubid = t.attnum
    LEFT JOIN pg_init_privs w ON w.classoid = 'pg_class'::regclass AND w.objoid = c.oid AND w.objsubid = 0
    WHERE c.relnamespace IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
    UNION ALL SELECT 'pg_namespace'::regclass, n.oid, 0, n.nspacl, i.initprivs FROM pg_namespace n
    LEFT JOIN pg_init_privs i ON i.classoid = 'pg_namespace'::regclass AND i.objoid = n.oid
    WHERE n.nspname = 'pg_toast'
), given AS (
    SELECT a.grantee, a.privilege_type, g.classoid, g.objoid, g.subid
    FROM guarded g CROSS JOIN LATERAL aclexplode(g.acl) a
    WHERE a.grantee IN (SELECT h.oid FROM holders h) AND NOT EXISTS (SELECT FROM aclexplode(g.made) m
        WHERE m.grantee IN (0, a.grantee) AND m.privilege_type = a.privilege_type)
), risks AS (
    SELECT r.oid AS holder, v.rank, 'attributes of roles' AS kind, 'is ' || v.what AS what
    FROM pg_roles r CROSS JOIN LATERAL (VALUES (r.rolsuper, 1, 'superuser'), (r.rolbypassrls, 2, 'BYPASSRLS'),
        (r.rolreplication, 3, 'REPLICATION'), (r.rolcreaterole, 4, 'CREATEROLE')) v (is_one, rank, what)
    WHERE v.is_one
    UNION ALL SELECT r.oid, 5, 'groups', CASE r.rolname WHEN 'ironclaw_owner' THEN 'is the owner''s role'
        ELSE 'is the auditors'' role' END FROM pg_roles r WHERE r.rolname IN ('ironclaw_owner', 'ironclaw_auditor')
    -- Those that only look at the server's state change nothing and see no row. What a later server brings is refused.
    UNION ALL SELECT r.oid, 6, 'the server''s own roles', 'is the server''s own role' FROM pg_roles r
    WHERE r.rolname LIKE 'pg\_%'
        AND r.rolname NOT IN ('pg_monitor', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables')
    UNION ALL SELECT o.owner, 7, 'ownership', 'is the owner of ' || pg_describe_object(o.classid, o.objid, 0) FROM ours o
    -- What the store needs is everybody's to set; the rest decides what holds for a session, or for the server.
    UNION ALL SELECT a.grantee, 8, 'parameters', format('may %s the parameter %s', a.privilege_type, p.parname)
    FROM pg_parameter_acl p CROSS JOIN LATERAL aclexplode(p.paracl) a
    UNION ALL SELECT g.grantee, 9, 'rights that the server keeps from everybody',
        'has ' || g.privilege_type || ' on ' || pg_describe_object(g.classoid, g.objoid, g.subid) FROM given g
    UNION ALL SELECT m.member, 10, 'rights to give on',
        format('may give the rights of %I to others', pg_get_userbyid(m.roleid))
    FROM pg_auth_members m WHERE m.admin_option AND pg_has_role(m.roleid, 'ironclaw_app', 'MEMBER')
)
SELECT r.kind, concat(h.name || ' ' || r.what, ', and ' || array_to_string(h.others[:3], ', ')
    || CASE WHEN cardinality(h.others) > 3 THEN format(' and %s others', cardinality(h.others) - 3) ELSE '' END
    || ' can be ' || h.name)
-- What was dropped meanwhile has no description.
FROM risks r JOIN holders h ON h.oid = r.holder AND r.what IS NOT NULL
GROUP BY r.rank, r.kind, r.what, h.name, h.others
ORDER BY r.rank, h.others IS NOT NULL, h.name, r.what
