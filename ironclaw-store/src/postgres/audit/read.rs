use async_trait::async_trait;
use futures::FutureExt;
use ironclaw_core::audit::{ChainError, ChainProblem, ChainVerifier, commitment};
use ironclaw_core::model::audit::{
    Action, AuditEntry, AuditEvent, AuditFilter, AuditPrincipal, AuditPrivate, ChainHead, Outcome, PrincipalKind,
    Pseudonym, StreamId, Subject, SubjectKind,
};
use ironclaw_core::store::{Audit, StoreError, StoreErrorKind};
use ironclaw_core::{Page, PageRequest, Scope};

use crate::codes::decoded;
use crate::cursor;
use crate::error::broken_chains;
use crate::postgres::PostgresStore;
use crate::postgres::row::{Row, params};
use crate::postgres::tx::Tx;

/// The chain of what operators do, in place of a user's number.
const SYSTEM_NO: i64 = 0;

/// How many events are held in memory while a chain is verified.
const VERIFIED_AT_ONCE: i64 = 1_000;

#[async_trait]
impl Audit for PostgresStore {
    async fn events(
        &self,
        scope: &Scope,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let after: Option<u64> = cursor::after("events", page)?;
        self.read("events", scope, (filter.clone(), after, page.clone()), |tx, (filter, after, page)| {
            async move { events(tx, tx.owner_no(), &filter, after, &page).await }.boxed()
        })
        .await
    }

