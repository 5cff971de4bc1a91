//! What is moved: the tables as both stores see them, without the numbers that a store makes for itself.

use ironclaw_core::store::{StoreError, StoreErrorKind};

/// A value as it is moved. Booleans and codes are numbers, times are microseconds since 1970, ids are bytes, JSON is the
/// text that was stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// Absent.
    Null,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// About how much memory it takes.
    pub(crate) fn size(&self) -> usize {
        16 + match self {
            Self::Null | Self::Number(_) => 0,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    pub(crate) fn number(self) -> Result<i64, StoreError> {
        match self {
            Self::Number(number) => Ok(number),
            _ => Err(unexpected()),
        }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn text(self) -> Result<String, StoreError> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(unexpected()),
        }
    }

    pub(crate) fn bytes(self) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(unexpected()),
        }
    }

    pub(crate) fn id(self) -> Result<[u8; 16], StoreError> {
        self.bytes()?.try_into().map_err(|_| unexpected())
    }
}

/// Says that a row has another shape than its table. Both stores are of this crate, so that is a damaged row.
pub(crate) fn unexpected() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, super::COPY, "a row has not the columns of its table; restore a backup")
}

/// The values of a row in the order of its table's columns.
pub(crate) type Row = Vec<Value>;

/// How a column is kept in PostgreSQL; libSQL has four types only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Smallint,
    Integer,
    Bigint,
    Time,
    Uuid,
    Bytea,
    Text,
    Json,
    /// An array of numbers, moved as its JSON.
    Numbers,
}

/// A column.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "postgres"),
    expect(dead_code, reason = "a file needs neither PostgreSQL's names nor its types")
)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The same in other words, where a store keeps a number of its own: the SQL that reads it (of the row `t`), and the
    /// SQL that finds the number of a value. `{schema}`, `{owner}` and `{value}` stand for what differs.
    pub(crate) instead: Option<(&'static str, &'static str)>,
}

/// What has to be done for a row beside writing its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing.
    Plain,
    /// A message: it goes into the index of words.
    Message,
    /// A piece of a file with its chunks, which go into the index of words.
    Part,
    /// What becomes of a version when its parts are there: changes its row.
    Publication,
    /// An audit event: it is the head of its chain.
    Event,
}

/// A table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    /// What errors and counts call it.
    pub(crate) name: &'static str,
    /// Where its rows are.
    pub(crate) source: &'static str,
    pub(crate) role: Role,
    pub(crate) columns: &'static [Column],
    /// The order in which its rows are moved, the same in both stores.
    pub(crate) order: &'static str,
    /// Which rows are moved, if not all.
    pub(crate) filter: &'static str,
    /// How many rows are read at the same time: few where they may be large.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only PostgreSQL's half fetches so many"))]
    pub(crate) at_once: usize,
    /// Whether forgetting takes it, so that the embedded store keeps it under another number than the user's.
    #[cfg_attr(not(feature = "libsql"), allow(dead_code, reason = "PostgreSQL forgets in one transaction"))]
    pub(crate) is_content: bool,
    /// What else a new row gets: the column, and its value in libSQL and in PostgreSQL, if that has the column.
    pub(crate) also: &'static [(&'static str, &'static str, Option<&'static str>)],
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, instead: None }
}

const fn instead(name: &'static str, kind: Kind, read: &'static str, write: &'static str) -> Column {
    Column { name, kind, instead: Some((read, write)) }
}

const fn table(name: &'static str, columns: &'static [Column], order: &'static str) -> Table {
    Table {
        name,
        source: name,
        role: Role::Plain,
        columns,
        order,
        filter: "",
        at_once: 500,
        is_content: false,
        also: &[],
    }
}

impl Table {
    const fn large(self) -> Self {
        Self { at_once: 16, ..self }
    }

    const fn content(self) -> Self {
        Self { is_content: true, ..self }
    }

    const fn with(self, also: &'static [(&'static str, &'static str, Option<&'static str>)]) -> Self {
        Self { also, ..self }
    }

    const fn with_role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    const fn from(self, source: &'static str, filter: &'static str) -> Self {
        Self { source, filter, ..self }
    }
}

macro_rules! columns {
    ($($name:ident $kind:ident),* $(,)?) => {
        &[$(column(stringify!($name), Kind::$kind)),*]
    };
}

