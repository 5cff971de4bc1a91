//! Identifiers: UUIDv7 newtypes for what we make, validated strings for what the host names.

use crate::clock::Clock;
use crate::input::{InputError, Problem, check_name};

/// Defines an id that we make: a UUIDv7 (RFC 9562) newtype.
macro_rules! uuid_id {
    ($($(#[$meta:meta])* $name:ident, $field:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// A new id whose time part is the clock's.
            pub fn make(clock: &dyn Clock) -> Self {
                Self(make_uuid(clock))
            }

            /// The id with these 16 bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }

            /// The id's 16 bytes; their order is the order of making.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InputError;

            fn from_str(text: &str) -> Result<Self, InputError> {
                uuid::Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| InputError::new($field, Problem::Malformed { expected: "a UUID" }))
            }
        }
    )*};
}

/// Defines a name that the host chooses: a validated string newtype of at most 256 bytes without control characters.
/// Text and the name itself, owned or borrowed, convert into it, so that a function that asks for
/// `impl TryInto<Name, Error: Into<InputError>>` takes either.
macro_rules! name {
    ($($(#[$meta:meta])* $name:ident, $field:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Accepts a name of 1 to [`NAME_BYTES`] bytes without control characters.
            ///
            /// # Errors
            /// An [`InputError`] that names the field and the limit.
            pub fn parse(text: impl Into<String>) -> Result<Self, InputError> {
                let text = text.into();
                check_name($field, &text, NAME_BYTES)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InputError;

            fn try_from(text: String) -> Result<Self, InputError> {
                Self::parse(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InputError;

            fn try_from(text: &str) -> Result<Self, InputError> {
                Self::parse(text)
            }
        }

        impl TryFrom<&String> for $name {
            type Error = InputError;

            fn try_from(text: &String) -> Result<Self, InputError> {
                Self::parse(text)
            }
        }

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InputError;

            fn from_str(text: &str) -> Result<Self, InputError> {
                Self::parse(text)
            }
        }
    )*};
}

/// The longest name, in bytes.
pub const NAME_BYTES: usize = 256;

uuid_id! {
    /// A conversation.
    ConversationId, "conversation";
    /// A message of a conversation.
    MessageId, "message";
    /// A version of a workspace entry.
    VersionId, "version";
    /// A chunk of a workspace entry: what is embedded and found.
    ChunkId, "chunk";
    /// A job: one piece of work an agent did or is to do.
    JobId, "job";
    /// One call of a language model.
    LlmCallId, "llm call";
    /// One run of a sandboxed tool.
    SandboxJobId, "sandbox job";
    /// A wrapped data key.
    DataKeyId, "data key";
    /// One wrapping of the root key by a key source.
    RootKeyWrapId, "root key wrap";
    /// A vault.
    VaultId, "vault";
    /// An access policy.
    PolicyId, "policy";
    /// An agent's token.
    TokenId, "token";
    /// An API key.
    ApiKeyId, "api key";
    /// A lease of a secret.
    LeaseId, "lease";
    /// A request that a person approves or denies.
    ApprovalId, "approval";
    /// A capability granted to a tool.
    ToolGrantId, "tool grant";
    /// A legal hold.
    HoldId, "hold";
    /// An erasure of a person's data.
    ErasureId, "erasure";
    /// A membership of a user in a space.
    MembershipId, "membership";
}

name! {
    /// A tenant: data of two tenants never meet. One host with one tenant uses [`TenantId::default_tenant`].
    TenantId, "tenant";
    /// A user, named by the host.
    UserId, "user";
    /// An agent, named by the host.
    AgentName, "agent";
    /// A tool.
    ToolName, "tool";
    /// A secret of a user.
    SecretName, "secret";
    /// A role that users hold.
    RoleName, "role";
    /// A space of a tenant: a named place that several users share.
    SpaceName, "space";
    /// A setting, by convention dotted: `llm.model`.
    SettingKey, "setting";
    /// Whoever runs the store: the name under which admin work is audited.
    OperatorName, "operator";
    /// What a quota limits, by convention dotted: `workspace.bytes`.
    QuotaName, "quota";
    /// The caller's own name for one change, so that sending it twice applies it once.
    IdempotencyKey, "idempotency key";
    /// The model that made an embedding, with everything that changes its vectors: `hash-v1-384`.
    EmbeddingModelId, "embedding model";
    /// The process or task that works on a job.
    WorkerName, "worker";
}

impl TenantId {
    /// The tenant of a host that has only one, `default`.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }
}

fn make_uuid(clock: &dyn Clock) -> uuid::Uuid {
    let micros = clock.now().as_micros().max(0).unsigned_abs();
    let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1_000;
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    #[test]
    fn ids_carry_the_clocks_time_and_sort_by_it() {
        let clock = ManualClock::at(Timestamp::from_micros(1_000_000));
        let first = JobId::make(&clock);
        clock.advance(std::time::Duration::from_millis(5));
        let second = JobId::make(&clock);
        assert!(first < second);
        assert_eq!(first.to_string().parse::<JobId>().unwrap(), first);
        assert!("nonsense".parse::<JobId>().is_err());
    }

    #[test]
    fn a_deserialised_name_is_validated() {
        assert!(serde_json::from_str::<UserId>("\"ada\"").is_ok());
        assert!(serde_json::from_str::<UserId>("\"\"").is_err());
    }
}
