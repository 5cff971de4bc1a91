//! What is kept beside a chain and isn't in its hashes: who the pseudonyms stand for, and the private parts of events.

use std::collections::HashSet;

use ironclaw_core::Owner;
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
            "SELECT owner_no, pseudonym, owner FROM ironclaw.users WHERE owner_no = ?1 AND tenant <> ?2 AND tenant <> ?3",
            params![walk.owner_no(), STAGED, ERASED],
            |row| Ok((row.bytes::<16>(1).ok(), matches!(row.owner(2), Ok(Owner::Space(_))))),
        )
        .await?;
    let (user, is_space) = (user.map(|(user, _)| user), user.is_some_and(|(_, is_space)| is_space));
    let (known, mut wrong) = pseudonyms(walk, user, is_space, tx).await?;
    // Of whoever was erased none is kept.
    if user.is_some() || walk.owner_no() == SYSTEM_NO {
        let missing = match is_space {
            true => walk.bare().missing_by(|pseudonym| known.contains(&(PrincipalKind::User.code(), *pseudonym))),
            false => walk.bare().missing(tx).await?,
        };
        if missing > 0 {
            wrong.push(format!("audit_private: {missing} that nobody may delete are missing; {}", damage::ADVICE));
        }
    }
    Ok(wrong)
}

/// The pseudonyms that are kept for a chain, and what is wrong between them and those in it. `user` is who the chain is of, if
/// they are there, with their pseudonym. In a space those of members who were erased are gone, with what it told of them.
async fn pseudonyms(
    walk: &Walk,
    user: Option<Option<[u8; 16]>>,
    is_space: bool,
    tx: &dyn Transaction,
) -> Result<(HashSet<(u8, [u8; 16])>, Vec<String>), StoreError> {
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
        Some(None) | None => return Ok((known, wrong)),
    };
    if walk.users().iter().any(|of_event| *of_event != user) {
        let other = "events have another pseudonym of the user than users.pseudonym";
        wrong.push(format!("audit_pseudonyms: {other}"));
    }
    known.insert((PrincipalKind::User.code(), user));
    let is_erased =
        |kind: u8, pseudonym| is_space && kind == PrincipalKind::User.code() && walk.bare().is_untold(pseudonym);
    let unknown = walk.principals().difference(&known).filter(|(kind, of)| !is_erased(*kind, of)).count();
    if unknown > 0 {
        wrong.push(format!("audit_pseudonyms: {unknown} of events are not kept; {}", damage::ADVICE));
    }
    Ok((known, wrong))
}