    async fn head(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError> {
        self.read("head", scope, (), |tx, ()| {
            async move { Ok(head(tx, tx.owner_no()).await?.filter(|head| head.sequence > 0)) }.boxed()
        })
        .await
    }

    async fn verify(&self, scope: &Scope) -> Result<Option<ChainHead>, StoreError> {
        self.read("verify", scope, (), |tx, ()| {
            async move { Ok(verify(tx, tx.owner_no()).await?.filter(|head| head.sequence > 0)) }.boxed()
        })
        .await
    }
}

/// A page of the system's chain.
pub(in crate::postgres) async fn system_events(
    tx: &Tx,
    after: Option<u64>,
    page: &PageRequest,
) -> Result<Page<AuditEntry>, StoreError> {
    events(tx, SYSTEM_NO, &AuditFilter::default(), after, page).await
}

/// Verifies every chain and gives their heads, the system's first. One that was changed does not hide others.
pub(in crate::postgres) async fn verify_all(tx: &Tx) -> Result<Vec<ChainHead>, StoreError> {
    let sql = "SELECT owner_no, stream FROM ironclaw.audit_streams ORDER BY owner_no";
    let streams = tx.query(sql, params![], |row| Ok((row.i64(0)?, StreamId(row.bytes(1)?)))).await?;
    let mut heads = Vec::with_capacity(streams.len());
    let mut broken = Vec::new();
    let mut first = None;
    for (owner_no, stream) in streams {
        match verify(tx, owner_no).await {
            Ok(head) => heads.extend(head.filter(|head| head.sequence > 0 || owner_no == SYSTEM_NO)),
            Err(error) if *error.kind() == StoreErrorKind::Corrupt => {
                broken.push(stream);
                first.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match first {
        Some(first) => Err(broken_chains(tx.operation(), &broken, first)),
        None => Ok(heads),
    }
}

async fn events(
    tx: &Tx,
    owner_no: i64,
    filter: &AuditFilter,
    after: Option<u64>,
    page: &PageRequest,
) -> Result<Page<AuditEntry>, StoreError> {
    let items = tx
        .query(
            "SELECT e.sequence, s.stream, e.previous, e.time, e.\"user\", e.principals, e.action, e.outcome, \
             e.subjects, e.commitment, e.hash, e.tree_index, p.salt, p.private \
             FROM ironclaw.audit_events e JOIN ironclaw.audit_streams s ON s.owner_no = e.owner_no \
             LEFT JOIN ironclaw.audit_private p ON p.owner_no = e.owner_no AND p.sequence = e.sequence \
             WHERE e.owner_no = $1 AND e.sequence > $2 AND ($3::integer IS NULL OR e.action = $3) \
             AND ($4::smallint IS NULL OR e.outcome = $4) AND ($5::timestamptz IS NULL OR e.time >= $5) \
             AND ($6::timestamptz IS NULL OR e.time < $6) ORDER BY e.sequence LIMIT $7",
            params![
                owner_no,
                after.unwrap_or(0),
                filter.action.map(|action| i32::from(action.code())),
                filter.outcome.map(|outcome| i16::from(outcome.code())),
                filter.from,
                filter.until,
                cursor::rows(page)
            ],
            |row| {
                let private = row.optional(13, Row::blob)?.map(|bytes| parse_private(row, &bytes)).transpose()?;
                Ok(AuditEntry { event: event(row)?, private })
            },
        )
        .await?;
    Ok(cursor::page(page, items, |entry| entry.event.sequence))
}

async fn head(tx: &Tx, owner_no: i64) -> Result<Option<ChainHead>, StoreError> {
    tx.query_row(
        "SELECT owner_no, stream, sequence, hash FROM ironclaw.audit_streams WHERE owner_no = $1",
        params![owner_no],
        |row| Ok(ChainHead { stream: StreamId(row.bytes(1)?), sequence: row.count(2)?, hash: row.bytes(3)? }),
    )
    .await
}

async fn verify(tx: &Tx, owner_no: i64) -> Result<Option<ChainHead>, StoreError> {
    let Some(head) = head(tx, owner_no).await? else {
        return Ok(None);
    };
    let broken = |sequence, problem| {
        tx.error(StoreErrorKind::Corrupt, "the audit trail was changed").with_source(ChainError { sequence, problem })
    };
    let mut verifier = ChainVerifier::new(head.stream);
    loop {
        let read = tx
            .query(
                "SELECT e.sequence, s.stream, e.previous, e.time, e.\"user\", e.principals, e.action, e.outcome, \
                 e.subjects, e.commitment, e.hash, e.tree_index, p.salt, p.private \
                 FROM ironclaw.audit_events e JOIN ironclaw.audit_streams s ON s.owner_no = e.owner_no \
                 LEFT JOIN ironclaw.audit_private p ON p.owner_no = e.owner_no AND p.sequence = e.sequence \
                 WHERE e.owner_no = $1 AND e.sequence > $2 ORDER BY e.sequence LIMIT $3",
                params![owner_no, verifier.head().sequence, VERIFIED_AT_ONCE],
                |row| {
                    let salt = row.optional(12, Row::bytes::<32>)?;
                    Ok((event(row)?, salt.zip(row.optional(13, Row::blob)?)))
                },
            )
            .await?;
        for (event, private) in &read {
            verifier.push(event).map_err(|error| broken(error.sequence, error.problem))?;
            if let Some((salt, private)) = private
                && commitment(salt, private) != event.commitment
            {
                return Err(broken(event.sequence, ChainProblem::Commitment));
            }
        }
        if (read.len() as i64) < VERIFIED_AT_ONCE {
            break;
        }
    }
    // A chain whose end was cut off is whole by itself.
    if verifier.head() != head {
        return Err(broken(verifier.head().sequence.saturating_add(1), ChainProblem::Sequence));
    }
    Ok(Some(head))
}

fn event(row: &Row<'_>) -> Result<AuditEvent, StoreError> {
    Ok(AuditEvent {
        stream: StreamId(row.bytes(1)?),
        sequence: row.count(0)?,
        previous: row.bytes(2)?,
        time: row.time(3)?,
        user: Pseudonym(row.bytes(4)?),
        principals: coded(row, 5, |code, bytes| {
            let kind = PrincipalKind::from_code(code)?;
            Some(AuditPrincipal { kind, pseudonym: Pseudonym(bytes) })
        })?,
        action: row.code(6, |code| Action::from_code(code.try_into().ok()?))?,
        outcome: row.code(7, |code| Outcome::from_code(code.try_into().ok()?))?,
        subjects: coded(row, 8, |code, id| Some(Subject { kind: SubjectKind::from_code(code)?, id }))?,
        commitment: row.bytes(9)?,
        hash: row.bytes(10)?,
        tree_index: row.optional(11, Row::count)?,
    })
}

fn coded<T>(row: &Row<'_>, column: usize, decode: impl Fn(u8, [u8; 16]) -> Option<T>) -> Result<Vec<T>, StoreError> {
    decoded(&row.blob(column)?, decode).ok_or_else(|| row.corrupt(column))
}

fn parse_private(row: &Row<'_>, bytes: &[u8]) -> Result<AuditPrivate, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| row.corrupt(13))
}
