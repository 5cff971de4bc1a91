-- The number of the user in whose scope the transaction runs; NULL, which equals nothing, if it has none. The system's,
-- 0, is nobody's scope.
CREATE FUNCTION ironclaw.scope_no() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(nullif(current_setting('ironclaw.owner_no', true), '')::bigint, 0);

-- Whether the transaction is an operator's. Only policies for the owner's role ask. Anybody may set the setting, and the
-- functions below have the owner's role: so it counts only for who connected as a member of that role.
CREATE FUNCTION ironclaw.is_maintenance() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(current_setting('ironclaw.maintenance', true), '') = 'on'
    AND pg_has_role(session_user, 'ironclaw_owner', 'MEMBER');

-- Sets the scope of the transaction and gives its user, or no row if nothing was ever written for them. `chain` is who
-- acts for whom, as JSON: a list of pairs of a kind's code and a name.
CREATE FUNCTION ironclaw.enter(tenant text, owner text, chain text)
RETURNS TABLE (owner_no bigint, status smallint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known record;
BEGIN
    PERFORM set_config('ironclaw.tenant', enter.tenant, true), set_config('ironclaw.owner', enter.owner, true),
        set_config('ironclaw.chain', enter.chain, true), set_config('ironclaw.owner_no', '', true);
    SELECT u.owner_no, u.status INTO known FROM ironclaw.users u
        WHERE u.tenant = enter.tenant AND u.owner = enter.owner;
    IF FOUND THEN
        PERFORM set_config('ironclaw.owner_no', known.owner_no::text, true);
        RETURN QUERY SELECT known.owner_no, known.status;
    END IF;
END
$$;

-- As `enter`, to write: the user is made known if they are not, and no other transaction writes for them until this
-- one ends; `patience` is how long to wait for that, as in the setting lock_timeout. `held` is whether a legal hold
-- stands on them, `now` the time that rows carry.
CREATE FUNCTION ironclaw.enter_to_write(tenant text, owner text, chain text, patience text)
RETURNS TABLE (owner_no bigint, status smallint, held boolean, now timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known record;
    at timestamptz;
BEGIN
    -- What no TenantId or UserId can be must not become known: operators could not list the users any more.
    IF octet_length(enter_to_write.tenant) NOT BETWEEN 1 AND 256 OR octet_length(enter_to_write.owner) NOT BETWEEN 1 AND 256
        OR enter_to_write.tenant || enter_to_write.owner ~ '[\u0001-\u001f\u007f-\u009f]'
    THEN
        RAISE invalid_parameter_value USING MESSAGE = 'tenant and owner are 1 to 256 bytes without control characters';
    END IF;
    PERFORM set_config('lock_timeout', enter_to_write.patience, true),
        set_config('ironclaw.tenant', enter_to_write.tenant, true),
        set_config('ironclaw.owner', enter_to_write.owner, true),
        set_config('ironclaw.chain', enter_to_write.chain, true), set_config('ironclaw.owner_no', '', true);
    LOOP
        SELECT u.owner_no, u.status INTO known FROM ironclaw.users u
            WHERE u.tenant = enter_to_write.tenant AND u.owner = enter_to_write.owner FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        at := clock_timestamp();
        INSERT INTO ironclaw.users AS u (tenant, owner, status, pseudonym, created_at, updated_at)
            VALUES (enter_to_write.tenant, enter_to_write.owner, 0, uuid_send(gen_random_uuid()), at, at)
            ON CONFLICT DO NOTHING RETURNING u.owner_no, u.status INTO known;
        IF FOUND THEN
            PERFORM set_config('ironclaw.owner_no', known.owner_no::text, true);
            INSERT INTO ironclaw.audit_streams (owner_no, stream, sequence, hash)
                VALUES (known.owner_no, uuid_send(gen_random_uuid()), 0, decode(repeat('00', 32), 'hex'));
            EXIT;
        END IF;
    END LOOP;
    at := clock_timestamp();
    PERFORM set_config('ironclaw.owner_no', known.owner_no::text, true);
    RETURN QUERY SELECT known.owner_no, known.status,
        EXISTS (SELECT FROM ironclaw.holds h WHERE h.owner_no = known.owner_no AND h.released_at IS NULL), at;
END
$$;

-- The pseudonym of a principal, made when it acts for the first time.
CREATE FUNCTION ironclaw.pseudonym(chain_no bigint, kind smallint, name text) RETURNS bytea
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_one bytea;
BEGIN
    SELECT p.pseudonym INTO found_one FROM ironclaw.audit_pseudonyms p
        WHERE p.owner_no = chain_no AND p.kind = pseudonym.kind AND p.name = pseudonym.name;
    IF found_one IS NULL THEN
        found_one := uuid_send(gen_random_uuid());
        INSERT INTO ironclaw.audit_pseudonyms (owner_no, kind, name, pseudonym)
            VALUES (chain_no, pseudonym.kind, pseudonym.name, found_one);
    END IF;
    RETURN found_one;
END
$$;

-- Whether this is the code of an action: of those on a user's chain, or of those on the system's.
CREATE FUNCTION ironclaw.is_action(code integer, is_system boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN is_system THEN code BETWEEN 800 AND 817
    ELSE code BETWEEN 100 AND 103 OR code BETWEEN 200 AND 205 OR code BETWEEN 300 AND 306 OR code BETWEEN 400 AND 403
        OR code BETWEEN 500 AND 513 OR code BETWEEN 600 AND 602 OR code = 700 END;

-- Whether these are subjects: each a known kind of 1 byte and an id of 16.
CREATE FUNCTION ironclaw.is_subjects(subjects bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN length(subjects) % 17 = 0 AND NOT EXISTS (
    SELECT FROM generate_series(0, length(subjects) - 1, 17) first
    WHERE get_byte(subjects, first) NOT BETWEEN 1 AND 18
);

-- Whether this is a private part as the store reads it. What is not JSON in UTF-8 at all is an error.
CREATE FUNCTION ironclaw.is_private(private bytea) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part json := convert_from(private, 'UTF8')::json;
    request json := part -> 'request';
    ip text := request ->> 'ip';
BEGIN
    -- Escapes that stand for no character are JSON, but no JSONB.
    PERFORM part::jsonb;
    RETURN ARRAY(SELECT json_object_keys(part)) = '{details,request}'
        AND ARRAY(SELECT json_object_keys(request)) = '{id,ip,user_agent}'
        AND NOT EXISTS (SELECT FROM json_each(part -> 'details') WHERE json_typeof(value) <> 'string')
        AND NOT EXISTS (SELECT FROM json_each(request) WHERE json_typeof(value) NOT IN ('string', 'null'))
        AND (ip IS NULL OR ip ~ '^[0-9a-f.:]+$' AND ip !~ '(^|[.])0[0-9]' AND ip::inet IS NOT NULL);
END
$$;

-- The commitment to a private part: HMAC-SHA256 (RFC 2104) of its bytes, with a salt of 32 bytes as the key.
CREATE FUNCTION ironclaw.commitment(salt bytea, private bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    inner_pad bytea := decode(repeat('36', 64), 'hex');
    outer_pad bytea := decode(repeat('5c', 64), 'hex');
BEGIN
    FOR i IN 0 .. 31 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(salt, i) # 54);
        outer_pad := set_byte(outer_pad, i, get_byte(salt, i) # 92);
    END LOOP;
    RETURN sha256(outer_pad || sha256(inner_pad || private));
END
$$;

-- Appends events to a chain. Their canonical bytes are those of version 1 of the encoding: its number, then each field
-- with its length before it. The hash is the leaf hash of RFC 6962: SHA-256 of a zero byte and the canonical bytes.
-- What the store could not read or verify is refused: it would be there for good. Time never runs backwards in a chain.
CREATE FUNCTION ironclaw.append_to_chain(
    chain_no bigint, whose bytea, principals bytea, about bigint,
    actions integer[], outcomes smallint[], subjects bytea[], salts bytea[], privates bytea[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head ironclaw.audit_streams%ROWTYPE;
    last timestamptz;
    at timestamptz;
    committed bytea;
    event_hash bytea;
BEGIN
    IF ARRAY[cardinality(outcomes), cardinality(subjects), cardinality(salts), cardinality(privates)]
        IS DISTINCT FROM array_fill(cardinality(actions), ARRAY[4])
    THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the lists of what events consist of differ in length';
    END IF;
    SELECT * INTO STRICT head FROM ironclaw.audit_streams s WHERE s.owner_no = chain_no FOR NO KEY UPDATE;
    SELECT e.time INTO last FROM ironclaw.audit_events e WHERE e.owner_no = chain_no AND e.sequence = head.sequence;
    at := greatest(clock_timestamp(), last);
    FOR i IN 1 .. cardinality(actions) LOOP
        IF (ironclaw.is_action(actions[i], chain_no = 0) AND ironclaw.is_subjects(subjects[i])
            AND length(salts[i]) = 32 AND ironclaw.is_private(privates[i])) IS NOT TRUE
        THEN
            RAISE invalid_parameter_value
                USING MESSAGE = 'an event has an action, subjects, a salt or a private part that there is not';
        END IF;
        head.sequence := head.sequence + 1;
        committed := ironclaw.commitment(salts[i], privates[i]);
        event_hash := sha256('\x000001'::bytea
            || '\x00000010'::bytea || head.stream
            || '\x00000008'::bytea || int8send(head.sequence)
            || '\x00000020'::bytea || head.hash
            || '\x00000008'::bytea || int8send((extract(epoch FROM at) * 1000000)::bigint)
            || '\x00000010'::bytea || whose
            || int4send(length(principals)) || principals
            || '\x00000002'::bytea || int2send(actions[i]::smallint)
            || '\x00000001'::bytea || set_byte('\x00'::bytea, 0, outcomes[i])
            || int4send(length(subjects[i])) || subjects[i]
            || '\x00000020'::bytea || committed);
        INSERT INTO ironclaw.audit_events (owner_no, sequence, previous, time, "user", principals, action, outcome,
                subjects, commitment, hash)
            VALUES (chain_no, head.sequence, head.hash, at, whose, append_to_chain.principals, actions[i], outcomes[i],
                append_to_chain.subjects[i], committed, event_hash);
        INSERT INTO ironclaw.audit_private (owner_no, sequence, about, salt, private)
            VALUES (chain_no, head.sequence, append_to_chain.about, salts[i], privates[i]);
        head.hash := event_hash;
    END LOOP;
    UPDATE ironclaw.audit_streams s SET sequence = head.sequence, hash = head.hash WHERE s.owner_no = chain_no;
END
$$;

-- Appends events to the chain of the scope's user. Who acted is the scope's chain of principals, which begins with the
-- user and never has an operator in it.
CREATE FUNCTION ironclaw.append_audit(
    actions integer[], outcomes smallint[], subjects bytea[], salts bytea[], privates bytea[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    chain_no bigint := ironclaw.scope_no();
    chain json := nullif(current_setting('ironclaw.chain', true), '')::json;
    acting ironclaw.users%ROWTYPE;
    principals bytea := '\x';
    principal json;
BEGIN
    -- Locked, as a writer has it: nothing is appended while the user is being erased, nor after.
    SELECT * INTO acting FROM ironclaw.users u WHERE u.owner_no = chain_no FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE insufficient_privilege USING MESSAGE = 'the transaction has no scope';
    END IF;
    IF chain -> 0 ->> 0 IS DISTINCT FROM '1' OR chain -> 0 ->> 1 IS DISTINCT FROM acting.owner THEN
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
    PERFORM ironclaw.append_to_chain(chain_no, acting.pseudonym, principals, NULL,
        actions, outcomes, subjects, salts, privates);
END
$$;

-- Appends events to the system's chain, under the operator's name. `about` is the user whom they name.
CREATE FUNCTION ironclaw.append_system_audit(
    operator text, about bigint,
    actions integer[], outcomes smallint[], subjects bytea[], salts bytea[], privates bytea[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Operators share the chain: one at a time, also to make the pseudonym of a new one.
    PERFORM FROM ironclaw.audit_streams s WHERE s.owner_no = 0 FOR NO KEY UPDATE;
    PERFORM ironclaw.append_to_chain(0, decode(repeat('00', 16), 'hex'),
        '\x04'::bytea || ironclaw.pseudonym(0, 4::smallint, operator), about,
        actions, outcomes, subjects, salts, privates);
END
$$;

-- Deletes the private parts of the events so far of the scope's user that are about these actions. How many.
CREATE FUNCTION ironclaw.forget_audit(actions integer[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    acting text;
    deleted bigint;
BEGIN
    -- A hold that was placed since an older snapshot would not be seen.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE active_sql_transaction USING MESSAGE = 'forgetting takes a transaction of isolation level READ COMMITTED';
    END IF;
    -- Locked, as a writer has it: no hold is placed meanwhile.
    SELECT u.owner INTO acting FROM ironclaw.users u WHERE u.owner_no = ironclaw.scope_no() FOR NO KEY UPDATE;
    IF jsonb_build_array(jsonb_build_array(1, acting))
        IS DISTINCT FROM nullif(current_setting('ironclaw.chain', true), '')::jsonb OR acting IS NULL
    THEN
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
