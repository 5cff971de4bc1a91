//! The whole suite in spaces: what a case does as a user is done in a space of the user's name, by its one member.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Opened, StoreHarness, Tampering};
use crate::change::{Change, Receipt};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::conformance::{Capability, Failure};
use crate::id::{MembershipId, SpaceName, TenantId, UserId};
use crate::maintenance::{Maintenance, Scrubbed, SystemChange};
use crate::model::access::User;
use crate::model::audit::{Action, AuditCheckpoint, AuditEntry, ChainHead};
use crate::model::privacy::{Erasure, Hold, RetentionPolicy};
use crate::model::spaces::{Membership, Space};
use crate::page::{Page, PageRequest};
use crate::scope::{Owner, Scope};
use crate::store::{
    Access, AgentStore, Apply, Audit, Conversations, Jobs, MemoryStore, Secrets, Settings, Store, StoreError,
    VaultStore, Workspace,
};

/// A harness whose stores put what users do into spaces: with it the suite shows that a space keeps every promise that a
/// user's own place does.
pub(crate) struct InSpaces<H>(pub(crate) H);

/// The cases about what a space is not: somebody who acts, has roles and may be suspended, and comes to be by being named.
const OF_USERS: [&str; 6] = [
    "access::round_trips_every_field",
    "system::users_and_roles",
    "system::is_audited_under_the_operator",
    "suspension::suspended_user_is_found_active_again",
    "audit::events_say_who_and_where",
    "races::nobody_is_erased_twice_or_under_a_hold",
];

/// Whether a case is run in spaces.
pub(crate) fn runs_in_spaces(name: &str) -> bool {
    !name.starts_with("spaces::") && !OF_USERS.contains(&name)
}

#[async_trait]
impl<H: StoreHarness> StoreHarness for InSpaces<H> {
    fn capabilities(&self) -> &'static [Capability] {
        self.0.capabilities()
    }

    async fn place(&self) -> Result<String, Failure> {
        self.0.place().await
    }

    async fn open(&self, place: &str, clock: Arc<dyn Clock>) -> Result<Opened, Failure> {
        let Opened { store, maintenance } = self.0.open(place, clock).await?;
        let spaced = Arc::new(Spaced { store, maintenance, known: Mutex::default() });
        Ok(Opened { store: spaced.clone(), maintenance: spaced })
    }

    async fn fault_points(&self, place: &str) -> Result<Vec<String>, Failure> {
        self.0.fault_points(place).await
    }

    async fn fail_at(&self, place: &str, point: Option<&str>) -> Result<(), Failure> {
        self.0.fail_at(place, point).await
    }

    async fn tamper(&self, place: &str, scope: &Scope, tampering: Tampering) -> Result<(), Failure> {
        self.0.tamper(place, &inside(scope), tampering).await
    }

    async fn stored(&self, place: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        self.0.stored(place).await
    }

    async fn index(&self, place: &str) -> Result<(), Failure> {
        self.0.index(place).await
    }
}

/// A store with its admin plane, in which users have spaces.
#[derive(Debug)]
pub(crate) struct Spaced {
    pub(crate) store: Arc<dyn Store>,
    maintenance: Arc<dyn Maintenance>,
    /// The spaces that were made.
    known: Mutex<HashSet<(TenantId, UserId)>>,
}

/// The scope in the space of the user's name, of its one member. Its name says nothing of the user's: of whoever is erased no
/// name may be left.
pub(crate) fn inside(scope: &Scope) -> Scope {
    let Owner::User(user) = scope.owner() else {
        return scope.clone();
    };
    let Ok(space) = SpaceName::parse(user.as_str()).and_then(|name| {
        Scope::of_tenant(scope.tenant().clone(), member(user)).in_request(scope.request().clone()).in_space(name)
    }) else {
        return scope.clone();
    };
    scope.chain().iter().skip(1).fold(space, |scope, principal| scope.acting(principal.clone()))
}

/// The one member of the space of a user's name.
fn member(user: &UserId) -> UserId {
    let mut hasher = DefaultHasher::new();
    user.hash(&mut hasher);
    UserId::parse(format!("member {:016x}", hasher.finish())).unwrap_or_else(|_| user.clone())
}

/// The space of a user's name.
fn space(owner: &Owner) -> Owner {
    match owner.user().map(|user| SpaceName::parse(user.as_str())) {
        Some(Ok(name)) => name.into(),
        _ => owner.clone(),
    }
}

/// The user of a space's name.
fn user(owner: Owner) -> Owner {
    match UserId::parse(owner.name()) {
        Ok(user) => user.into(),
        Err(_) => owner,
    }
}

impl Spaced {
    /// Makes the space of a user's name, if it is not there.
    async fn make(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        let (Some(user), Owner::Space(name)) = (owner.user(), space(owner)) else {
            return Ok(());
        };
        let known = (tenant.clone(), user.clone());
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&known) {
            return Ok(());
        }
        let one = PageRequest::default();
        if self.maintenance.members(tenant, &name, None, &one).await?.items.is_empty() {
            let membership = MembershipId::make(&SystemClock);
            let (tenant, user) = (tenant.clone(), member(user));
            let appoint = SystemChange::AppointManager { tenant, space: name, user, membership };
            self.maintenance.apply_system(appoint).await?;
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(known);
        Ok(())
    }

    fn forget(&self, tenant: &TenantId, owner: &Owner) {
        if let Some(user) = owner.user() {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&(tenant.clone(), user.clone()));
        }
    }
}

