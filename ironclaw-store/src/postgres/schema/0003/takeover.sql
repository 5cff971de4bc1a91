-- Nor are functions of this migration everybody's where a restored dump of the schema lost the setting, which is not of it.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- The application has a policy for no verb that it has no right to: a right that somebody grants by mistake, or that comes
-- with a role of the server's own, opens nothing.
DO $$
DECLARE
    policy text;
    name text;
BEGIN
    FOR policy, name IN SELECT p.policy, unnest(p.names) FROM (VALUES
        ('scope_select', ARRAY['holds', 'retention_policies', 'audit_pseudonyms']),
        ('scope_insert', ARRAY['user_roles', 'quotas', 'holds', 'audit_streams', 'audit_events', 'audit_private',
            'audit_pseudonyms']),
        ('scope_update', ARRAY['user_roles', 'receipts', 'messages', 'message_terms', 'job_events', 'llm_calls',
            'sandbox_jobs', 'secret_versions', 'entry_parts', 'memory_chunks', 'chunk_vectors', 'chunk_terms', 'holds',
            'audit_streams', 'audit_events', 'audit_private', 'audit_pseudonyms']),
        ('scope_delete', ARRAY['user_roles', 'data_keys', 'secret_numbers', 'agents', 'policies', 'tokens', 'api_keys',
            'tool_grants', 'leases', 'approvals', 'quotas', 'workspace_statistics', 'holds', 'audit_streams',
            'audit_events', 'audit_private', 'audit_pseudonyms'])
    ) p (policy, names) LOOP
        EXECUTE format('DROP POLICY %I ON ironclaw.%I', policy, name);
    END LOOP;
    -- What proves the trail, and who was erased, belong to no user: operators write them, auditors read them.
    FOREACH name IN ARRAY ARRAY['audit_checkpoints', 'erasures'] LOOP
        EXECUTE format('ALTER TABLE ironclaw.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE ironclaw.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY owner_all ON ironclaw.%I TO ironclaw_owner
            USING (ironclaw.is_maintenance()) WITH CHECK (ironclaw.is_maintenance())', name);
        EXECUTE format('CREATE POLICY auditor_select ON ironclaw.%I FOR SELECT TO ironclaw_auditor USING (true)', name);
    END LOOP;
END
$$;

-- Whether this is an address as the store writes and reads it (RFC 5952). The server writes the same, but an address of
-- version 6 whose first 96 bits are zero with its end as one of version 4, which the store writes in hexadecimal.
CREATE FUNCTION ironclaw.is_address(address text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN address ~ '^::[1-9a-f][0-9a-f]{0,3}:(0|[1-9a-f][0-9a-f]{0,3})$' THEN true
        WHEN address ~ '^::[0-9]+[.]' OR NOT pg_input_is_valid(address, 'inet') THEN false
        ELSE host(address::inet) = address
    END;
END
$$;

-- Whether this is a private part as the store reads it. What is not JSON in UTF-8 at all is an error.
CREATE OR REPLACE FUNCTION ironclaw.is_private(private bytea) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part json := convert_from(private, 'UTF8')::json;
    request json := part -> 'request';
BEGIN
    -- Escapes that stand for no character are JSON, but no JSONB.
    PERFORM part::jsonb;
    RETURN ARRAY(SELECT json_object_keys(part)) = '{details,request}'
        AND ARRAY(SELECT json_object_keys(request)) = '{id,ip,user_agent}'
        AND NOT EXISTS (SELECT FROM json_each(part -> 'details') WHERE json_typeof(value) <> 'string')
        AND NOT EXISTS (SELECT FROM json_each(request) WHERE json_typeof(value) NOT IN ('string', 'null'))
        AND (request ->> 'ip' IS NULL OR ironclaw.is_address(request ->> 'ip'));
END
$$;
