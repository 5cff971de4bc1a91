//! Parameters of a URL that mean something to other clients of PostgreSQL, and nothing here.

/// What is expected in the place of a parameter. A name that nobody knows is not repeated: it may be a part of a password
/// in which a `?` or `&` was not written as it must be.
pub(super) fn expected(name: &str) -> &'static str {
    REFUSED.iter().find(|(known, _)| *known == name).map_or(UNKNOWN, |(_, expected)| expected)
}

macro_rules! known {
    () => {
        "those that mean something are sslmode, sslrootcert, sslcert, sslkey, host, hostaddr, port, dbname, user, password, \
         application_name and options"
    };
}

macro_rules! refused {
    ($($name:literal $instead:literal,)*) => {
        &[$(($name, concat!("no parameter ", $name, $instead, "; ", known!()))),*]
    };
}

const UNKNOWN: &str = concat!("no other parameters; ", known!(), " (a ? or & in a password is %3F or %26)");

const REFUSED: &[(&str, &str)] = refused![
    "channel_binding" "",
    "client_encoding" ", as all text is UTF-8",
    "connect_timeout" ": set acquire_timeout on the builder",
    "connection_limit" ": set max_connections on the builder",
    "fallback_application_name" ": set application_name",
    "gssencmode" "",
    "keepalives" "",
    "keepalives_count" "",
    "keepalives_idle" "",
    "keepalives_interval" "",
    "krbsrvname" "",
    "load_balance_hosts" "",
    "passfile" ": set PGPASSFILE in the environment",
    "pgbouncer" ": set transaction_pooling on the builder",
    "pool_timeout" ": set acquire_timeout on the builder",
    "replication" "",
    "require_auth" "",
    "requirepeer" "",
    "schema" ", as the store's is ironclaw",
    "search_path" ", as nothing is looked up in it",
    "service" "",
    "servicefile" "",
    "ssl" ": set sslmode",
    "ssl_max_protocol_version" "",
    "ssl_min_protocol_version" "",
    "sslcertmode" "",
    "sslcompression" "",
    "sslcrl" "",
    "sslcrldir" "",
    "sslnegotiation" "",
    "sslpassword" ": leave the key without one, and readable by its owner alone",
    "sslsni" "",
    "statement-cache-capacity" ": set transaction_pooling on the builder",
    "statement_timeout" ": set it on the builder",
    "target_session_attrs" ": connect_with_replica finds the server that takes writes",
    "tcp_user_timeout" "",
];
