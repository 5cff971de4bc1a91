//! Whom a space names: they must be in the target, the same, before it is seen there.

use std::collections::BTreeSet;

use ironclaw_core::Owner;
use ironclaw_core::id::{TenantId, UserId};
use ironclaw_core::store::{StoreError, StoreErrorKind};

use super::end::{Identity, Named, Unit, Which};
use super::run::read;
use super::table::{OF_USER, Value};
use super::{COPY, Movable, erased, taken};
use crate::damage::corrupt;
use crate::reserved::STAGED;
use crate::sql::{Transaction, params};

impl Named {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.unknown.is_empty()
    }

    /// Whom a space of this identity and number names and tells of in a store. What is no space names nobody.
    pub(super) async fn of(from: &dyn Movable, space: Option<&Identity>, owner_no: i64) -> Result<Self, StoreError> {
        let mut named = Self::default();
        let Some(space) = space.filter(|space| matches!(Owner::from_key(&space.owner), Ok(Owner::Space(_)))) else {
            return Ok(named);
        };
        let damaged = || corrupt(COPY, format!("users.tenant of row {owner_no} is no tenant"));
        let tenant = TenantId::parse(space.tenant.as_str()).map_err(|_| damaged())?;
        let table = |name| OF_USER.iter().position(|table| table.name == name).into_iter().collect();
        read(from, Unit::Owner(owner_no), table("audit_private"), |batch| {
            named.known.extend(batch.rows.iter().filter_map(|row| match row.get(1) {
                Some(Value::Bytes(stream)) => <[u8; 16]>::try_from(stream.as_slice()).ok(),
                _ => None,
            }));
        })
        .await?;
        let mut members = BTreeSet::new();
        read(from, Unit::Owner(owner_no), table("members"), |batch| {
            members.extend(batch.rows.iter().filter_map(|row| match row.get(2) {
                Some(Value::Text(name)) => UserId::parse(name.as_str()).ok(),
                _ => None,
            }));
        })
        .await?;
        for user in members {
            let owner = Owner::from(user);
            match from.chains(Which::named(&tenant, &owner)).await?.pop() {
                Some(member) => drop(named.known.insert(member.stream)),
                None => drop(named.unknown.insert(owner.key().into_owned())),
            }
        }
        Ok(named)
    }
}

/// Refuses to show a space where those are not, or are others, whom it names or tells of: members would be somebody else,
/// erased ones would come back, and what the trail tells in private would not go with whom it is about. An erasure comes before
/// or after the transaction.
pub(crate) async fn check_here(tx: &dyn Transaction, tenant: &str, named: &Named) -> Result<(), StoreError> {
    for stream in &named.known {
        let here = tx
            .number(
                "SELECT owner_no FROM ironclaw.users WHERE tenant = ?1 AND owner_no = \
                 (SELECT owner_no FROM ironclaw.audit_streams WHERE stream = ?2) FOR SHARE",
                params![tenant, stream],
            )
            .await?;
        if here != 0 {
            continue;
        }
        let staged = "SELECT count(*) FROM ironclaw.audit_streams s JOIN ironclaw.users u ON u.owner_no = s.owner_no \
                      WHERE s.stream = ?1 AND u.tenant = ?2";
        let known = "SELECT count(*) FROM ironclaw.audit_streams WHERE stream = ?1";
        let is_staged = tx.number(staged, params![stream, STAGED]).await? > 0;
        if !is_staged && tx.number(known, params![stream]).await? > 0 {
            return Err(erased());
        }
        let context = "members of the space are not in the target: copy them first, and whole";
        return Err(StoreError::new(StoreErrorKind::Conflict, COPY, context));
    }
    for key in &named.unknown {
        let sql = "SELECT count(*) FROM ironclaw.users WHERE tenant = ?1 AND owner = ?2";
        if tx.number(sql, params![tenant, key.as_str()]).await? > 0 {
            return Err(taken());
        }
    }
    Ok(())
}
