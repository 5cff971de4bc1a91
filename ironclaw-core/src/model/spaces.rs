//! Spaces: places of a tenant that several users share, who is a member of them, and what members may do there.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{MembershipId, SpaceName, UserId};

/// A space of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Space {
    /// Its name.
    pub name: SpaceName,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Space {
    /// A space.
    pub fn new(name: SpaceName, created_at: Timestamp) -> Self {
        Self { name, created_at }
    }
}

/// What a member may do in a space. Each may also do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SpaceRole {
    /// Reads and searches everything, uses secrets and what was granted to be used, and leaves.
    Reader,
    /// Writes conversations, files, jobs and secrets, and asks for approvals.
    Writer,
    /// Decides who may do what: members, agents, policies, tokens, approvals, settings; and deletes everything.
    Manager,
}

impl SpaceRole {
    /// `reader`, `writer` or `manager`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Manager => "manager",
        }
    }
}

/// That a user was a member of a space, from when until when. A changed role is an ended membership and a new one, so that
/// "who had access on that day" has an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Membership {
    /// Its id.
    pub id: MembershipId,
    /// The space.
    pub space: SpaceName,
    /// The member.
    pub user: UserId,
    /// What the member may do.
    pub role: SpaceRole,
    /// From when.
    pub valid_from: Timestamp,
    /// Until when; absent while it is in force.
    pub valid_until: Option<Timestamp>,
}

impl Membership {
    /// A membership that is in force.
    pub fn new(id: MembershipId, space: SpaceName, user: UserId, role: SpaceRole, valid_from: Timestamp) -> Self {
        Self { id, space, user, role, valid_from, valid_until: None }
    }

    /// The same with an end.
    #[must_use]
    pub fn until(self, valid_until: Option<Timestamp>) -> Self {
        Self { valid_until, ..self }
    }
}
