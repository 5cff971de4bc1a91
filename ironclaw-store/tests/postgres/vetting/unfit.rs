//! Roles that may not be the application.

/// What keeps a role from being the application: its name, how it is made, what else it gets, and what is said of it.
pub(super) const UNFIT: &[(&str, &str, &str, &str)] = &[
    ("superuser", "SUPERUSER", "", "is superuser"),
    ("bypass", "BYPASSRLS IN ROLE ironclaw_app", "", "is BYPASSRLS"),
    ("replication", "REPLICATION IN ROLE ironclaw_app", "", "is REPLICATION"),
    ("createrole", "CREATEROLE IN ROLE ironclaw_app", "", "is CREATEROLE"),
    ("twofold", "IN ROLE ironclaw_app, ironclaw_owner", "", "the owner's role"),
    ("heir", "IN ROLE ironclaw_app", "GRANT ironclaw_owner TO heir WITH INHERIT FALSE", "the owner's role"),
    ("climber", "IN ROLE ironclaw_app, superuser", "", "can be superuser"),
    ("replicator", "IN ROLE ironclaw_app, replication", "", "can be replication"),
    (
        "granter",
        "IN ROLE ironclaw_app",
        "GRANT ironclaw_owner TO granter WITH ADMIN TRUE, SET FALSE, INHERIT FALSE",
        "granter may take the owner's rights",
    ),
    ("write_all", "IN ROLE ironclaw_app, pg_write_all_data", "", "pg_write_all_data"),
    ("read_all", "IN ROLE ironclaw_app, pg_read_all_data", "", "pg_read_all_data"),
    ("program", "IN ROLE ironclaw_app, pg_execute_server_program", "", "pg_execute_server_program"),
    ("write_files", "IN ROLE ironclaw_app, pg_write_server_files", "", "pg_write_server_files"),
    ("read_files", "IN ROLE ironclaw_app, pg_read_server_files", "", "pg_read_server_files"),
    ("signal", "IN ROLE ironclaw_app, pg_signal_backend", "", "pg_signal_backend"),
    ("checkpoint", "IN ROLE ironclaw_app, pg_checkpoint", "", "pg_checkpoint"),
    (
        "indirect",
        "IN ROLE ironclaw_app",
        "CREATE ROLE team IN ROLE pg_write_all_data; GRANT team TO indirect",
        "pg_write_all_data",
    ),
    (
        "database_owner",
        "IN ROLE ironclaw_app",
        "ALTER DATABASE agents OWNER TO database_owner; \
     ALTER SCHEMA public OWNER TO ironclaw_owner",
        "pg_database_owner",
    ),
    (
        "table_owner",
        "IN ROLE ironclaw_app",
        "CREATE TABLE ironclaw.its (); ALTER TABLE ironclaw.its OWNER TO table_owner",
        "the owner of ironclaw.its",
    ),
    (
        "function_owner",
        "IN ROLE ironclaw_app",
        "CREATE FUNCTION ironclaw.its() RETURNS integer LANGUAGE sql RETURN 1; \
     ALTER FUNCTION ironclaw.its OWNER TO function_owner",
        "the owner of ironclaw.its",
    ),
    ("auditing", "IN ROLE ironclaw_app, ironclaw_auditor", "", "the auditors' role"),
    ("all_tables", "IN ROLE ironclaw_app", "GRANT ALL ON ALL TABLES IN SCHEMA ironclaw TO all_tables", "to all_tables"),
    (
        "one_column",
        "IN ROLE ironclaw_app",
        "GRANT UPDATE (hash) ON ironclaw.audit_events TO one_column",
        "UPDATE on audit_events.hash",
    ),
    (
        "functions",
        "IN ROLE ironclaw_app",
        "GRANT EXECUTE ON FUNCTION ironclaw.append_to_chain TO functions",
        "EXECUTE on append_to_chain",
    ),
    (
        "sequence",
        "IN ROLE ironclaw_app",
        "GRANT USAGE ON SEQUENCE ironclaw.users_owner_no_seq TO sequence",
        "USAGE on users_owner_no_seq",
    ),
    (
        "of_a_group",
        "IN ROLE ironclaw_app",
        "CREATE ROLE readers; GRANT SELECT ON ironclaw.holds TO readers; GRANT readers TO of_a_group",
        "to readers",
    ),
    ("of_everybody", "IN ROLE ironclaw_app", "GRANT DELETE ON ironclaw.audit_events TO PUBLIC", "to PUBLIC"),
    (
        "of_the_application",
        "IN ROLE ironclaw_app",
        "GRANT DELETE ON ironclaw.audit_events TO ironclaw_app",
        "DELETE on audit_events to ironclaw_app",
    ),
    ("giving", "IN ROLE ironclaw_app", "GRANT SELECT ON ironclaw.settings TO giving WITH GRANT OPTION", "to giving"),
    (
        "setting",
        "IN ROLE ironclaw_app",
        "GRANT SET ON PARAMETER session_replication_role TO setting",
        "setting may SET the parameter session_replication_role",
    ),
    (
        "configuring",
        "IN ROLE ironclaw_app",
        "GRANT ALTER SYSTEM ON PARAMETER log_statement TO configuring",
        "configuring may ALTER SYSTEM the parameter log_statement",
    ),
    (
        "setting_as_team",
        "IN ROLE ironclaw_app",
        "CREATE ROLE team; GRANT SET ON PARAMETER session_replication_role TO team; GRANT team TO setting_as_team",
        "team may SET the parameter session_replication_role, and setting_as_team can be team",
    ),
    (
        "setting_as_all",
        "IN ROLE ironclaw_app",
        "GRANT SET ON PARAMETER lc_messages TO PUBLIC",
        "everybody may SET the parameter lc_messages",
    ),
    (
        "reading_files",
        "IN ROLE ironclaw_app",
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO reading_files",
        "reading_files has EXECUTE on function pg_read_file(text)",
    ),
    (
        "importing",
        "IN ROLE ironclaw_app",
        "CREATE ROLE team; GRANT EXECUTE ON FUNCTION lo_import(text) TO team; GRANT team TO importing",
        "team has EXECUTE on function lo_import(text)",
    ),
    (
        "reloading",
        "IN ROLE ironclaw_app",
        "GRANT EXECUTE ON FUNCTION pg_reload_conf() TO PUBLIC",
        "everybody has EXECUTE on function pg_reload_conf()",
    ),
    (
        "reading_passwords",
        "IN ROLE ironclaw_app",
        "GRANT SELECT (rolpassword) ON pg_authid TO reading_passwords",
        "has SELECT on column rolpassword of table pg_authid",
    ),
    (
        "reading_samples",
        "IN ROLE ironclaw_app, pg_monitor",
        "GRANT SELECT ON pg_statistic TO pg_monitor",
        "pg_monitor has SELECT on table pg_statistic",
    ),
    (
        "writing_the_catalogue",
        "IN ROLE ironclaw_app",
        "GRANT UPDATE ON pg_class TO writing_the_catalogue",
        "has UPDATE on table pg_class",
    ),
    (
        "reading_what_is_long",
        "IN ROLE ironclaw_app",
        "DO $$ BEGIN EXECUTE (SELECT format('GRANT SELECT ON %s TO reading_what_is_long', reltoastrelid::regclass) \
     FROM pg_class WHERE oid = 'ironclaw.entry_parts'::regclass); END $$",
        "reading_what_is_long has SELECT on toast table pg_toast.pg_toast_",
    ),
    (
        "reading_long_columns",
        "IN ROLE ironclaw_app",
        "DO $$ BEGIN EXECUTE (SELECT format('GRANT SELECT (chunk_data) ON %s TO reading_long_columns', \
     reltoastrelid::regclass) FROM pg_class WHERE oid = 'ironclaw.entry_parts'::regclass); END $$",
        "reading_long_columns has SELECT on column chunk_data of toast table pg_toast.pg_toast_",
    ),
    (
        "reading_long_samples",
        "IN ROLE ironclaw_app",
        "DO $$ BEGIN EXECUTE (SELECT format('GRANT SELECT ON %s TO reading_long_samples', reltoastrelid::regclass) \
     FROM pg_class WHERE oid = 'pg_statistic'::regclass); END $$",
        "reading_long_samples has SELECT on toast table pg_toast.pg_toast_",
    ),
    (
        "entering",
        "IN ROLE ironclaw_app",
        "GRANT USAGE ON SCHEMA pg_toast TO PUBLIC",
        "everybody has USAGE on schema pg_toast",
    ),
    (
        "connecting_elsewhere",
        "IN ROLE ironclaw_app",
        "CREATE EXTENSION dblink; GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO connecting_elsewhere",
        "has EXECUTE on function public.dblink_connect_u(text)",
    ),
    (
        "statistics_owner",
        "IN ROLE ironclaw_app",
        "CREATE STATISTICS public.its ON owner_no, key FROM ironclaw.settings; \
     ALTER STATISTICS public.its OWNER TO statistics_owner",
        "statistics_owner is the owner of statistics object public.its",
    ),
    (
        "publication_owner",
        "IN ROLE ironclaw_app",
        "CREATE PUBLICATION its; ALTER PUBLICATION its OWNER TO publication_owner",
        "publication_owner is the owner of publication its",
    ),
    (
        "subscription_owner",
        "IN ROLE ironclaw_app",
        "CREATE SUBSCRIPTION its CONNECTION 'dbname=none password=none' PUBLICATION its \
     WITH (connect = false, slot_name = NONE); \
     ALTER SUBSCRIPTION its OWNER TO subscription_owner",
        "subscription_owner is the owner of subscription its",
    ),
    (
        "server_owner",
        "IN ROLE ironclaw_app",
        "CREATE FOREIGN DATA WRAPPER its; CREATE SERVER its FOREIGN DATA WRAPPER its; \
     ALTER SERVER its OWNER TO server_owner",
        "server_owner is the owner of server its",
    ),
    (
        "language_owner",
        "IN ROLE ironclaw_app",
        "ALTER LANGUAGE plpgsql OWNER TO language_owner",
        "language_owner is the owner of language plpgsql",
    ),
    (
        "deputy",
        "IN ROLE ironclaw_app",
        "GRANT ironclaw_app TO deputy WITH ADMIN OPTION",
        "deputy may give the rights of ironclaw_app to others",
    ),
    (
        "deputy_of_team",
        "IN ROLE ironclaw_app",
        "CREATE ROLE team IN ROLE ironclaw_app; GRANT team TO deputy_of_team WITH ADMIN OPTION",
        "deputy_of_team may give the rights of team to others",
    ),
];

