//! Deletes what the user has, and then its bytes.

use ironclaw_core::change::PrivacyOp;
use ironclaw_core::store::Apply;
use ironclaw_core::{Change, Maintenance};

use crate::failure::Failure;
use crate::host::Folder;
use crate::output::Output;
use crate::sources::Sources;

pub(crate) async fn forget(folder: &Folder, output: &Output) -> Result<(), Failure> {
    folder.store.apply(&folder.scope, Change::new().with(PrivacyOp::Forget)).await?;
    Sources::default().save(&folder.store, &folder.scope).await?;
    let scrubbed = folder.maintenance()?.scrub().await?;
    if scrubbed.pending.is_empty() {
        output.note(
            "Your conversations, jobs and files are deleted, and no byte of them is left in the database's files.",
        );
    } else {
        output.note("Your conversations, jobs and files are deleted. Their bytes are not all overwritten yet:");
        for pending in &scrubbed.pending {
            output.note(&format!("- {pending}"));
        }
        output.note("Run this again when nothing else uses the folder.");
    }
    Ok(())
}
