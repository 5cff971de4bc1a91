-- Who is a member of a space. A space is a row of users, whose owner is its name after U+0001. A membership that ended stays,
-- so that "who had access on that day" has an answer. Members are named: one may be invited before they ever wrote.
CREATE TABLE ironclaw.members (
    owner_no bigint NOT NULL REFERENCES ironclaw.users,
    id uuid NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    member text COLLATE "C" NOT NULL,
    role smallint NOT NULL CHECK (role BETWEEN 1 AND 3),
    valid_from timestamptz NOT NULL,
    valid_until timestamptz,
    PRIMARY KEY (owner_no, id)
);
CREATE UNIQUE INDEX members_in_force ON ironclaw.members (owner_no, member) WHERE valid_until IS NULL;
CREATE INDEX members_by_name ON ironclaw.members (tenant, member, id);

REVOKE ALL ON ironclaw.members FROM PUBLIC;
ALTER TABLE ironclaw.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE ironclaw.members FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE (valid_until) ON ironclaw.members TO ironclaw_app;
CREATE POLICY scope_select ON ironclaw.members FOR SELECT TO ironclaw_app USING (owner_no = ironclaw.scope_no());
CREATE POLICY scope_insert ON ironclaw.members FOR INSERT TO ironclaw_app WITH CHECK (owner_no = ironclaw.scope_no());
CREATE POLICY scope_update ON ironclaw.members FOR UPDATE TO ironclaw_app
    USING (owner_no = ironclaw.scope_no()) WITH CHECK (owner_no = ironclaw.scope_no());
CREATE POLICY owner_all ON ironclaw.members TO ironclaw_owner
    USING (owner_no = ironclaw.scope_no() OR ironclaw.is_maintenance())
    WITH CHECK (owner_no = ironclaw.scope_no() OR ironclaw.is_maintenance());

-- A user in their own place sees which spaces they are a member of, and those spaces' names.
CREATE POLICY member_select ON ironclaw.members FOR SELECT TO ironclaw_app, ironclaw_owner
    USING (tenant = current_setting('ironclaw.tenant', true) AND member = current_setting('ironclaw.owner', true));
CREATE POLICY member_select ON ironclaw.users FOR SELECT TO ironclaw_app, ironclaw_owner
    USING (tenant = current_setting('ironclaw.tenant', true) AND EXISTS (SELECT FROM ironclaw.members m
        WHERE m.owner_no = users.owner_no AND m.tenant = users.tenant
        AND m.member = current_setting('ironclaw.owner', true) AND m.valid_until IS NULL));

