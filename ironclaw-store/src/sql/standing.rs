//! In what place a transaction is.

use ironclaw_core::model::spaces::SpaceRole;

/// As what whoever writes is in the place that they write in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The user's own place; an operator has it anywhere.
    Own,
    /// A space, of which they are a member.
    Member(SpaceRole),
    /// A space that this transaction makes.
    Founder,
    /// A space that they would make, but somebody did before.
    Stranger,
}
