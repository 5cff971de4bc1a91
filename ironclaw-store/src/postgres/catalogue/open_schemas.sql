-- What others than the store's owner may do with the schemas that the store uses, and who may make itself that owner, in
-- words, and what to do about it.
WITH trusted AS (
    -- Who was given the role, rather than who may only give it.
    SELECT r.oid FROM pg_roles r WHERE r.rolsuper OR pg_has_role(r.oid, 'ironclaw_owner', 'USAGE, SET')
), heirs AS (
    -- Who makes a role may give it to itself: the owner's, and an operator's as well.
    SELECT m.roleid, m.member, m.grantor FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
    WHERE m.admin_option AND NOT r.rolsuper AND pg_has_role(r.oid, 'ironclaw_owner', 'MEMBER')
        AND m.member NOT IN (SELECT t.oid FROM trusted t)
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
), owned AS (
    -- What the server's first superuser owns, who is always one, has no entry.
    SELECT o.classid, o.objid, o.refobjid AS owner FROM pg_shdepend o
    WHERE o.deptype = 'o' AND o.refclassid = 'pg_authid'::regclass AND o.refobjid NOT IN (SELECT t.oid FROM trusted t)
        AND o.dbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
), planted AS (
    SELECT o.* FROM owned o JOIN pg_depend d ON d.classid = o.classid AND d.objid = o.objid
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = to_regnamespace('ironclaw')::oid
    -- Nothing is noted as dependent on the server's own schema.
    UNION SELECT o.* FROM owned o
    LEFT JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
    LEFT JOIN pg_operator q ON o.classid = 'pg_operator'::regclass AND q.oid = o.objid
    LEFT JOIN pg_type y ON o.classid = 'pg_type'::regclass AND y.oid = o.objid
    LEFT JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
    WHERE coalesce(p.pronamespace, q.oprnamespace, y.typnamespace, c.relnamespace) = 'pg_catalog'::regnamespace
), members AS (
    SELECT o.* FROM owned o JOIN pg_depend d ON d.classid = o.classid AND d.objid = o.objid AND d.deptype = 'e'
    JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid WHERE e.extname = 'vector'
    UNION SELECT o.* FROM owned o JOIN pg_extension e ON e.oid = o.objid AND o.classid = 'pg_extension'::regclass
    WHERE e.extname = 'vector'
)
SELECT format('the schema ironclaw belongs to %I, who may change what is in it: if a dump was restored with --no-owner, drop '
    'the database and restore it without; if it is the store''s otherwise, run ALTER SCHEMA ironclaw OWNER TO ironclaw_owner, '
    'and drop what is not the store''s; if it is not, use another database', pg_get_userbyid(s.nspowner))
FROM schemas s WHERE s.nspname = 'ironclaw' AND pg_get_userbyid(s.nspowner) <> 'ironclaw_owner'
UNION ALL
SELECT format('%s may make functions in the schema %I, which would run with your rights: REVOKE CREATE ON SCHEMA %I '
    'FROM %s, and drop what was made in it', c.who, c.nspname, c.nspname, c.who)
FROM creators c
WHERE c.nspname = 'ironclaw' AND c.who <> 'ironclaw_owner'
    OR c.nspname = 'pg_catalog' AND c.grantee NOT IN (SELECT t.oid FROM trusted t)
    -- The extension's script, which a superuser may run, is still to come.
    OR c.nspname = 'public' AND NOT EXISTS (SELECT FROM extension) AND c.grantee NOT IN (SELECT t.oid FROM trusted t)
UNION ALL
SELECT format('%I owns the schema %I, which is pgvector''s, and may put another in its place: run ALTER SCHEMA %I OWNER '
    'TO ironclaw_owner, let the database belong to another if it has the schema by that, or, if it is an operator, GRANT '
    'ironclaw_owner TO %I', pg_get_userbyid(s.owner), s.nspname, s.nspname,
    pg_get_userbyid(s.owner))
FROM schemas s
WHERE s.oid = coalesce((SELECT e.oid FROM extension e), to_regnamespace('public')::oid)
    AND s.owner NOT IN (SELECT t.oid FROM trusted t)
UNION ALL
SELECT format('%I is the owner of %s, and it would run with your rights: drop it, or, if it is the store''s as it was made, '
    'let it belong to ironclaw_owner', pg_get_userbyid(p.owner), i.identity)
FROM planted p CROSS JOIN LATERAL pg_identify_object(p.classid, p.objid, 0) i
UNION ALL
SELECT format('%s of pgvector belongs to %I, who may change it or drop it: let a superuser own all that is pgvector''s '
    '(REASSIGN OWNED), or GRANT ironclaw_owner TO %I', min(pg_describe_object(m.classid, m.objid, 0)),
    pg_get_userbyid(m.owner), pg_get_userbyid(m.owner))
FROM members m GROUP BY m.owner
UNION ALL
SELECT format('%I may take the owner''s rights, as it has the ADMIN OPTION on %I: REVOKE %I FROM %I GRANTED BY %I, or, if it '
    'is to be an operator, GRANT ironclaw_owner TO %I WITH SET TRUE, INHERIT TRUE', pg_get_userbyid(h.member),
    pg_get_userbyid(h.roleid), pg_get_userbyid(h.roleid), pg_get_userbyid(h.member), pg_get_userbyid(h.grantor),
    pg_get_userbyid(h.member))
FROM heirs h