/// Superseded versions are nobody's any more, unless a legal hold keeps them.
pub(crate) const MOVED_VERSIONS: &str = "(t.state <> 2 OR EXISTS (SELECT 1 FROM {schema}holds h \
     WHERE h.owner_no = {owner} AND h.released_at IS NULL))";

/// What a user has, in the order in which it can be written.
pub(crate) const OF_USER: &[Table] = &[
    // First: what else is moved depends on them.
    table("holds", columns![id Uuid, reason Text, created_at Time, released_at Time], "hold_no"),
    table("user_roles", columns![role Text], "role"),
    table("receipts", columns![key Text, digest Bytea, at Time, numbers Numbers], "key").content(),
    table(
        "conversations",
        columns![
            id Uuid, title Text, content_format Smallint, content_key Uuid, messages Bigint, version Bigint,
            created_at Time, updated_at Time
        ],
        "id",
    )
    .content(),
    table(
        "messages",
        columns![
            conversation Uuid, sequence Bigint, id Uuid, role Smallint, content_format Smallint, content_key Uuid,
            content Text, tool_calls Json, tool_result Json, metadata Json, created_at Time
        ],
        "id",
    )
    .content()
    .with_role(Role::Message)
    .large(),
    table(
        "jobs",
        columns![
            id Uuid, conversation Uuid, kind Text, agent Text, state Smallint, worker Text, claimed_until Time,
            error Text, version Bigint, created_at Time, updated_at Time, content_format Smallint, content_key Uuid,
            input Json
        ],
        "id",
    )
    .content()
    .large(),
    table(
        "job_events",
        columns![job Uuid, sequence Bigint, created_at Time, content_format Smallint, content_key Uuid, step Json],
        "job, sequence",
    )
    .content()
    .large(),
    table(
        "llm_calls",
        columns![
            job Uuid, id Uuid, model Text, error Text, input_tokens Bigint, output_tokens Bigint,
            cost_micro_usd Bigint, latency_us Bigint, created_at Time, content_format Smallint, content_key Uuid,
            request Json, response Json
        ],
        "job, id",
    )
    .content()
    .large(),
    table(
        "sandbox_jobs",
        columns![
            job Uuid, id Uuid, tool Text, usage Json, created_at Time, content_format Smallint, content_key Uuid,
            outcome Json, parameters Json, log Text
        ],
        "job, id",
    )
    .content()
    .large(),
    table(
        "data_keys",
        columns![
            id Uuid, number Bigint, root_key Bigint, format Integer, algorithm Smallint, parameters Bytea, nonce Bytea,
            ciphertext Bytea, seals Bigint, created_at Time
        ],
        "id",
    ),
    table(
        "secrets",
        columns![
            name Text, provider Text, bindings Json, expires_at Time, current_version Bigint, created_at Time,
            updated_at Time, last_used_at Time, usage_count Bigint, version Bigint
        ],
        "name",
    ),
    table(
        "secret_versions",
        columns![
            name Text, number Bigint, format Integer, algorithm Smallint, data_key Uuid, salt Bytea, nonce Bytea,
            ciphertext Bytea, created_at Time
        ],
        "name, number",
    )
    .large(),
    table("secret_numbers", columns![name_hash Bytea, last_number Bigint], "name_hash"),
    table(
        "members",
        columns![id Uuid, tenant Text, member Text, role Smallint, valid_from Time, valid_until Time],
        "id",
    ),
    table("agents", columns![name Text, active Bool, policy_epoch Bigint, created_at Time, updated_at Time], "name"),
    table(
        "policies",
        columns![
            id Uuid, agent Text, resource Text, actions Json, conditions Json, valid_from Time, valid_until Time
        ],
        "id",
    ),
    table(
        "tokens",
        columns![
            id Uuid, agent Text, policy_epoch Bigint, hash Bytea, created_at Time, expires_at Time, revoked_at Time
        ],
        "id",
    ),
    table(
        "api_keys",
        columns![id Uuid, label Text, hash Bytea, created_at Time, expires_at Time, revoked_at Time],
        "id",
    ),
    table(
        "leases",
        columns![
            id Uuid, secret Text, agent Text, uses_left Bigint, created_at Time, expires_at Time, revoked_at Time
        ],
        "id",
    ),
    table(
        "approvals",
        columns![
            id Uuid, agent Text, action Text, content_format Smallint, content_key Uuid, details Json, state Smallint,
            created_at Time, expires_at Time, decided_at Time
        ],
        "id",
    ),
    table(
        "tool_grants",
        columns![
            id Uuid, tool Text, capability Text, parameters Json, created_at Time, expires_at Time, revoked_at Time
        ],
        "id",
    ),
    table(
        "settings",
        columns![
            key Text, version Bigint, updated_at Time, content_format Smallint, content_key Uuid, value Json
        ],
        "key",
    )
    .large(),
    table("quotas", columns![name Text, allowed Bigint, used Bigint], "name"),
    table("embedding_models", columns![id Text, dimensions Integer, lexical Bool], "id").content().with(&[(
        "chunks",
        "0",
        Some("0"),
    )]),
    // Versions begin empty, get their parts, and become what they were.
    table(
        "entry_versions",
        &[
            column("id", Kind::Uuid),
            column("path", Kind::Text),
            column("content_format", Kind::Smallint),
            column("content_key", Kind::Uuid),
            column("metadata", Kind::Json),
            column("model", Kind::Text),
            column("created_at", Kind::Time),
        ],
        "id",
    )
    .content()
    .from("entry_versions", MOVED_VERSIONS)
    .with(&[
        ("state", "0", Some("0")),
        ("size", "0", Some("0")),
        ("chunks", "0", Some("0")),
        ("terms", "0", Some("0")),
        ("generation", "0", None),
        ("updated_at", "0", Some("to_timestamp(0)")),
    ]),
    // The columns of a part are followed by four for each of its chunks: id, start, end, embedding.
    table("entry_parts", columns![version Uuid, start_byte Bigint, bytes Bytea], "")
        .content()
        .with_role(Role::Part),
    table(
        "published_versions",
        columns![id Uuid, state Smallint, size Bigint, chunks Bigint, content_hash Bytea, updated_at Time],
        "id",
    )
    .content()
    .from("entry_versions", MOVED_VERSIONS)
    .with_role(Role::Publication),
    table(
        "workspace_entries",
        &[
            column("path", Kind::Text),
            instead(
                "version_no",
                Kind::Uuid,
                "(SELECT v.id FROM {schema}entry_versions v WHERE v.owner_no = t.owner_no AND v.version_no = t.version_no)",
                "(SELECT v.version_no FROM {schema}entry_versions v WHERE v.owner_no = {owner} AND v.id = {value})",
            ),
            column("created_at", Kind::Time),
        ],
        "path",
    )
    .content(),
    table(
        "audit_events",
        columns![
            sequence Bigint, previous Bytea, time Time, user Bytea, principals Bytea, action Integer, outcome Smallint,
            subjects Bytea, commitment Bytea, hash Bytea, tree_index Bigint
        ],
        "sequence",
    )
    .with_role(Role::Event),
    table(
        "audit_private",
        &[
            column("sequence", Kind::Bigint),
            instead(
                "about",
                Kind::Bytea,
                "(SELECT s.stream FROM {schema}audit_streams s WHERE s.owner_no = t.about)",
                "(SELECT s.owner_no FROM {schema}audit_streams s WHERE s.stream = {value})",
            ),
            column("salt", Kind::Bytea),
            column("private", Kind::Bytea),
        ],
        "sequence",
    ),
    table("audit_pseudonyms", columns![kind Smallint, name Text, pseudonym Bytea], "kind, name"),
];

/// The tables of a user that operators change, whose changes the user's own chain does not tell of.
pub(crate) const OF_OPERATORS: &[&str] = &["holds", "user_roles", "quotas", "data_keys", "members"];

/// What is nobody's: of tenants and of the store.
pub(crate) const SHARED: &[Table] = &[
    table("roles", columns![tenant Text, name Text, permissions Json, updated_at Time], "tenant, name"),
    // Before the header: a vault that has one has them.
    table(
        "root_key_wraps",
        columns![
            tenant Text, id Uuid, root_key Bigint, source Text, format Integer, algorithm Smallint, parameters Bytea,
            nonce Bytea, ciphertext Bytea, created_at Time
        ],
        "tenant, id",
    ),
    table("vault_header", columns![tenant Text, id Uuid, format Integer, root_key Bigint, created_at Time], "tenant"),
    table(
        "retention_policies",
        columns![tenant Text, category Smallint, days Bigint, updated_at Time],
        "tenant, category",
    ),
    table("erasures", columns![id Uuid, stream Bytea, deleted_rows Bigint, created_at Time], "erasure_no"),
    table("audit_checkpoints", columns![size Bigint, root Bytea, note Text, created_at Time], "size"),
];
