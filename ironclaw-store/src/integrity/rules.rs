//! What must be true of each row, beside what its columns hold: how it agrees with other rows in the same snapshot.

use crate::reserved::{CONTENT, STAGED};

/// A rule for the rows of a table.
pub(crate) struct Rule {
    pub(crate) table: &'static str,
    /// What is wrong with a row that breaks it.
    pub(crate) says: &'static str,
    /// The SQL, with `{schema}` before the names of tables, `{visible}` before those of which only what isn't being removed
    /// counts, reserved tenants as `{content}` and `{staged}`, and `{content_no}` for the number that the content of a user
    /// `t` is kept under.
    broken: &'static str,
}

impl Rule {
    /// SQL that is true of a row `t` that breaks it, where the names of tables begin with `schema`, those of what isn't being
    /// removed with `visible`, and `content_no` is the number that a user's content is kept under.
    pub(crate) fn broken(&self, schema: &str, visible: &str, content_no: &str) -> String {
        let broken = self.broken.replace("{schema}", schema).replace("{visible}", visible);
        broken.replace("{content_no}", content_no).replace("{content}", CONTENT).replace("{staged}", STAGED)
    }
}

const fn rule(table: &'static str, says: &'static str, broken: &'static str) -> Rule {
    Rule { table, says, broken }
}

/// The tables whose rows may outlive their user.
const WITHOUT_USER: [&str; 5] = ["users", "audit_streams", "audit_events", "audit_private", "audit_pseudonyms"];

/// The rule that all tables of users have in common.
const OF_A_USER: Rule = rule(
    "",
    "it is of a user who is not there",
    "NOT EXISTS (SELECT 1 FROM {schema}users u WHERE u.owner_no = t.owner_no)",
);

/// The rules for a table; `owned` if its rows are users'.
pub(crate) fn of(table: &str, owned: bool) -> Vec<&'static Rule> {
    let of_a_user = (owned && !WITHOUT_USER.contains(&table)).then_some(&OF_A_USER);
    RULES.iter().filter(|rule| rule.table == table).chain(of_a_user).collect()
}

/// The rules for what only the embedded store has: numbers that content is kept under.
#[cfg(feature = "libsql")]
pub(crate) fn of_content_numbers(table: &str) -> impl Iterator<Item = &'static Rule> + '_ {
    CONTENT_NUMBERS.iter().filter(move |rule| rule.table == table)
}

#[cfg(feature = "libsql")]
const CONTENT_NUMBERS: &[Rule] = &[
    rule(
        "users",
        "its content is another user's, or nowhere",
        "t.content_no IS NOT NULL AND (NOT EXISTS (SELECT 1 FROM {schema}users c WHERE c.owner_no = t.content_no \
         AND c.tenant = '{content}') OR EXISTS (SELECT 1 FROM {schema}users o WHERE o.content_no = t.content_no \
         AND o.owner_no <> t.owner_no))",
    ),
    rule(
        "users",
        "its content is no user's",
        "t.tenant = '{content}' AND NOT EXISTS (SELECT 1 FROM {schema}users u WHERE u.content_no = t.owner_no) \
         AND NOT EXISTS (SELECT 1 FROM {schema}removals r WHERE r.content_no = t.owner_no)",
    ),
];

