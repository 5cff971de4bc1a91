//! Who connects, and what a role may do.

use std::collections::BTreeSet;

use ironclaw_core::store::{StoreError, StoreErrorKind};
use sqlx::PgConnection;

use super::definitions;
use super::error::from_sqlx;

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The application: bound by row-level security.
    Application,
    /// Whatever the server lets connect: for development.
    Any,
    /// An operator: a member of the owner's role.
    Operator,
}

/// What roles may do that the application must not: its kind, and what is said of it.
pub(super) const RISKS: &str = include_str!("catalogue/risks.sql");

/// The group of the application, which has all the rights that it needs.
const APPLICATION: &str = "ironclaw_app";

/// Checks that the role which connected may do what it needs to, and the application nothing else.
pub(super) async fn check(
    operation: &'static str,
    connection: &mut PgConnection,
    role: Role,
) -> Result<(), StoreError> {
    let failed = |error| from_sqlx(operation, error);
    let refused = |context: String| Err(StoreError::new(StoreErrorKind::Privileges, operation, context));
    // Who connected may be another role than the one whose rights apply, and takes its own rights back at will.
    let (names, is_app, is_operator): (Vec<String>, bool, bool) = sqlx::query_as(
        "SELECT ARRAY[current_user::text, session_user::text], pg_has_role(current_user, 'ironclaw_app', 'USAGE'), \
         pg_has_role(current_user, 'ironclaw_owner', 'SET')",
    )
    .persistent(false)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    match role {
        Role::Any => return Ok(()),
        Role::Operator if is_operator => return Ok(()),
        Role::Operator => {
            let context = "an operator's role must be a member of ironclaw_owner that may take its rights: GRANT \
                           ironclaw_owner TO it WITH SET TRUE";
            return refused(context.into());
        }
        Role::Application => {}
    }
    let risk: Option<(String, String)> =
        sqlx::query_as(RISKS).bind(&names).persistent(false).fetch_optional(&mut *connection).await.map_err(failed)?;
    if let Some((_, risk)) = risk {
        return refused(format!("{risk}: connect as a member of ironclaw_app that may do nothing else"));
    }
    if !is_app {
        return refused("the role is no member of ironclaw_app: GRANT ironclaw_app TO it".into());
    }
    let granted = format!(
        "SELECT g.object, g.definition FROM ({}) g WHERE g.grantee = 0 OR EXISTS (SELECT FROM pg_roles r \
         WHERE r.rolname = ANY ($1) AND pg_has_role(r.oid, g.grantee, 'MEMBER')) ORDER BY 1",
        definitions::GRANTS
    );
    let granted: Vec<(String, String)> = sqlx::query_as(sqlx::AssertSqlSafe(granted))
        .bind(&names)
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let needed: BTreeSet<_> =
        definitions::expected().filter(|(object, _)| object.ends_with(&format!(" to {APPLICATION}"))).collect();
    match granted.iter().find(|(object, definition)| !needed.contains(&(object.as_str(), definition.as_str()))) {
        Some((object, _)) => refused(format!(
            "the role has a right that it does not need, by a {object}: revoke that, or connect as a member of \
             ironclaw_app that has no other"
        )),
        None => Ok(()),
    }
}
