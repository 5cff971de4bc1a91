//! What is deleted at once with all in it.

use ironclaw_core::id::{ConversationId, JobId};
use ironclaw_core::store::StoreError;

use super::row::{params, uuid};
use super::tx::Tx;

/// Deletes a job with all in it. 1 if it was there, otherwise 0.
pub(super) async fn delete_job(tx: &Tx, owner_no: i64, id: JobId) -> Result<u64, StoreError> {
    let id = uuid(id.as_bytes());
    for sql in [
        "DELETE FROM ironclaw.job_events WHERE owner_no = $1 AND job = $2",
        "DELETE FROM ironclaw.llm_calls WHERE owner_no = $1 AND job = $2",
        "DELETE FROM ironclaw.sandbox_jobs WHERE owner_no = $1 AND job = $2",
    ] {
        tx.execute(sql, params![owner_no, id]).await?;
    }
    tx.execute("DELETE FROM ironclaw.jobs WHERE owner_no = $1 AND id = $2", params![owner_no, id]).await
}

/// Deletes the jobs of a conversation.
pub(super) async fn delete_jobs_of(tx: &Tx, owner_no: i64, conversation: ConversationId) -> Result<(), StoreError> {
    let conversation = uuid(conversation.as_bytes());
    for sql in [
        "DELETE FROM ironclaw.job_events e USING ironclaw.jobs j WHERE j.owner_no = $1 AND j.conversation = $2 \
         AND e.owner_no = $1 AND e.job = j.id",
        "DELETE FROM ironclaw.llm_calls c USING ironclaw.jobs j WHERE j.owner_no = $1 AND j.conversation = $2 \
         AND c.owner_no = $1 AND c.job = j.id",
        "DELETE FROM ironclaw.sandbox_jobs s USING ironclaw.jobs j WHERE j.owner_no = $1 AND j.conversation = $2 \
         AND s.owner_no = $1 AND s.job = j.id",
        "DELETE FROM ironclaw.jobs WHERE owner_no = $1 AND conversation = $2",
    ] {
        tx.execute(sql, params![owner_no, conversation]).await?;
    }
    Ok(())
}
