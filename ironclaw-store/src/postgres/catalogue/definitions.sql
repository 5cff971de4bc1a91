-- Everything that the store's schema consists of, but for what was granted: what it is, and how it is defined. The path
-- must hold the system's catalogue alone, so that what is elsewhere is described with its schema.
--
-- What names pgvector's schema, which may be any, is described without it. The indexes of embedding models are left out
-- if they are such as `index_vectors` makes.
WITH pgvector AS (
    SELECT coalesce((SELECT quote_ident(n.nspname::text) || '.' FROM pg_extension e
        JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'), '') AS prefix
), named AS (
    -- The schema where it stands before a name of pgvector's: another's type there may have the name of any.
    SELECT '(^|[^[:alnum:]_"])' || regexp_replace(v.prefix, '([^[:alnum:]_])', '\\\1', 'g')
        || '(?=(vector|halfvec|sparsevec)(_[a-z0-9]+_ops)?([^[:alnum:]_]|$))' AS pattern
    FROM pgvector v WHERE v.prefix <> ''
), relations AS (
    SELECT c.relname::text AS name, c.* FROM pg_class c WHERE c.relnamespace = 'ironclaw'::regnamespace
), own AS (
    SELECT r.oid FROM pg_roles r WHERE r.rolname IN ('ironclaw_owner', 'ironclaw_app', 'ironclaw_auditor')
)
SELECT 'schema ironclaw' AS object, format('owner %s', pg_get_userbyid(n.nspowner)) AS definition
FROM pg_namespace n WHERE n.nspname = 'ironclaw'
UNION ALL
SELECT format('%s %s', CASE c.relkind::text WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' ELSE 'relation' END, c.name),
    concat_ws(', ', 'owner ' || pg_get_userbyid(c.relowner), 'kind ' || c.relkind::text, 'persistence ' || c.relpersistence::text,
        CASE WHEN c.relrowsecurity THEN 'row security' END, CASE WHEN c.relforcerowsecurity THEN 'forced' END,
        CASE WHEN EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)) THEN 'inherits' END,
        s.seqtypid::regtype || ' from ' || s.seqmin || ' to ' || s.seqmax || ' by ' || s.seqincrement,
        CASE WHEN s.seqcycle THEN 'again and again' END)
FROM relations c LEFT JOIN pg_sequence s ON s.seqrelid = c.oid WHERE c.relkind NOT IN ('i', 'I', 't')
UNION ALL
SELECT format('column %s.%s', c.name, a.attname),
    concat_ws(' ', coalesce(regexp_replace(format_type(a.atttypid, a.atttypmod), v.pattern, '\1', 'g'),
            format_type(a.atttypid, a.atttypmod)),
        CASE WHEN a.attcollation <> t.typcollation THEN format('collate %s', a.attcollation::regcollation) END,
        CASE WHEN a.attnotnull THEN 'not null' END, 'identity ' || nullif(a.attidentity::text, ''),
        'generated ' || nullif(a.attgenerated::text, ''), 'default ' || pg_get_expr(d.adbin, d.adrelid))
FROM relations c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN named v ON true
WHERE c.relkind NOT IN ('i', 'I', 't', 'S')
UNION ALL
-- Newer servers have a constraint for each column that is not null, which the column says already.
SELECT format('constraint %s.%s', c.name, k.conname), pg_get_constraintdef(k.oid)
FROM pg_constraint k LEFT JOIN relations c ON c.oid = k.conrelid
WHERE k.connamespace = 'ironclaw'::regnamespace AND k.contype <> 'n'
UNION ALL
SELECT format('index %s', c.name), concat_ws(', ', i.definition, CASE WHEN NOT x.indisvalid THEN 'not valid' END,
    CASE WHEN NOT x.indisready THEN 'not kept up to date' END)
FROM relations c JOIN pg_index x ON x.indexrelid = c.oid LEFT JOIN named v ON true
JOIN pg_am m ON m.oid = c.relam
-- Storage parameters are for tuning, but for those that an index of vectors is made with.
LEFT JOIN LATERAL (SELECT format(' WITH (%s)', string_agg(format('%s=%s', quote_ident(o.option_name),
        CASE quote_ident(o.option_value) WHEN o.option_value THEN o.option_value ELSE quote_literal(o.option_value) END),
        ', ' ORDER BY o.ordinality)) AS text
    FROM pg_options_to_table(c.reloptions) WITH ORDINALITY o HAVING count(*) > 0) t ON m.amname <> 'hnsw'
CROSS JOIN LATERAL (SELECT replace(pg_get_indexdef(c.oid), coalesce(t.text, ''), '') AS whole) d
CROSS JOIN LATERAL (SELECT coalesce(regexp_replace(d.whole, v.pattern, '\1', 'g'), d.whole) AS definition) i
WHERE NOT (i.definition ~ ('^CREATE INDEX chunk_vectors_[0-9]+_[0-9a-f]{16} ON ironclaw\.chunk_vectors '
    'USING hnsw \(\(\(embedding\)::halfvec\([0-9]+\)\) halfvec_cosine_ops\) WITH \(m=''16'', ef_construction=''128''\) '
    'WHERE \(\(owner_no = \(?''?[0-9]+''?\)?(::bigint)?\) AND \(model_key = \(?''?-?[0-9]+''?\)?(::(bigint|integer))?\)\)$')
    -- Unless it was left unfinished, which is so if nobody has the lock of who makes it.
    AND (x.indisvalid OR EXISTS (SELECT FROM pg_locks l WHERE l.relation = x.indrelid
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        AND l.mode = 'ShareUpdateExclusiveLock')))
UNION ALL
SELECT format('policy %s.%s', c.name, p.polname),
    concat_ws(' ', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, 'for ' || p.polcmd::text, 'to ' || (
        SELECT string_agg(r.name, ', ' ORDER BY r.name COLLATE "C") FROM (
            SELECT CASE role WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(role)::text END AS name
            FROM unnest(p.polroles) role) r),
        'using ' || regexp_replace(pg_get_expr(p.polqual, p.polrelid), '\s+', ' ', 'g'),
        'with check ' || regexp_replace(pg_get_expr(p.polwithcheck, p.polrelid), '\s+', ' ', 'g'))
FROM pg_policy p JOIN relations c ON c.oid = p.polrelid
UNION ALL
SELECT format('function %s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
    concat_ws(', ', 'owner ' || pg_get_userbyid(p.proowner), 'kind ' || p.prokind::text, l.lanname,
        'arguments ' || pg_get_function_arguments(p.oid), 'returns ' || pg_get_function_result(p.oid),
        'volatility ' || p.provolatile::text, 'parallel ' || p.proparallel::text,
        CASE WHEN p.prosecdef THEN 'security definer' END, CASE WHEN p.proleakproof THEN 'leakproof' END,
        CASE WHEN p.proisstrict THEN 'strict' END, 'set ' || array_to_string(p.proconfig, '; '),
        coalesce(regexp_replace(pg_get_function_sqlbody(p.oid), '\s+', ' ', 'g'),
            'body ' || encode(sha256(convert_to(concat_ws(' ', p.probin, p.prosrc), 'UTF8')), 'hex')))
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = 'ironclaw'::regnamespace
UNION ALL
-- None is the schema's but those that keep references, which must not be switched off.
SELECT format('trigger %s.%s', c.name, t.tgname), concat_ws(', ', CASE t.tgenabled WHEN 'D' THEN 'switched off'
    WHEN 'R' THEN 'for replicas alone' WHEN 'A' THEN 'always on' END, pg_get_triggerdef(t.oid))
FROM pg_trigger t JOIN relations c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal OR t.tgenabled <> 'O'
UNION ALL
SELECT format('rule %s.%s', c.name, r.rulename), pg_get_ruledef(r.oid)
FROM pg_rewrite r JOIN relations c ON c.oid = r.ev_class
UNION ALL
SELECT format('default privilege %s on %s of %s to %s%s', a.privilege_type, d.defaclobjtype::text,
    pg_get_userbyid(d.defaclrole), CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END,
    ' in schema ' || nullif(d.defaclnamespace, 0)::regnamespace::text), ''
FROM pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) a
WHERE a.grantee <> d.defaclrole
    AND (d.defaclrole IN (SELECT o.oid FROM own o) OR d.defaclnamespace = 'ironclaw'::regnamespace)
UNION ALL
-- Operators, types, and whatever else stands in a schema.
SELECT format('%s %s', i.type, i.identity), ''
FROM pg_depend d CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'ironclaw'::regnamespace
    AND d.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_default_acl'::regclass)
UNION ALL
SELECT format('role %s', r.rolname), concat_ws(', ', CASE WHEN r.rolsuper THEN 'superuser' END,
    CASE WHEN r.rolbypassrls THEN 'bypassrls' END, CASE WHEN r.rolreplication THEN 'replication' END,
    CASE WHEN r.rolcreaterole THEN 'createrole' END, CASE WHEN r.rolcanlogin THEN 'login' END)
FROM pg_roles r JOIN own o ON o.oid = r.oid
UNION ALL
SELECT format('membership of %s in %s', pg_get_userbyid(m.member), pg_get_userbyid(m.roleid)), ''
FROM pg_auth_members m JOIN own o ON o.oid = m.member
