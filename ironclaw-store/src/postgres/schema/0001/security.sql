-- Who may do what. Whatever is not granted here is refused; what is granted, row-level security limits to the scope.

REVOKE ALL ON ALL TABLES IN SCHEMA ironclaw FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ironclaw FROM PUBLIC;
-- Nor are functions of later migrations everybody's.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
GRANT USAGE ON SCHEMA ironclaw TO ironclaw_app, ironclaw_auditor;

GRANT EXECUTE ON FUNCTION ironclaw.scope_no(), ironclaw.enter(text, text, text), ironclaw.enter_to_write(text, text, text, text),
    ironclaw.append_audit(integer[], smallint[], bytea[], bytea[], bytea[]), ironclaw.forget_audit(integer[])
    TO ironclaw_app;

-- Which migrations ran, so that the application can tell whether it fits the schema.
GRANT SELECT ON ironclaw.migrations TO ironclaw_app;

-- What the application reads and writes in the scope of its user.
GRANT SELECT (owner_no, tenant, owner, status, created_at, updated_at) ON ironclaw.users TO ironclaw_app;
GRANT SELECT ON ironclaw.roles, ironclaw.user_roles, ironclaw.vault_header, ironclaw.root_key_wraps,
    ironclaw.audit_streams, ironclaw.audit_events, ironclaw.audit_private TO ironclaw_app;
GRANT SELECT, INSERT, DELETE ON ironclaw.receipts TO ironclaw_app;
GRANT SELECT, INSERT, DELETE, UPDATE (title, messages, version, updated_at) ON ironclaw.conversations TO ironclaw_app;
GRANT SELECT, INSERT, DELETE ON ironclaw.messages, ironclaw.message_terms TO ironclaw_app;
GRANT SELECT, INSERT, DELETE, UPDATE (documents, total_length) ON ironclaw.message_statistics TO ironclaw_app;
GRANT SELECT, INSERT, DELETE, UPDATE (state, worker, claimed_until, error, version, updated_at) ON ironclaw.jobs
    TO ironclaw_app;
GRANT SELECT, INSERT, DELETE ON ironclaw.job_events, ironclaw.llm_calls, ironclaw.sandbox_jobs TO ironclaw_app;
GRANT SELECT, INSERT, UPDATE (seals) ON ironclaw.data_keys TO ironclaw_app;
GRANT SELECT, INSERT, DELETE,
    UPDATE (provider, bindings, expires_at, current_version, updated_at, last_used_at, usage_count, version)
    ON ironclaw.secrets TO ironclaw_app;
GRANT SELECT, INSERT, DELETE ON ironclaw.secret_versions TO ironclaw_app;
GRANT SELECT, INSERT, UPDATE (last_number) ON ironclaw.secret_numbers TO ironclaw_app;
GRANT SELECT, INSERT, UPDATE (active, policy_epoch, updated_at) ON ironclaw.agents TO ironclaw_app;
GRANT SELECT, INSERT, UPDATE (valid_until) ON ironclaw.policies TO ironclaw_app;
GRANT SELECT, INSERT, UPDATE (revoked_at) ON ironclaw.tokens, ironclaw.api_keys, ironclaw.tool_grants TO ironclaw_app;
GRANT SELECT, INSERT, UPDATE (uses_left, revoked_at) ON ironclaw.leases TO ironclaw_app;
GRANT SELECT, INSERT, UPDATE (state, decided_at) ON ironclaw.approvals TO ironclaw_app;
GRANT SELECT, INSERT, DELETE, UPDATE (value, version, updated_at) ON ironclaw.settings TO ironclaw_app;
GRANT SELECT, UPDATE (used) ON ironclaw.quotas TO ironclaw_app;
GRANT SELECT, INSERT, DELETE, UPDATE (chunks) ON ironclaw.embedding_models TO ironclaw_app;
GRANT SELECT, INSERT, UPDATE (documents, total_length) ON ironclaw.workspace_statistics TO ironclaw_app;
GRANT SELECT, INSERT, DELETE, UPDATE (state, size, content_hash, chunks, terms, updated_at) ON ironclaw.entry_versions
    TO ironclaw_app;
GRANT SELECT, INSERT, DELETE, UPDATE (version_no) ON ironclaw.workspace_entries TO ironclaw_app;
GRANT SELECT, INSERT, DELETE ON ironclaw.entry_parts, ironclaw.memory_chunks, ironclaw.chunk_vectors,
    ironclaw.chunk_terms TO ironclaw_app;

