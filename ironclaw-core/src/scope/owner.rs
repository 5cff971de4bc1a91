//! Whose data it is.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::id::{SpaceName, UserId};
use crate::input::InputError;

/// Whose data it is: a user's, or a space's, which all who are members of it share.
///
/// Both have the same: a number of their own, an audit chain, keys, quotas, holds and erasure, on every category.
///
/// ```
/// use ironclaw_core::id::{SpaceName, UserId};
/// use ironclaw_core::Owner;
///
/// let ada = Owner::from(UserId::parse("ada")?);
/// let team = Owner::from(SpaceName::parse("ada")?);
/// assert_ne!(ada.key(), team.key());
/// assert_eq!(Owner::from_key(&team.key())?, team);
/// # Ok::<(), ironclaw_core::InputError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
#[expect(clippy::exhaustive_enums, reason = "whoever keeps data knows all whose it is")]
pub enum Owner {
    /// A user.
    User(UserId),
    /// A space.
    Space(SpaceName),
}

/// What comes before the name of a space in its key. No name has control characters.
const SPACE: char = '\u{1}';

impl Owner {
    /// What [`kind`](Self::kind) says of a user.
    pub const USER: &str = "user";
    /// What [`kind`](Self::kind) says of a space.
    pub const SPACE: &str = "space";

    /// `user` or `space`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => Self::USER,
            Self::Space(_) => Self::SPACE,
        }
    }

    /// The text that owners of a tenant are told apart by, wherever one text has to stand for them: a user's id, or a space's
    /// name after U+0001, which is in no name.
    pub fn key(&self) -> Cow<'_, str> {
        match self {
            Self::User(id) => Cow::Borrowed(id.as_str()),
            Self::Space(name) => Cow::Owned(format!("{SPACE}{name}")),
        }
    }

    /// The owner with this key.
    ///
    /// # Errors
    /// A text that is no owner's key.
    pub fn from_key(key: &str) -> Result<Self, InputError> {
        match key.strip_prefix(SPACE) {
            Some(name) => SpaceName::parse(name).map(Self::Space),
            None => UserId::parse(key).map(Self::User),
        }
    }

    /// The name, of whichever kind.
    pub fn name(&self) -> &str {
        match self {
            Self::User(id) => id.as_str(),
            Self::Space(name) => name.as_str(),
        }
    }

    /// The space, if it is one.
    pub fn into_space(self) -> Option<SpaceName> {
        match self {
            Self::User(_) => None,
            Self::Space(name) => Some(name),
        }
    }

    /// The user, if it is one.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(id) => Some(id),
            Self::Space(_) => None,
        }
    }
}

impl From<UserId> for Owner {
    fn from(id: UserId) -> Self {
        Self::User(id)
    }
}

impl From<SpaceName> for Owner {
    fn from(name: SpaceName) -> Self {
        Self::Space(name)
    }
}
