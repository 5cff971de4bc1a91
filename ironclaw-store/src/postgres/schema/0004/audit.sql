-- Categories have bands of codes, a hundred each: a program that knows another operation needs no other schema. Operators'
-- are on the system's chain, all others on users'.
CREATE OR REPLACE FUNCTION ironclaw.is_action(code integer, is_system boolean) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN is_system THEN code BETWEEN 800 AND 899 ELSE code BETWEEN 100 AND 799 OR code BETWEEN 900 AND 999 END;

-- Whether these are subjects: each a kind of 1 byte and an id of 16.
CREATE OR REPLACE FUNCTION ironclaw.is_subjects(subjects bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN length(subjects) % 17 = 0 AND NOT EXISTS (
    SELECT FROM generate_series(0, length(subjects) - 1, 17) first
    WHERE get_byte(subjects, first) NOT BETWEEN 1 AND 127
);
