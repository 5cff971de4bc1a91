-- Whether this is the code of an action: of those on a user's chain, or of those on the system's.
CREATE OR REPLACE FUNCTION ironclaw.is_action(code integer, is_system boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN is_system THEN code BETWEEN 800 AND 817
    ELSE code BETWEEN 100 AND 103 OR code BETWEEN 200 AND 205 OR code BETWEEN 300 AND 306 OR code BETWEEN 400 AND 403
        OR code BETWEEN 500 AND 513 OR code BETWEEN 600 AND 602 OR code IN (700, 900) END;

-- Appends events to a chain. Their canonical bytes are those of version 1 of the encoding: its number, then each field
-- with its length before it. The hash is the leaf hash of RFC 6962: SHA-256 of a zero byte and the canonical bytes.
-- What the store could not read or verify is refused: it would be there for good. Time never runs backwards in a chain.
CREATE OR REPLACE FUNCTION ironclaw.append_to_chain(
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
    canonical bytea;
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
        canonical := '\x0001'::bytea
            || '\x00000010'::bytea || head.stream
            || '\x00000008'::bytea || int8send(head.sequence)
            || '\x00000020'::bytea || head.hash
            || '\x00000008'::bytea || int8send((extract(epoch FROM at) * 1000000)::bigint)
            || '\x00000010'::bytea || whose
            || int4send(length(principals)) || principals
            || '\x00000002'::bytea || int2send(actions[i]::smallint)
            || '\x00000001'::bytea || set_byte('\x00'::bytea, 0, outcomes[i])
            || int4send(length(subjects[i])) || subjects[i]
            || '\x00000020'::bytea || committed;
        -- More than any event of the store has. A proof names the length of a leaf in two bytes.
        IF length(canonical) > 65535 OR length(privates[i]) > 1048576 THEN
            RAISE invalid_parameter_value USING MESSAGE = 'an event is too long';
        END IF;
        event_hash := sha256('\x00'::bytea || canonical);
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