/// What takes back whatever [`UNFIT`] gives to others than the role itself.
pub(super) const TAKE_BACK: &str = "ALTER DATABASE agents OWNER TO CURRENT_USER; \
    ALTER SCHEMA public OWNER TO pg_database_owner; \
    DROP TABLE IF EXISTS ironclaw.its; DROP FUNCTION IF EXISTS ironclaw.its; \
    REVOKE DELETE ON ironclaw.audit_events FROM PUBLIC, ironclaw_app; \
    REVOKE SET ON PARAMETER lc_messages FROM PUBLIC; REVOKE EXECUTE ON FUNCTION pg_reload_conf() FROM PUBLIC; \
    REVOKE USAGE ON SCHEMA pg_toast FROM PUBLIC; \
    REVOKE SELECT ON pg_statistic FROM pg_monitor; ALTER LANGUAGE plpgsql OWNER TO CURRENT_USER; \
    DROP EXTENSION IF EXISTS dblink; DROP SUBSCRIPTION IF EXISTS its; DROP FOREIGN DATA WRAPPER IF EXISTS its CASCADE; \
    DO $$ DECLARE name text; BEGIN FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ('readers', 'team') LOOP \
    EXECUTE 'DROP OWNED BY ' || name; END LOOP; END $$; \
    DROP ROLE IF EXISTS readers, team";
