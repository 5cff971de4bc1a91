use async_trait::async_trait;

use super::{StoreError, VaultStore};
use crate::change::{AccessOp, Change};
use crate::clock::SystemClock;
use crate::id::{MembershipId, UserId};
use crate::input::{InputError, parsed};
use crate::model::spaces::SpaceRole;
use crate::page::PageRequest;
use crate::scope::Scope;

/// What is done to spaces every day, for everything that is a [`VaultStore`]. The scope is [in](Scope::in_space) the space.
///
/// ```
/// use ironclaw_core::model::spaces::SpaceRole;
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let store = LibsqlStore::in_memory().await?;
/// let ada = Scope::user("ada")?.in_space("team")?;
/// store.create_space(&ada).await?;
/// store.put_member(&ada, "bob", SpaceRole::Reader).await?;
/// assert!(store.remove_member(&ada, "bob").await?);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait SpaceExt: VaultStore {
    /// Makes the scope's space, with the scope's user as its first manager.
    ///
    /// # Errors
    /// A [`StoreError`]; [`AlreadyExists`](super::StoreErrorKind::AlreadyExists) if there is one of the name.
    async fn create_space(&self, scope: &Scope) -> Result<MembershipId, StoreError> {
        let membership = MembershipId::make(&SystemClock);
        self.apply(scope, Change::new().with(AccessOp::CreateSpace { membership })).await?;
        Ok(membership)
    }

    /// Makes a user a member of the scope's space, or gives a member another role.
    ///
    /// # Errors
    /// A [`StoreError`]; [`Conflict`](super::StoreErrorKind::Conflict) if the last manager would be none any more.
    async fn put_member<U>(&self, scope: &Scope, user: U, role: SpaceRole) -> Result<MembershipId, StoreError>
    where
        U: TryInto<UserId, Error: Into<InputError>> + Send,
    {
        let user = parsed(user).map_err(|error| StoreError::invalid_input("apply", error))?;
        let id = MembershipId::make(&SystemClock);
        self.apply(scope, Change::new().with(AccessOp::PutMember { id, user, role })).await?;
        Ok(id)
    }

    /// Ends a user's membership of the scope's space: a manager anybody's, others their own. Whether the user was a member.
    ///
    /// # Errors
    /// A [`StoreError`]; [`Conflict`](super::StoreErrorKind::Conflict) if it is the last manager's.
    async fn remove_member<U>(&self, scope: &Scope, user: U) -> Result<bool, StoreError>
    where
        U: TryInto<UserId, Error: Into<InputError>> + Send,
    {
        let user: UserId = parsed(user).map_err(|error| StoreError::invalid_input("apply", error))?;
        let mut page = PageRequest::default();
        loop {
            let members = self.access().members(scope, None, &page).await?;
            let found = members.items.iter().find(|member| member.user == user && member.valid_until.is_none());
            if let Some(member) = found {
                let id = member.id;
                self.apply(scope, Change::new().with(AccessOp::RemoveMember { id })).await?;
                return Ok(true);
            }
            match members.next {
                Some(next) => page = page.after(next),
                None => return Ok(false),
            }
        }
    }
}

impl<T: VaultStore + ?Sized> SpaceExt for T {}