-- What an auditor reads: the log without its private parts, and what proves it.
GRANT SELECT ON ironclaw.audit_streams, ironclaw.audit_events, ironclaw.audit_checkpoints, ironclaw.erasures
    TO ironclaw_auditor;

-- Rows of a user: seen and written only in the scope of that user. The owner's role, which the functions above run as,
-- is bound too; an operator's transaction says that it is one.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'user_roles', 'receipts', 'conversations', 'messages', 'message_terms', 'message_statistics', 'jobs',
        'job_events', 'llm_calls', 'sandbox_jobs', 'data_keys', 'secrets', 'secret_versions', 'secret_numbers',
        'agents', 'policies', 'tokens', 'api_keys', 'leases', 'approvals', 'tool_grants', 'settings', 'quotas',
        'embedding_models', 'workspace_statistics', 'entry_versions', 'workspace_entries', 'entry_parts',
        'memory_chunks', 'chunk_vectors', 'chunk_terms', 'holds', 'audit_streams', 'audit_events', 'audit_private',
        'audit_pseudonyms'
    ] LOOP
        EXECUTE pg_catalog.format('ALTER TABLE ironclaw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE pg_catalog.format('ALTER TABLE ironclaw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE pg_catalog.format('CREATE POLICY scope_select ON ironclaw.%I FOR SELECT TO ironclaw_app
            USING (owner_no = ironclaw.scope_no())', name);
        EXECUTE pg_catalog.format('CREATE POLICY scope_insert ON ironclaw.%I FOR INSERT TO ironclaw_app
            WITH CHECK (owner_no = ironclaw.scope_no())', name);
        EXECUTE pg_catalog.format('CREATE POLICY scope_update ON ironclaw.%I FOR UPDATE TO ironclaw_app
            USING (owner_no = ironclaw.scope_no()) WITH CHECK (owner_no = ironclaw.scope_no())', name);
        EXECUTE pg_catalog.format('CREATE POLICY scope_delete ON ironclaw.%I FOR DELETE TO ironclaw_app
            USING (owner_no = ironclaw.scope_no())', name);
        EXECUTE pg_catalog.format('CREATE POLICY owner_all ON ironclaw.%I TO ironclaw_owner
            USING (owner_no = ironclaw.scope_no() OR ironclaw.is_maintenance())
            WITH CHECK (owner_no = ironclaw.scope_no() OR ironclaw.is_maintenance())', name);
    END LOOP;

    -- The row of the user is found by name, before its number is known.
    ALTER TABLE ironclaw.users ENABLE ROW LEVEL SECURITY;
    ALTER TABLE ironclaw.users FORCE ROW LEVEL SECURITY;
    CREATE POLICY scope_select ON ironclaw.users FOR SELECT TO ironclaw_app
        USING (tenant = current_setting('ironclaw.tenant', true) AND owner = current_setting('ironclaw.owner', true));
    CREATE POLICY owner_all ON ironclaw.users TO ironclaw_owner
        USING (tenant = current_setting('ironclaw.tenant', true) AND owner = current_setting('ironclaw.owner', true)
            OR ironclaw.is_maintenance())
        WITH CHECK (tenant = current_setting('ironclaw.tenant', true)
            AND owner = current_setting('ironclaw.owner', true) OR ironclaw.is_maintenance());

    -- Rows of a tenant.
    FOREACH name IN ARRAY ARRAY['roles', 'vault_header', 'root_key_wraps', 'retention_policies'] LOOP
        EXECUTE pg_catalog.format('ALTER TABLE ironclaw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE pg_catalog.format('ALTER TABLE ironclaw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE pg_catalog.format('CREATE POLICY scope_select ON ironclaw.%I FOR SELECT TO ironclaw_app
            USING (tenant = current_setting(''ironclaw.tenant'', true))', name);
        EXECUTE pg_catalog.format('CREATE POLICY owner_all ON ironclaw.%I TO ironclaw_owner
            USING (ironclaw.is_maintenance()) WITH CHECK (ironclaw.is_maintenance())', name);
    END LOOP;

    FOREACH name IN ARRAY ARRAY['audit_streams', 'audit_events'] LOOP
        EXECUTE pg_catalog.format('CREATE POLICY auditor_select ON ironclaw.%I FOR SELECT TO ironclaw_auditor USING (true)', name);
    END LOOP;
END
$$;