-- As `enter`, in a space: no row for whoever is no member of it, as if it were not there.
CREATE FUNCTION ironclaw.enter_space(tenant text, person text, space text, chain text) RETURNS TABLE (owner_no bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known bigint;
    key text := U&'\0001' || enter_space.space;
BEGIN
    -- As the person, who sees their memberships.
    PERFORM set_config('ironclaw.tenant', enter_space.tenant, true), set_config('ironclaw.owner', enter_space.person, true),
        set_config('ironclaw.chain', enter_space.chain, true), set_config('ironclaw.owner_no', '', true),
        set_config('ironclaw.role', '', true), set_config('ironclaw.person', '', true),
        set_config('ironclaw.person_no', '', true);
    SELECT u.owner_no INTO known FROM ironclaw.users u
        JOIN ironclaw.members m ON m.owner_no = u.owner_no AND m.tenant = u.tenant
        WHERE u.tenant = enter_space.tenant AND u.owner = key AND m.member = enter_space.person AND m.valid_until IS NULL;
    IF FOUND THEN
        PERFORM set_config('ironclaw.owner', key, true), set_config('ironclaw.owner_no', known::text, true);
        RETURN QUERY SELECT known;
    END IF;
END
$$;

-- As `enter_to_write`, in a space: `status` is the person's, and `role` what they are a member as; no row for whoever is
-- none. With `creating`, a space that is not there is made, and one that is there is given with what the person is in it,
-- if anything. The person is locked before the space, so that nobody waits in it for what one member does elsewhere: an
-- operator who suspends or erases them waits for this transaction.
CREATE FUNCTION ironclaw.enter_space_to_write(
    tenant text, person text, space text, chain text, patience text, creating boolean
) RETURNS TABLE (owner_no bigint, status smallint, held boolean, now timestamptz, role smallint, made boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known record;
    standing smallint;
    space_no bigint;
    fresh boolean := false;
    key text := U&'\0001' || enter_space_to_write.space;
    at timestamptz;
BEGIN
    IF octet_length(enter_space_to_write.space) NOT BETWEEN 1 AND 256
        OR octet_length(enter_space_to_write.tenant) NOT BETWEEN 1 AND 256
        OR octet_length(enter_space_to_write.person) NOT BETWEEN 1 AND 256
        OR enter_space_to_write.tenant || enter_space_to_write.person || enter_space_to_write.space
            ~ '[\u0001-\u001f\u007f-\u009f]'
    THEN
        RAISE invalid_parameter_value
            USING MESSAGE = 'tenant, person and space are 1 to 256 bytes without control characters';
    END IF;
    PERFORM set_config('lock_timeout', enter_space_to_write.patience, true),
        set_config('ironclaw.tenant', enter_space_to_write.tenant, true),
        set_config('ironclaw.owner', enter_space_to_write.person, true),
        set_config('ironclaw.chain', enter_space_to_write.chain, true), set_config('ironclaw.owner_no', '', true),
        set_config('ironclaw.role', '', true), set_config('ironclaw.person', '', true),
        set_config('ironclaw.person_no', '', true);
    -- Whoever is no member waits for nothing: how long it takes would tell that the space is there.
    IF NOT enter_space_to_write.creating AND NOT EXISTS (SELECT FROM ironclaw.users u
        JOIN ironclaw.members m ON m.owner_no = u.owner_no AND m.tenant = u.tenant
        WHERE u.tenant = enter_space_to_write.tenant AND u.owner = key AND m.member = enter_space_to_write.person
        AND m.valid_until IS NULL)
    THEN
        RETURN;
    END IF;
    LOOP
        SELECT u.owner_no, u.status INTO known FROM ironclaw.users u
            WHERE u.tenant = enter_space_to_write.tenant AND u.owner = enter_space_to_write.person FOR SHARE;
        EXIT WHEN FOUND;
        at := clock_timestamp();
        INSERT INTO ironclaw.users AS u (tenant, owner, status, pseudonym, created_at, updated_at)
            VALUES (enter_space_to_write.tenant, enter_space_to_write.person, 0, uuid_send(gen_random_uuid()), at, at)
            ON CONFLICT DO NOTHING RETURNING u.owner_no, u.status INTO known;
        IF FOUND THEN
            PERFORM set_config('ironclaw.owner_no', known.owner_no::text, true);
            INSERT INTO ironclaw.audit_streams (owner_no, stream, sequence, hash)
                VALUES (known.owner_no, uuid_send(gen_random_uuid()), 0, decode(repeat('00', 32), 'hex'));
            PERFORM set_config('ironclaw.owner_no', '', true);
            EXIT;
        END IF;
    END LOOP;
    PERFORM set_config('ironclaw.owner', key, true);
    LOOP
        SELECT u.owner_no INTO space_no FROM ironclaw.users u
            WHERE u.tenant = enter_space_to_write.tenant AND u.owner = key FOR NO KEY UPDATE;
        EXIT WHEN FOUND OR NOT enter_space_to_write.creating;
        at := clock_timestamp();
        INSERT INTO ironclaw.users AS u (tenant, owner, status, pseudonym, created_at, updated_at)
            VALUES (enter_space_to_write.tenant, key, 0, uuid_send(gen_random_uuid()), at, at)
            ON CONFLICT DO NOTHING RETURNING u.owner_no INTO space_no;
        fresh := FOUND;
        EXIT WHEN FOUND;
    END LOOP;
    PERFORM set_config('ironclaw.owner_no', coalesce(space_no::text, ''), true);
    IF fresh THEN
        INSERT INTO ironclaw.audit_streams (owner_no, stream, sequence, hash)
            VALUES (space_no, uuid_send(gen_random_uuid()), 0, decode(repeat('00', 32), 'hex'));
    END IF;
    SELECT m.role INTO standing FROM ironclaw.members m
        WHERE m.owner_no = space_no AND m.member = enter_space_to_write.person AND m.valid_until IS NULL;
    IF standing IS NULL AND NOT enter_space_to_write.creating THEN
        PERFORM set_config('ironclaw.owner_no', '', true);
        RETURN;
    END IF;
    -- As what the person writes here, until the end of the transaction, which may take them out of the space.
    PERFORM set_config('ironclaw.person_no', known.owner_no::text, true),
        set_config('ironclaw.person', enter_space_to_write.person, true),
        set_config('ironclaw.role', CASE WHEN fresh THEN '3' ELSE coalesce(standing::text, '') END, true);
    IF standing IS NULL AND NOT fresh THEN
        -- It is said that it is there, and no more.
        PERFORM set_config('ironclaw.owner_no', '', true);
    END IF;
    at := clock_timestamp();
    RETURN QUERY SELECT space_no, known.status,
        EXISTS (SELECT FROM ironclaw.holds h WHERE h.owner_no = space_no AND h.released_at IS NULL), at, standing, fresh;
END
$$;
REVOKE ALL ON FUNCTION ironclaw.enter_space(text, text, text, text),
    ironclaw.enter_space_to_write(text, text, text, text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ironclaw.enter_space(text, text, text, text),
    ironclaw.enter_space_to_write(text, text, text, text, text, boolean) TO ironclaw_app;

-- Appends events to the chain of the scope's user or space. Who acted is the scope's chain of principals, which begins with
-- the user, or with a member of the space, and never has an operator in it.
CREATE OR REPLACE FUNCTION ironclaw.append_audit(
    actions integer[], outcomes smallint[], subjects bytea[], salts bytea[], privates bytea[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    chain_no bigint := ironclaw.scope_no();
    chain json := nullif(current_setting('ironclaw.chain', true), '')::json;
    acting ironclaw.users%ROWTYPE;
    -- What is told in private of who acts in a space goes with them.
    about bigint;
    principals bytea := '\x';
    principal json;
BEGIN
    -- Locked, as a writer has it: nothing is appended while the user is being erased, nor after.
    SELECT * INTO acting FROM ironclaw.users u WHERE u.owner_no = chain_no FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE insufficient_privilege USING MESSAGE = 'the transaction has no scope';
    END IF;
    IF starts_with(acting.owner, U&'\0001') THEN
        about := nullif(current_setting('ironclaw.person_no', true), '')::bigint;
        IF (chain -> 0 ->> 0 = '1' AND about IS NOT NULL AND current_setting('ironclaw.role', true) IN ('1', '2', '3')
            AND chain -> 0 ->> 1 = current_setting('ironclaw.person', true)) IS NOT TRUE
        THEN
            RAISE insufficient_privilege USING MESSAGE = 'whoever acts is no member of the space of the scope';
        END IF;
    ELSIF chain -> 0 ->> 0 IS DISTINCT FROM '1' OR chain -> 0 ->> 1 IS DISTINCT FROM acting.owner THEN
        RAISE insufficient_privilege USING MESSAGE = 'whoever acts does not act for the user of the scope';
    END IF;
    FOR principal IN SELECT value FROM json_array_elements(chain) LOOP
        IF principal ->> 0 NOT IN ('1', '2', '3') THEN
            RAISE insufficient_privilege USING MESSAGE = 'only users, agents and tools act in a scope';
        END IF;
        principals := principals || set_byte('\x00'::bytea, 0, (principal ->> 0)::integer)
            || CASE WHEN principal ->> 0 = '1' AND principal ->> 1 = acting.owner THEN acting.pseudonym
                ELSE ironclaw.pseudonym(chain_no, (principal ->> 0)::smallint, principal ->> 1) END;
    END LOOP;
    PERFORM ironclaw.append_to_chain(chain_no, acting.pseudonym, principals, about,
        actions, outcomes, subjects, salts, privates);
END
$$;

-- Deletes the private parts of the events so far of the scope's user or space that are about these actions. How many.
CREATE OR REPLACE FUNCTION ironclaw.forget_audit(actions integer[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    chain jsonb := nullif(current_setting('ironclaw.chain', true), '')::jsonb;
    acting text;
    deleted bigint;
BEGIN
    -- A hold that was placed since an older snapshot would not be seen.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE active_sql_transaction USING MESSAGE = 'forgetting takes a transaction of isolation level READ COMMITTED';
    END IF;
    -- Locked, as a writer has it: no hold is placed meanwhile.
    SELECT u.owner INTO acting FROM ironclaw.users u WHERE u.owner_no = ironclaw.scope_no() FOR NO KEY UPDATE;
    IF starts_with(acting, U&'\0001') THEN
        IF (jsonb_array_length(chain) = 1 AND chain -> 0 ->> 0 = '1' AND current_setting('ironclaw.role', true) = '3'
            AND chain -> 0 ->> 1 = current_setting('ironclaw.person', true)) IS NOT TRUE
        THEN
            RAISE insufficient_privilege USING MESSAGE = 'only a manager of the space in person may forget';
        END IF;
    ELSIF jsonb_build_array(jsonb_build_array(1, acting)) IS DISTINCT FROM chain OR acting IS NULL THEN
        RAISE insufficient_privilege USING MESSAGE = 'only the user in person may forget';
    END IF;
    IF EXISTS (SELECT FROM ironclaw.holds h WHERE h.owner_no = ironclaw.scope_no() AND h.released_at IS NULL) THEN
        RAISE insufficient_privilege USING MESSAGE = 'a legal hold stands';
    END IF;
    DELETE FROM ironclaw.audit_private p USING ironclaw.audit_events e
        WHERE e.owner_no = ironclaw.scope_no() AND e.action = ANY (actions)
        -- Of what is forgotten only: conversations, workspace, jobs, and forgetting itself.
        AND (e.action BETWEEN 100 AND 399 OR e.action = 700)
        AND p.owner_no = e.owner_no AND p.sequence = e.sequence;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;

-- Whoever reads a trail reads who acted in it.
GRANT SELECT ON ironclaw.audit_pseudonyms TO ironclaw_app;
CREATE POLICY scope_select ON ironclaw.audit_pseudonyms FOR SELECT TO ironclaw_app USING (owner_no = ironclaw.scope_no());
