//! Legal holds, retention and erasure.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{ErasureId, HoldId, TenantId};
use crate::scope::Owner;
use crate::setters::setters;

/// A legal hold: while it stands, nothing of the owner's is deleted, by anyone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// The tenant.
    pub tenant: TenantId,
    /// Whose data it is: a user or a space.
    pub owner: Owner,
    /// Why, in the operator's words.
    pub reason: String,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it was released, if it was.
    pub released_at: Option<Timestamp>,
}

impl Hold {
    /// A hold that stands.
    pub fn new(
        id: HoldId,
        tenant: TenantId,
        owner: impl Into<Owner>,
        reason: impl Into<String>,
        created_at: Timestamp,
    ) -> Self {
        Self { id, tenant, owner: owner.into(), reason: reason.into(), created_at, released_at: None }
    }
}

setters! {
    Hold:
    released_at: into Option<Timestamp>,
}

/// How long a tenant keeps a category of data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// The tenant.
    pub tenant: TenantId,
    /// What is deleted when it has not changed for that long.
    pub category: RetainedCategory,
    /// How many days it is kept.
    pub days: u32,
    /// When the policy last changed.
    pub updated_at: Timestamp,
}

impl RetentionPolicy {
    /// A policy that keeps this category for so many days.
    pub fn new(tenant: TenantId, category: RetainedCategory, days: u32, updated_at: Timestamp) -> Self {
        Self { tenant, category, days, updated_at }
    }
}

/// What a retention policy covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "every store keeps each of them by a code of its own: one that a store forgot must not compile"
)]
pub enum RetainedCategory {
    /// Conversations with their messages and jobs.
    Conversations,
    /// Jobs with their events and calls.
    Jobs,
    /// Workspace files.
    Workspace,
}

impl RetainedCategory {
    /// How the audit trail names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conversations => "conversations",
            Self::Jobs => "jobs",
            Self::Workspace => "workspace",
        }
    }
}

/// An erasure of all of a user's data, kept as proof; it names nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// The user's stream in the audit log, a random pseudonym that no longer leads to the person.
    #[serde(with = "crate::hex")]
    pub stream: [u8; 16],
    /// How many rows were deleted.
    pub rows: u64,
    /// When.
    pub created_at: Timestamp,
}

impl Erasure {
    /// An erasure of so many rows.
    pub fn new(id: ErasureId, stream: [u8; 16], rows: u64, created_at: Timestamp) -> Self {
        Self { id, stream, rows, created_at }
    }
}
