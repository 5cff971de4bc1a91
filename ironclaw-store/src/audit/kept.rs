//! What is kept beside a chain and isn't in its hashes: who the pseudonyms stand for, and the private parts of events.

use std::collections::HashSet;

use ironclaw_core::model::audit::PrincipalKind;
use ironclaw_core::store::StoreError;

use super::{SYSTEM_NO, Walk};
use crate::damage;
use crate::reserved::{ERASED, STAGED};
use crate::sql::{Transaction, params};

/// What is wrong beside a chain whose last step this snapshot is.
pub(crate) async fn wrong(walk: &Walk, tx: &dyn Transaction) -> Result<Vec<String>, StoreError> {
    let user = tx
        .query_row(
            "SELECT owner_no, pseudonym FROM ironclaw.users WHERE owner_no = ?1 AND tenant <> ?2 AND tenant <> ?3",
            params![walk.owner_no(), STAGED, ERASED],
            |row| Ok(row.bytes::<16>(1).ok()),
        )
        .await?;
    let mut wrong = pseudonyms(walk, user, tx).await?;
    // Of whoever was erased none is kept.
    if user.is_some() || walk.owner_no() == SYSTEM_NO {
        let missing = walk.bare().missing(tx).await?;
        if missing > 0 {
            wrong.push(format!("audit_private: {missing} that nobody may delete are missing; {}", damage::ADVICE));
        }
    }
    Ok(wrong)
}

/// What is wrong between the pseudonyms of a chain and those that are kept. `user` is who the chain is of, if they are
/// there, with their pseudonym.
async fn pseudonyms(
    walk: &Walk,
    user: Option<Option<[u8; 16]>>,
    tx: &dyn Transaction,
) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    let mut known = HashSet::new();
    tx.for_each(
        "SELECT name, kind, pseudonym FROM ironclaw.audit_pseudonyms WHERE owner_no = ?1",
        params![walk.owner_no()],
        &mut |row| {
            // What can't be decoded was told by its column.
            if let (Ok(kind), Ok(pseudonym)) = (row.code(1, |code| u8::try_from(code).ok()), row.bytes::<16>(2)) {
                known.insert((kind, pseudonym));
            }
            Ok(())
        },
    )
    .await?;
    let unused = known.difference(walk.principals()).count();
    if unused > 0 {
        wrong.push(format!("audit_pseudonyms: {unused} that no event has"));
    }
    let user = match user {
        Some(Some(user)) => user,
        None if walk.owner_no() == SYSTEM_NO => [0; 16],
        // Of whoever was erased none is kept.
        Some(None) | None => return Ok(wrong),
    };
    if walk.users().iter().any(|of_event| *of_event != user) {
        let other = "events have another pseudonym of the user than users.pseudonym";
        wrong.push(format!("audit_pseudonyms: {other}"));
    }
    known.insert((PrincipalKind::User.code(), user));
    let unknown = walk.principals().difference(&known).count();
    if unknown > 0 {
        wrong.push(format!("audit_pseudonyms: {unknown} of events are not kept; {}", damage::ADVICE));
    }
    Ok(wrong)
}
