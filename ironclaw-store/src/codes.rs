//! The numbers that stand for a model's cases in both stores. They are never used for anything else again.

use ironclaw_core::model::access::{ApprovalState, UserStatus};
use ironclaw_core::model::audit::Action;
use ironclaw_core::model::conversations::Role;
use ironclaw_core::model::jobs::JobState;
use ironclaw_core::model::privacy::RetainedCategory;
use ironclaw_core::model::secrets::Algorithm;
use ironclaw_core::model::spaces::SpaceRole;

/// Where a version of a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionState {
    /// Begun and not yet published.
    Staging = 0,
    /// Visible.
    Current = 1,
    /// Replaced, deleted or given up.
    Superseded = 2,
}

impl VersionState {
    /// The number that stands for it.
    pub(crate) fn code(self) -> i64 {
        self as i64
    }

    pub(crate) fn from_code(code: i64) -> Option<Self> {
        [Self::Staging, Self::Current, Self::Superseded].into_iter().find(|state| state.code() == code)
    }
}

pub(crate) fn role_code(role: Role) -> i64 {
    match role {
        Role::User => 1,
        Role::Assistant => 2,
        Role::System => 3,
        Role::Tool => 4,
    }
}

pub(crate) fn role(code: i64) -> Option<Role> {
    [Role::User, Role::Assistant, Role::System, Role::Tool].into_iter().find(|role| role_code(*role) == code)
}

pub(crate) fn job_state_code(state: JobState) -> i64 {
    match state {
        JobState::Queued => 1,
        JobState::Running => 2,
        JobState::Succeeded => 3,
        JobState::Failed => 4,
        JobState::Cancelled => 5,
    }
}

pub(crate) fn job_state(code: i64) -> Option<JobState> {
    [JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Cancelled]
        .into_iter()
        .find(|state| job_state_code(*state) == code)
}

pub(crate) fn approval_state_code(state: ApprovalState) -> i64 {
    match state {
        ApprovalState::Pending => 0,
        ApprovalState::Approved => 1,
        ApprovalState::Denied => 2,
    }
}

pub(crate) fn approval_state(code: i64) -> Option<ApprovalState> {
    [ApprovalState::Pending, ApprovalState::Approved, ApprovalState::Denied]
        .into_iter()
        .find(|state| approval_state_code(*state) == code)
}

pub(crate) fn user_status_code(status: UserStatus) -> i64 {
    match status {
        UserStatus::Active => 0,
        UserStatus::Suspended => 1,
    }
}

pub(crate) fn user_status(code: i64) -> Option<UserStatus> {
    [UserStatus::Active, UserStatus::Suspended].into_iter().find(|status| user_status_code(*status) == code)
}

pub(crate) fn space_role_code(role: SpaceRole) -> i64 {
    match role {
        SpaceRole::Reader => 1,
        SpaceRole::Writer => 2,
        // Roles grow only together with the stores.
        _ => 3,
    }
}

pub(crate) fn space_role(code: i64) -> Option<SpaceRole> {
    [SpaceRole::Reader, SpaceRole::Writer, SpaceRole::Manager].into_iter().find(|role| space_role_code(*role) == code)
}

/// `None` for a cipher that these stores have no number for.
pub(crate) fn algorithm_code(algorithm: Algorithm) -> Option<i64> {
    match algorithm {
        Algorithm::Aes256Gcm => Some(1),
        Algorithm::XChaCha20Poly1305 => Some(2),
        _ => None,
    }
}

pub(crate) fn algorithm(code: i64) -> Option<Algorithm> {
    [Algorithm::Aes256Gcm, Algorithm::XChaCha20Poly1305].into_iter().find(|known| algorithm_code(*known) == Some(code))
}

pub(crate) fn category_code(category: RetainedCategory) -> i64 {
    match category {
        RetainedCategory::Conversations => 1,
        RetainedCategory::Jobs => 2,
        RetainedCategory::Workspace => 3,
    }
}

pub(crate) fn category(code: i64) -> Option<RetainedCategory> {
    [RetainedCategory::Conversations, RetainedCategory::Jobs, RetainedCategory::Workspace]
        .into_iter()
        .find(|known| category_code(*known) == code)
}

/// The codes of the events whose private parts go when a user forgets: those of newer programs too.
pub(crate) fn forgotten_actions() -> Vec<u16> {
    (0..=u16::MAX).filter(|code| Action::from_code(*code).is_some_and(Action::is_forgotten)).collect()
}

/// Codes with their 16 bytes, 17 bytes for each: principals and subjects of audit events.
pub(crate) fn coded(items: impl Iterator<Item = (u8, [u8; 16])>) -> Vec<u8> {
    items.flat_map(|(code, bytes)| std::iter::once(code).chain(bytes)).collect()
}

/// What [`coded`] wrote; `None` if it is something else.
pub(crate) fn decoded<T>(bytes: &[u8], decode: impl Fn(u8, [u8; 16]) -> Option<T>) -> Option<Vec<T>> {
    let (items, rest) = bytes.as_chunks::<17>();
    let items: Option<Vec<T>> = items
        .iter()
        .map(|item| {
            let (code, bytes) = item.split_first()?;
            decode(*code, bytes.try_into().ok()?)
        })
        .collect();
    items.filter(|_| rest.is_empty())
}
