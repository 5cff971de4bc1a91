-- What was granted in the store's schema to others than its owner: the right, whether it may be given on, and to whom.
WITH relations AS (
    SELECT c.oid, c.relname::text AS name, c.relacl, c.relowner FROM pg_class c WHERE c.relnamespace = 'ironclaw'::regnamespace
    -- What is long stands in a table beside it, of another schema, that no policy protects.
    UNION ALL SELECT t.oid, format('the toast table of %s', c.relname), t.relacl, t.relowner
    FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.relnamespace = 'ironclaw'::regnamespace
)
SELECT format('grant %s on %s to %s', a.privilege_type, g.what, CASE a.grantee WHEN 0 THEN 'PUBLIC'
    ELSE pg_get_userbyid(a.grantee)::text END) AS object,
    CASE WHEN a.is_grantable THEN 'with grant option' ELSE '' END AS definition, a.grantee
FROM (
    SELECT 'schema ironclaw' AS what, n.nspacl AS acl, n.nspowner AS owner
    FROM pg_namespace n WHERE n.nspname = 'ironclaw'
    UNION ALL
    SELECT c.name, c.relacl, c.relowner FROM relations c
    UNION ALL
    SELECT format('%s.%s', c.name, t.attname), t.attacl, c.relowner FROM relations c
    JOIN pg_attribute t ON t.attrelid = c.oid WHERE NOT t.attisdropped
    UNION ALL
    SELECT format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
        coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
    FROM pg_proc p WHERE p.pronamespace = 'ironclaw'::regnamespace
    UNION ALL
    SELECT format('type %s', t.typname), t.typacl, t.typowner
    FROM pg_type t WHERE t.typnamespace = 'ironclaw'::regnamespace
) g CROSS JOIN LATERAL aclexplode(g.acl) a
WHERE pg_get_userbyid(a.grantee) <> 'ironclaw_owner'