const RULES: &[Rule] = &[
    rule(
        "users",
        "the user has no audit stream",
        "t.tenant <> '{content}' AND NOT EXISTS (SELECT 1 FROM {schema}audit_streams s \
         WHERE s.owner_no = t.owner_no)",
    ),
    // Retention would find it too late, or never.
    rule(
        "users",
        "conversations_since is missing, or later than the oldest conversation",
        "t.tenant <> '{content}' AND EXISTS (SELECT 1 FROM {visible}conversations c WHERE c.owner_no = {content_no} \
         AND (t.conversations_since IS NULL OR c.updated_at < t.conversations_since))",
    ),
    rule(
        "users",
        "jobs_since is missing, or later than the oldest job",
        "t.tenant <> '{content}' AND EXISTS (SELECT 1 FROM {visible}jobs j WHERE j.owner_no = {content_no} \
         AND (t.jobs_since IS NULL OR j.updated_at < t.jobs_since))",
    ),
    rule(
        "users",
        "files_since is missing, or later than the oldest file",
        "t.tenant <> '{content}' AND EXISTS (SELECT 1 FROM {schema}entry_versions v WHERE v.owner_no = {content_no} \
         AND v.state = 1 AND (t.files_since IS NULL OR v.updated_at < t.files_since))",
    ),
    rule(
        "user_roles",
        "the tenant has no such role",
        "NOT EXISTS (SELECT 1 FROM {schema}roles r JOIN {schema}users u ON u.tenant = r.tenant \
         WHERE u.owner_no = t.owner_no AND r.name = t.role) AND NOT EXISTS (SELECT 1 FROM {schema}users u \
         WHERE u.owner_no = t.owner_no AND u.tenant = '{staged}')",
    ),
    rule(
        "conversations",
        "messages are missing, or too many",
        "t.messages <> (SELECT count(*) FROM {schema}messages m WHERE m.owner_no = t.owner_no \
         AND m.conversation = t.id) OR t.messages <> (SELECT coalesce(max(m.sequence), 0) FROM {schema}messages m \
         WHERE m.owner_no = t.owner_no AND m.conversation = t.id)",
    ),
    rule("messages", "its sequence makes no sense", "t.sequence < 1"),
    rule(
        "messages",
        "its conversation is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}conversations c WHERE c.owner_no = t.owner_no AND c.id = t.conversation)",
    ),
    rule(
        "message_terms",
        "it is of a message that is gone",
        "NOT EXISTS (SELECT 1 FROM {schema}messages m WHERE m.message_no = t.message_no AND m.owner_no = t.owner_no \
         AND m.role IN (1, 2))",
    ),
    rule(
        "jobs",
        "its conversation is not there",
        "t.conversation IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {schema}conversations c \
         WHERE c.owner_no = t.owner_no AND c.id = t.conversation)",
    ),
    rule("jobs", "it is claimed without a time or a worker", "(t.worker IS NULL) <> (t.claimed_until IS NULL)"),
    rule(
        "jobs",
        "steps are missing",
        "(SELECT count(*) FROM {schema}job_events e WHERE e.owner_no = t.owner_no AND e.job = t.id) <> \
         (SELECT coalesce(max(e.sequence), 0) FROM {schema}job_events e WHERE e.owner_no = t.owner_no \
         AND e.job = t.id)",
    ),
    rule("job_events", "its sequence makes no sense", "t.sequence < 1"),
    rule(
        "job_events",
        "its job is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}jobs j WHERE j.owner_no = t.owner_no AND j.id = t.job)",
    ),
    rule(
        "llm_calls",
        "its job is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}jobs j WHERE j.owner_no = t.owner_no AND j.id = t.job)",
    ),
    rule(
        "sandbox_jobs",
        "its job is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}jobs j WHERE j.owner_no = t.owner_no AND j.id = t.job)",
    ),
    rule(
        "root_key_wraps",
        "the tenant has no vault",
        "NOT EXISTS (SELECT 1 FROM {schema}vault_header h WHERE h.tenant = t.tenant)",
    ),
    rule(
        "vault_header",
        "its root key is wrapped nowhere",
        "NOT EXISTS (SELECT 1 FROM {schema}root_key_wraps w WHERE w.tenant = t.tenant AND w.root_key = t.root_key)",
    ),
    rule(
        "data_keys",
        "its number does not follow another",
        "t.number < 1 OR t.number > 1 AND NOT EXISTS (SELECT 1 FROM {schema}data_keys k \
         WHERE k.owner_no = t.owner_no AND k.number = CAST(t.number AS NUMERIC) - 1)",
    ),
    rule(
        "data_keys",
        "it seals more than it counts",
        "t.seals < (SELECT count(*) FROM {schema}secret_versions v WHERE v.owner_no = t.owner_no \
         AND v.data_key = t.id)",
    ),
    rule(
        "secrets",
        "its newest version is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}secret_versions v WHERE v.owner_no = t.owner_no AND v.name = t.name \
         AND v.number = t.current_version)",
    ),
    rule(
        "secret_versions",
        "its secret is not there, or older",
        "NOT EXISTS (SELECT 1 FROM {schema}secrets s WHERE s.owner_no = t.owner_no AND s.name = t.name \
         AND s.current_version >= t.number)",
    ),
    rule(
        "secret_versions",
        "its data key is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}data_keys k WHERE k.owner_no = t.owner_no AND k.id = t.data_key)",
    ),
    rule(
        "members",
        "it is of another tenant than the space, or of no space",
        "NOT EXISTS (SELECT 1 FROM {schema}users u WHERE u.owner_no = t.owner_no AND u.owner < ' ' AND u.tenant = t.tenant) \
         AND NOT EXISTS (SELECT 1 FROM {schema}users u WHERE u.owner_no = t.owner_no AND u.tenant < ' ')",
    ),
    rule("members", "it ends before it begins", "t.valid_until < t.valid_from"),
    rule(
        "policies",
        "its agent is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}agents a WHERE a.owner_no = t.owner_no AND a.name = t.agent)",
    ),
    rule(
        "tokens",
        "its agent is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}agents a WHERE a.owner_no = t.owner_no AND a.name = t.agent)",
    ),
    rule(
        "leases",
        "its agent is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}agents a WHERE a.owner_no = t.owner_no AND a.name = t.agent)",
    ),
    rule(
        "approvals",
        "its agent is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}agents a WHERE a.owner_no = t.owner_no AND a.name = t.agent)",
    ),
    rule(
        "workspace_entries",
        "its current version is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}entry_versions v WHERE v.version_no = t.version_no \
         AND v.owner_no = t.owner_no AND v.path = t.path AND v.state = 1)",
    ),
    rule(
        "entry_versions",
        "it is the current version of a file that is not there",
        "t.state = 1 AND NOT EXISTS (SELECT 1 FROM {schema}workspace_entries e WHERE e.owner_no = t.owner_no \
         AND e.path = t.path AND e.version_no = t.version_no)",
    ),
    rule(
        "entry_versions",
        "the user's statistics are missing",
        "t.state = 1 AND NOT EXISTS (SELECT 1 FROM {schema}workspace_statistics s WHERE s.owner_no = t.owner_no) \
         AND NOT EXISTS (SELECT 1 FROM {schema}users u WHERE u.owner_no = t.owner_no AND u.tenant = '{staged}')",
    ),
    rule("entry_versions", "it has no hash of its content", "t.state = 1 AND t.content_hash IS NULL"),
    rule(
        "entry_versions",
        "its parts are not of its size",
        "t.state <> 2 AND t.size <> (SELECT coalesce(sum(length(p.bytes)), 0) FROM {schema}entry_parts p \
         WHERE p.owner_no = t.owner_no AND p.version_no = t.version_no)",
    ),
    rule(
        "entry_versions",
        "it counts other chunks than it has",
        "t.state <> 2 AND (t.chunks, t.terms) <> (SELECT count(*), coalesce(sum(c.length), 0) \
         FROM {schema}memory_chunks c WHERE c.owner_no = t.owner_no AND c.version_no = t.version_no)",
    ),
    rule(
        "entry_versions",
        "its embedding model is not there",
        "t.model IS NOT NULL AND t.state <> 2 AND NOT EXISTS (SELECT 1 FROM {schema}embedding_models m \
         WHERE m.owner_no = t.owner_no AND m.id = t.model)",
    ),
    rule(
        "entry_parts",
        "its version is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}entry_versions v WHERE v.version_no = t.version_no \
         AND v.owner_no = t.owner_no)",
    ),
    rule(
        "entry_parts",
        "it has other bytes than its place",
        "length(t.bytes) <> CAST(t.end_byte AS NUMERIC) - t.start_byte",
    ),
    rule(
        "entry_parts",
        "it does not begin where the part before it ends",
        "t.start_byte <> coalesce((SELECT p.end_byte FROM {schema}entry_parts p WHERE p.owner_no = t.owner_no \
         AND p.version_no = t.version_no AND p.start_byte < t.start_byte ORDER BY p.start_byte DESC LIMIT 1), 0) \
         AND EXISTS (SELECT 1 FROM {schema}entry_versions v WHERE v.version_no = t.version_no \
         AND v.owner_no = t.owner_no AND v.state <> 2)",
    ),
    rule(
        "memory_chunks",
        "it is outside of its part",
        "NOT EXISTS (SELECT 1 FROM {schema}entry_parts p WHERE p.owner_no = t.owner_no \
         AND p.version_no = t.version_no AND p.start_byte = t.part_start AND p.start_byte <= t.start_byte \
         AND t.start_byte <= t.end_byte AND t.end_byte <= p.end_byte) AND NOT EXISTS (SELECT 1 \
         FROM {schema}entry_versions v WHERE v.version_no = t.version_no AND v.owner_no = t.owner_no AND v.state = 2)",
    ),
    rule(
        "chunk_terms",
        "it is of a version that is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}entry_versions v WHERE v.version_no = t.version_no \
         AND v.owner_no = t.owner_no)",
    ),
    rule(
        "workspace_statistics",
        "the statistics are not those of the user's files",
        "(t.documents, t.total_length) <> (SELECT coalesce(sum(v.chunks), 0), coalesce(sum(v.terms), 0) \
         FROM {schema}entry_versions v WHERE v.owner_no = t.owner_no AND v.state = 1)",
    ),
    rule(
        "embedding_models",
        "it counts other chunks than there are",
        "t.chunks <> (SELECT coalesce(sum(v.chunks), 0) FROM {schema}entry_versions v WHERE v.owner_no = t.owner_no \
         AND v.model = t.id AND v.state = 1)",
    ),
    rule(
        "audit_events",
        "its stream is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}audit_streams s WHERE s.owner_no = t.owner_no)",
    ),
    rule(
        "audit_private",
        "its event is not there",
        "NOT EXISTS (SELECT 1 FROM {schema}audit_events e WHERE e.owner_no = t.owner_no AND e.sequence = t.sequence)",
    ),
    rule(
        "audit_private",
        "it is about a user who never was",
        "t.about IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {schema}audit_streams s WHERE s.owner_no = t.about)",
    ),
    rule(
        "audit_pseudonyms",
        "it is of a user who is not there",
        "t.owner_no <> 0 AND NOT EXISTS (SELECT 1 FROM {schema}users u WHERE u.owner_no = t.owner_no)",
    ),
];