#[async_trait]
impl Apply for Spaced {
    async fn apply(&self, scope: &Scope, change: Change) -> Result<Receipt, StoreError> {
        self.make(scope.tenant(), scope.owner()).await?;
        self.store.apply(&inside(scope), change).await
    }
}

impl VaultStore for Spaced {
    fn secrets(&self) -> &dyn Secrets {
        self
    }

    fn access(&self) -> &dyn Access {
        self
    }

    fn audit(&self) -> &dyn Audit {
        self
    }
}

impl MemoryStore for Spaced {
    fn workspace(&self) -> &dyn Workspace {
        self
    }
}

impl AgentStore for Spaced {
    fn conversations(&self) -> &dyn Conversations {
        self
    }

    fn jobs(&self) -> &dyn Jobs {
        self
    }
}

#[async_trait]
impl Store for Spaced {
    fn settings(&self) -> &dyn Settings {
        self
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

#[async_trait]
impl Maintenance for Spaced {
    async fn apply_system(&self, change: SystemChange) -> Result<Receipt, StoreError> {
        let change = match change {
            SystemChange::PutUser { tenant, owner, status, roles } => {
                SystemChange::PutUser { tenant, owner: member(&owner), status, roles }
            }
            SystemChange::PutQuota { tenant, owner, name, limit } => {
                self.make(&tenant, &owner).await?;
                SystemChange::PutQuota { tenant, owner: space(&owner), name, limit }
            }
            SystemChange::PlaceHold { mut hold } => {
                self.make(&hold.tenant, &hold.owner).await?;
                hold.owner = space(&hold.owner);
                SystemChange::PlaceHold { hold }
            }
            SystemChange::EraseUser { tenant, owner, id } => {
                self.forget(&tenant, &owner);
                SystemChange::EraseUser { tenant, owner: space(&owner), id }
            }
            other => other,
        };
        self.maintenance.apply_system(change).await
    }

    async fn users(&self, page: &PageRequest) -> Result<Page<(TenantId, User)>, StoreError> {
        let Page { items, next } = self.maintenance.spaces(page).await?;
        let users = items.into_iter().filter_map(|(tenant, space)| {
            let id = UserId::parse(space.name.as_str()).ok()?;
            Some((tenant, User::new(id, space.created_at)))
        });
        Ok(Page { items: users.collect(), next })
    }

    async fn spaces(&self, page: &PageRequest) -> Result<Page<(TenantId, Space)>, StoreError> {
        self.maintenance.spaces(page).await
    }

    async fn members(
        &self,
        tenant: &TenantId,
        space: &SpaceName,
        at: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Membership>, StoreError> {
        self.maintenance.members(tenant, space, at, page).await
    }

    async fn holds(&self, page: &PageRequest) -> Result<Page<Hold>, StoreError> {
        let holds = self.maintenance.holds(page).await?;
        Ok(holds.map(|hold| Hold { owner: user(hold.owner.clone()), ..hold }))
    }

    async fn retention_policies(&self) -> Result<Vec<RetentionPolicy>, StoreError> {
        self.maintenance.retention_policies().await
    }

    async fn erasures(&self, page: &PageRequest) -> Result<Page<Erasure>, StoreError> {
        self.maintenance.erasures(page).await
    }

    async fn system_events(&self, page: &PageRequest) -> Result<Page<AuditEntry>, StoreError> {
        let mut events = self.maintenance.system_events(page).await?;
        // That the spaces were made.
        events.items.retain(|entry| entry.event.action != Action::ManagerAppoint);
        Ok(events)
    }

    async fn checkpoints(&self, page: &PageRequest) -> Result<Page<AuditCheckpoint>, StoreError> {
        self.maintenance.checkpoints(page).await
    }

    async fn verify_audit(&self) -> Result<Vec<ChainHead>, StoreError> {
        self.maintenance.verify_audit().await
    }

    async fn apply_retention(&self) -> Result<u64, StoreError> {
        self.maintenance.apply_retention().await
    }

    async fn scrub(&self) -> Result<Scrubbed, StoreError> {
        self.maintenance.scrub().await
    }

    async fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        self.maintenance.check_integrity().await
    }
}

/// Implements a category's reading for [`Spaced`]: each method as the trait declares it, in the space instead of the user's own
/// place.
macro_rules! spaced {
    ($trait:ident $category:ident: $($methods:tt)*) => {
        $crate::conformance::store::spaced!(@ $trait $category [] $($methods)*);
    };
    (@ $trait:ident $category:ident [$($done:tt)*]
        async fn $name:ident(&self, scope: &Scope $(, $arg:ident: $type:ty)* $(,)?) -> $output:ty; $($rest:tt)*) => {
        $crate::conformance::store::spaced!(@ $trait $category [
            $($done)*
            async fn $name(&self, scope: &Scope $(, $arg: $type)*) -> $output {
                self.store.$category().$name(&$crate::conformance::store::inside(scope) $(, $arg)*).await
            }
        ] $($rest)*);
    };
    (@ $trait:ident $category:ident [$($done:tt)*]
        async fn $name:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> $output:ty; $($rest:tt)*) => {
        $crate::conformance::store::spaced!(@ $trait $category [
            $($done)*
            async fn $name(&self $(, $arg: $type)*) -> $output {
                self.store.$category().$name($($arg),*).await
            }
        ] $($rest)*);
    };
    (@ $trait:ident $category:ident [$($done:tt)*]) => {
        #[async_trait::async_trait]
        impl $trait for $crate::conformance::store::Spaced { $($done)* }
    };
}

pub(crate) use spaced;
