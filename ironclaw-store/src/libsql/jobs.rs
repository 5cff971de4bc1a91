//! Removing jobs with all in them.

use ironclaw_core::store::StoreError;

use super::db::Db;
use super::portions::sized;
use super::row::params;

/// Removes some of a job. How many rows.
pub(super) fn remove(db: &Db, owner_no: i64, id: [u8; 16]) -> Result<u64, StoreError> {
    let mut rows = 0;
    for (select, delete) in [
        (
            "SELECT event_no, octet_length(step) FROM job_events WHERE owner_no = ?1 AND job = ?2 LIMIT ?3",
            "DELETE FROM job_events WHERE event_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT call_no, octet_length(request) + coalesce(octet_length(response), 0) FROM llm_calls \
             WHERE owner_no = ?1 AND job = ?2 LIMIT ?3",
            "DELETE FROM llm_calls WHERE call_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT run_no, octet_length(outcome) + octet_length(parameters) + octet_length(log) FROM sandbox_jobs \
             WHERE owner_no = ?1 AND job = ?2 LIMIT ?3",
            "DELETE FROM sandbox_jobs WHERE run_no = ?1 AND owner_no = ?2",
        ),
        (
            "SELECT job_no, octet_length(input) FROM jobs WHERE owner_no = ?1 AND id = ?2 LIMIT ?3",
            "DELETE FROM jobs WHERE job_no = ?1 AND owner_no = ?2",
        ),
    ] {
        rows += sized(db, select, params![owner_no, &id], delete, owner_no)?;
    }
    Ok(rows)
}

/// Removes some of the jobs of a conversation. How many rows.
pub(super) fn remove_of(db: &Db, owner_no: i64, conversation: [u8; 16]) -> Result<u64, StoreError> {
    let mut rows = 0;
    while db.budget.is_left() {
        let next = db.query_row(
            "SELECT id FROM jobs WHERE owner_no = ?1 AND conversation = ?2 LIMIT 1",
            params![owner_no, &conversation],
            |row| row.bytes(0),
        )?;
        let Some(id) = next else {
            break;
        };
        rows += remove(db, owner_no, id)?;
    }
    Ok(rows)
}
