//! What operators see.

use ironclaw_core::id::{ErasureId, HoldId, RoleName, SpaceName, TenantId};
use ironclaw_core::model::access::User;
use ironclaw_core::model::audit::AuditCheckpoint;
use ironclaw_core::model::privacy::{Erasure, Hold, RetentionPolicy};
use ironclaw_core::model::spaces::{Membership, Space};
use ironclaw_core::store::StoreError;
use ironclaw_core::{Owner, Page, PageRequest, Timestamp};

use crate::reserved::FIRST_TENANT;
use crate::sql::{Categories, Engine, Id, Query, Row, params};
use crate::{access, codes, cursor};

impl<E: Engine> Categories<E> {
    /// All users, ordered by tenant and name.
    pub(crate) async fn users(&self, page: &PageRequest) -> Result<Page<(TenantId, User)>, StoreError> {
        let after: Option<(String, String)> = cursor::after("users", page)?;
        let (tenant, owner) = after.unwrap_or_default();
        // No role's name has the end of a line.
        let query = Query::of_all(
            "SELECT u.tenant, u.owner, u.status, u.created_at, u.updated_at, (SELECT string_agg(r.role, '\n' \
             ORDER BY r.role) FROM ironclaw.user_roles r WHERE r.owner_no = u.owner_no) FROM ironclaw.users u \
             WHERE (u.tenant, u.owner) > (?1, ?2) AND u.tenant >= ?3 AND u.owner >= ' ' ORDER BY u.tenant, u.owner LIMIT ?4",
            params![tenant, owner, FIRST_TENANT],
            user,
        );
        self.page("users", page, query, |(tenant, user)| (tenant.to_string(), user.id.to_string())).await
    }

    /// All spaces, ordered by tenant and name.
    pub(crate) async fn spaces_of_all(&self, page: &PageRequest) -> Result<Page<(TenantId, Space)>, StoreError> {
        let after: Option<(String, String)> = cursor::after("spaces", page)?;
        let (tenant, owner) = after.unwrap_or_default();
        let query = Query::of_all(
            "SELECT u.tenant, u.owner, u.created_at FROM ironclaw.users u WHERE (u.tenant, u.owner) > (?1, ?2) \
             AND u.tenant >= ?3 AND u.owner < ' ' ORDER BY u.tenant, u.owner LIMIT ?4",
            params![tenant, owner, FIRST_TENANT],
            space,
        );
        self.page("spaces", page, query, |(tenant, space)| {
            (tenant.to_string(), Owner::from(space.name.clone()).key().into_owned())
        })
        .await
    }

    /// The memberships of a space that were in force at a time, in the order of their ids.
    pub(crate) async fn members_of(
        &self,
        tenant: &TenantId,
        space: &SpaceName,
        at: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<Membership>, StoreError> {
        let after: Option<[u8; 16]> = cursor::after("members", page)?;
        let key = Owner::from(space.clone()).key().into_owned();
        let params = params![tenant.as_str(), key, Id(&cursor::from(after)), at];
        let query = Query::of_all(access::MEMBERS_OF_SPACE, params, access::membership);
        self.page("members", page, query, |membership| *membership.id.as_bytes()).await
    }

    /// All legal holds, in the order in which they were placed.
    pub(crate) async fn holds(&self, page: &PageRequest) -> Result<Page<Hold>, StoreError> {
        let after: Option<u64> = cursor::after("holds", page)?;
        let query = Query::of_all(
            "SELECT h.hold_no, h.id, u.tenant, u.owner, h.reason, h.created_at, h.released_at FROM ironclaw.holds h \
             JOIN ironclaw.users u ON u.owner_no = h.owner_no WHERE h.hold_no > ?1 AND u.tenant >= ?2 \
             ORDER BY h.hold_no LIMIT ?3",
            params![after.unwrap_or(0), FIRST_TENANT],
            hold,
        );
        Ok(self.page("holds", page, query, |(hold_no, _)| *hold_no).await?.map(|(_, hold)| hold))
    }

    /// All erasures, in the order in which they were made.
    pub(crate) async fn erasures(&self, page: &PageRequest) -> Result<Page<Erasure>, StoreError> {
        let after: Option<u64> = cursor::after("erasures", page)?;
        let query = Query::of_all(
            "SELECT erasure_no, id, stream, deleted_rows, created_at FROM ironclaw.erasures WHERE erasure_no > ?1 \
             ORDER BY erasure_no LIMIT ?2",
            params![after.unwrap_or(0)],
            erasure,
        );
        Ok(self.page("erasures", page, query, |(erasure_no, _)| *erasure_no).await?.map(|(_, erasure)| erasure))
    }

    /// All checkpoints, ordered by size.
    pub(crate) async fn checkpoints(&self, page: &PageRequest) -> Result<Page<AuditCheckpoint>, StoreError> {
        let after: Option<u64> = cursor::after("checkpoints", page)?;
        let query = Query::of_all(
            "SELECT size, root, note, created_at FROM ironclaw.audit_checkpoints WHERE size > ?1 ORDER BY size LIMIT ?2",
            params![after.map_or(-1, u64::cast_signed)],
            checkpoint,
        );
        self.page("checkpoints", page, query, |checkpoint| checkpoint.size).await
    }

    /// The retention policies, ordered by tenant and category.
    pub(crate) async fn retention_policies(&self, operation: &'static str) -> Result<Vec<RetentionPolicy>, StoreError> {
        let sql =
            "SELECT tenant, category, days, updated_at FROM ironclaw.retention_policies ORDER BY tenant, category";
        self.list(operation, Query::of_all(sql, params![], policy)).await
    }
}

fn policy(row: &dyn Row) -> Result<RetentionPolicy, StoreError> {
    Ok(RetentionPolicy::new(row.parsed(0)?, row.code(1, codes::category)?, row.u32(2)?, row.time(3)?))
}

fn user(row: &dyn Row) -> Result<(TenantId, User), StoreError> {
    let roles = row.optional(5, Row::text)?.unwrap_or_default();
    let roles = roles.lines().map(|role| role.parse::<RoleName>().map_err(|_| row.corrupt(5)));
    let user = User::new(row.parsed(1)?, row.time(3)?)
        .status(row.code(2, codes::user_status)?)
        .roles(roles.collect::<Result<_, _>>()?)
        .updated_at(row.time(4)?);
    Ok((row.parsed(0)?, user))
}

fn space(row: &dyn Row) -> Result<(TenantId, Space), StoreError> {
    let name = row.owner(1)?.into_space().ok_or_else(|| row.corrupt(1))?;
    Ok((row.parsed(0)?, Space::new(name, row.time(2)?)))
}

fn hold(row: &dyn Row) -> Result<(u64, Hold), StoreError> {
    let hold = Hold::new(HoldId::from_bytes(row.id(1)?), row.parsed(2)?, row.owner(3)?, row.text(4)?, row.time(5)?)
        .released_at(row.optional(6, Row::time)?);
    Ok((row.count(0)?, hold))
}

fn erasure(row: &dyn Row) -> Result<(u64, Erasure), StoreError> {
    let erasure = Erasure::new(ErasureId::from_bytes(row.id(1)?), row.bytes(2)?, row.count(3)?, row.time(4)?);
    Ok((row.count(0)?, erasure))
}

fn checkpoint(row: &dyn Row) -> Result<AuditCheckpoint, StoreError> {
    Ok(AuditCheckpoint::new(row.count(0)?, row.bytes(1)?, row.text(2)?, row.time(3)?))
}
