-- What stands outside of the store's schema and yet has to do with it. No migration makes any: what it is, and what of the
-- schema it concerns.
--
-- What does nothing but with the rights of who uses it is left out: functions without SECURITY DEFINER, views with
-- security_invoker.
WITH RECURSIVE own AS (
    SELECT 'pg_class'::regclass AS classid, c.oid AS objid,
        CASE WHEN c.relkind NOT IN ('i', 'I') THEN c.relname::text END AS name
    FROM pg_class c WHERE c.relnamespace = 'ironclaw'::regnamespace
    UNION ALL SELECT 'pg_proc'::regclass, p.oid, p.proname::text
    FROM pg_proc p WHERE p.pronamespace = 'ironclaw'::regnamespace
    UNION ALL SELECT 'pg_type'::regclass, t.oid, t.typname::text
    FROM pg_type t WHERE t.typnamespace = 'ironclaw'::regnamespace
), parts AS (
    SELECT 'pg_rewrite'::regclass AS classid, w.oid AS objid, w.ev_class AS relation, w.rulename = '_RETURN' AS is_view
    FROM pg_rewrite w
    UNION ALL SELECT 'pg_constraint'::regclass, k.oid, k.conrelid, false FROM pg_constraint k WHERE k.conrelid <> 0
    UNION ALL SELECT 'pg_trigger'::regclass, t.oid, t.tgrelid, false FROM pg_trigger t
    UNION ALL SELECT 'pg_policy'::regclass, p.oid, p.polrelid, false FROM pg_policy p
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, d.adrelid, false FROM pg_attrdef d
), edges AS (
    -- What depends on what. A view is its rule.
    SELECT d.refclassid, d.refobjid, d.deptype, CASE WHEN p.is_view THEN 'pg_class'::regclass ELSE d.classid END AS classid,
        CASE WHEN p.is_view THEN p.relation ELSE d.objid END AS objid
    FROM pg_depend d LEFT JOIN parts p ON p.classid = d.classid AND p.objid = d.objid
    -- The schema's own, and what it has others do, is described with it.
    WHERE NOT EXISTS (SELECT FROM own w WHERE w.classid = d.classid AND w.objid = d.objid)
        AND NOT EXISTS (SELECT FROM own w WHERE w.classid = 'pg_class'::regclass AND w.objid = p.relation)
        AND NOT EXISTS (SELECT FROM pg_depend n WHERE n.classid = d.classid AND n.objid = d.objid
            AND n.refclassid = 'pg_namespace'::regclass AND n.refobjid = 'ironclaw'::regnamespace)
        -- Where a table of ours keeps what is long.
        AND NOT EXISTS (SELECT FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 't')
), dependents AS (
    SELECT e.classid, e.objid, o.name, true AS is_direct
    FROM edges e JOIN own o ON o.classid = e.refclassid AND o.objid = e.refobjid
    -- What reads a view, or calls a function, reads what that reads, with rights of its own where it has some.
    UNION SELECT e.classid, e.objid, d.name, false
    FROM dependents d JOIN edges e ON e.refclassid = d.classid AND e.refobjid = d.objid AND e.deptype = 'n'
    LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
    WHERE d.classid = 'pg_proc'::regclass OR c.relkind IN ('v', 'm')
), definers AS (
    -- The server knows only of some what they are about. Those of superusers are many, for much else; those of the groups'
    -- members lend whoever calls them the rights of the group.
    SELECT p.oid FROM pg_proc p WHERE p.prosecdef AND p.pronamespace <> 'ironclaw'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
        AND (p.prosrc ~* 'ironclaw' OR EXISTS (SELECT FROM pg_roles r
            JOIN pg_roles g ON g.rolname IN ('ironclaw_owner', 'ironclaw_app', 'ironclaw_auditor')
            WHERE r.oid = p.proowner AND NOT r.rolsuper AND pg_has_role(r.oid, g.oid, 'MEMBER')))
), found AS (
    SELECT d.classid, d.objid, 'of ' || string_agg(DISTINCT d.name, ', ' ORDER BY d.name) AS about
    FROM dependents d LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'v'
    WHERE p.prosecdef IS NOT false
        -- A view over one with security_invoker lends that no rights.
        AND (c.oid IS NULL OR d.is_direct AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o
            WHERE o.option_name = 'security_invoker' AND o.option_value::boolean))
    GROUP BY d.classid, d.objid
    UNION ALL SELECT 'pg_proc'::regclass, f.oid, 'with the rights of its owner' FROM definers f
    WHERE NOT EXISTS (SELECT FROM dependents d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid)
    UNION ALL SELECT 'pg_publication'::regclass, p.oid, 'of all tables' FROM pg_publication p WHERE p.puballtables
    -- Nothing is noted as dependent on what a subscription writes into.
    UNION ALL SELECT 'pg_subscription'::regclass, s.srsubid, 'writes into ' || string_agg(o.name, ', ' ORDER BY o.name)
    FROM pg_subscription_rel s JOIN own o ON o.classid = 'pg_class'::regclass AND o.objid = s.srrelid GROUP BY s.srsubid
    UNION ALL SELECT 'pg_event_trigger'::regclass, e.oid, 'run by whoever migrates' FROM pg_event_trigger e
    WHERE NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')
)
SELECT format('%s %s', i.type, i.identity) AS object, coalesce(f.about, '') AS definition
FROM found f CROSS JOIN LATERAL pg_identify_object(f.classid, f.objid, 0) i
-- What was dropped meanwhile has no name.
WHERE i.identity IS NOT NULL
UNION ALL
-- Whom the owner's role is not refused may do what it likes in any case; of who may take that, `open_schemas.sql` tells.
SELECT format('right of %I to give %I to others', pg_get_userbyid(m.member), r.rolname), 'granted by '
    || string_agg(quote_ident(pg_get_userbyid(m.grantor)), ', ' ORDER BY m.grantor)
FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid AND NOT r.rolsuper JOIN pg_roles t ON t.oid = m.member
WHERE m.admin_option AND NOT t.rolsuper AND NOT pg_has_role(t.oid, 'ironclaw_owner', 'USAGE, SET')
    AND NOT pg_has_role(r.oid, 'ironclaw_owner', 'MEMBER')
    AND (pg_has_role(r.oid, 'ironclaw_app', 'MEMBER') OR pg_has_role(r.oid, 'ironclaw_auditor', 'MEMBER'))
GROUP BY m.member, r.rolname
