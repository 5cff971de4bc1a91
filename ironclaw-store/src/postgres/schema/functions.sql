-- The number of the user in whose scope the transaction runs; NULL, which equals nothing, if it has none. The system's,
-- 0, is nobody's scope.
CREATE FUNCTION ironclaw.scope_no() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(nullif(current_setting('ironclaw.owner_no', true), '')::bigint, 0);

-- Whether the transaction is an operator's. Only policies for the owner's role ask.
CREATE FUNCTION ironclaw.is_maintenance() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(current_setting('ironclaw.maintenance', true), '') = 'on';

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
    PERFORM set_config('ironclaw.owner_no', known.owner_no::text, true), set_config('ironclaw.now', at::text, true);
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

-- Appends events to a chain. Their canonical bytes are those of version 1 of the encoding: its number, then each field
-- with its length before it. The hash is the leaf hash of RFC 6962: SHA-256 of a zero byte and the canonical bytes.
-- The time is the one at which the transaction entered its scope, or now should anything else have been set.
CREATE FUNCTION ironclaw.append_to_chain(
    chain_no bigint, whose bytea, principals bytea, about bigint,
    actions integer[], outcomes smallint[], subjects bytea[], commitments bytea[], salts bytea[], privates bytea[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head ironclaw.audit_streams%ROWTYPE;
    at timestamptz := nullif(current_setting('ironclaw.now', true), '')::timestamptz;
    event_hash bytea;
BEGIN
    SELECT * INTO STRICT head FROM ironclaw.audit_streams s WHERE s.owner_no = chain_no FOR NO KEY UPDATE;
    IF at IS NULL OR at NOT BETWEEN transaction_timestamp() AND clock_timestamp() THEN
        at := clock_timestamp();
    END IF;
    FOR i IN 1 .. cardinality(actions) LOOP
        head.sequence := head.sequence + 1;
        event_hash := sha256('\x000001'::bytea
            || '\x00000010'::bytea || head.stream
            || '\x00000008'::bytea || int8send(head.sequence)
            || '\x00000020'::bytea || head.hash
            || '\x00000008'::bytea || int8send((extract(epoch FROM at) * 1000000)::bigint)
            || '\x00000010'::bytea || whose
            || int4send(length(principals)) || principals
            || '\x00000002'::bytea || int2send((actions[i] - CASE WHEN actions[i] > 32767 THEN 65536 ELSE 0 END)::smallint)
            || '\x00000001'::bytea || set_byte('\x00'::bytea, 0, outcomes[i])
            || int4send(length(subjects[i])) || subjects[i]
            || '\x00000020'::bytea || commitments[i]);
        INSERT INTO ironclaw.audit_events (owner_no, sequence, previous, time, "user", principals, action, outcome,
                subjects, commitment, hash)
            VALUES (chain_no, head.sequence, head.hash, at, whose, append_to_chain.principals, actions[i], outcomes[i],
                append_to_chain.subjects[i], commitments[i], event_hash);
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
    actions integer[], outcomes smallint[], subjects bytea[], commitments bytea[], salts bytea[], privates bytea[]
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
    SELECT * INTO acting FROM ironclaw.users u WHERE u.owner_no = chain_no;
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
        actions, outcomes, subjects, commitments, salts, privates);
END
$$;

-- Appends events to the system's chain, under the operator's name. `about` is the user whom they name.
CREATE FUNCTION ironclaw.append_system_audit(
    operator text, about bigint,
    actions integer[], outcomes smallint[], subjects bytea[], commitments bytea[], salts bytea[], privates bytea[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Operators share the chain: one at a time, also to make the pseudonym of a new one.
    PERFORM FROM ironclaw.audit_streams s WHERE s.owner_no = 0 FOR NO KEY UPDATE;
    PERFORM ironclaw.append_to_chain(0, decode(repeat('00', 16), 'hex'),
        '\x04'::bytea || ironclaw.pseudonym(0, 4::smallint, operator), about,
        actions, outcomes, subjects, commitments, salts, privates);
END
$$;

-- Deletes the private parts of the events so far of the scope's user that are about these actions. How many.
CREATE FUNCTION ironclaw.forget_audit(actions integer[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deleted bigint;
BEGIN
    IF NOT EXISTS (
        SELECT FROM ironclaw.users u WHERE u.owner_no = ironclaw.scope_no()
            AND jsonb_build_array(jsonb_build_array(1, u.owner)) = nullif(current_setting('ironclaw.chain', true), '')::jsonb
    ) THEN
        RAISE insufficient_privilege USING MESSAGE = 'only the user in person may forget';
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
