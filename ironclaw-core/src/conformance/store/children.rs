//! What second processes do.

use std::time::Duration;

use super::fixtures::{File, apply, saying, setting};
use super::user;
use crate::change::{Change, JobOp, WorkspaceOp};
use crate::clock::{Clock, SystemClock};
use crate::conformance::check::{Failure, Outcome};
use crate::conformance::child::{Request, say, wait};
use crate::id::{ConversationId, EmbeddingModelId, JobId, WorkerName};
use crate::model::workspace::WorkspacePath;
use crate::store::{Store, StoreErrorKind};

/// Appends to a conversation; its argument is the conversation and how often.
pub(crate) const APPEND: &str = "append";
/// Appends until it is killed, saying each number that was acknowledged; its argument is the conversation and a round.
pub(crate) const APPEND_FOR_EVER: &str = "append for ever";
/// Writes a file with an embedding of the model that is its argument, and deletes it when told to.
pub(crate) const FILE: &str = "file";
/// Claims the jobs that are its argument.
pub(crate) const CLAIM: &str = "claim";
/// Sets the setting `shared` to its argument.
pub(crate) const SETTING: &str = "setting";

/// The file that [`FILE`] writes.
pub(crate) const FILE_PATH: &str = "of the child.md";

/// Does a child's task for the user `ada`.
pub(crate) async fn run(store: &dyn Store, request: &Request) -> Outcome {
    let argument = request.argument.clone();
    match request.task.as_str() {
        APPEND => append(store, serde_json::from_value(argument)?).await,
        APPEND_FOR_EVER => append_for_ever(store, serde_json::from_value(argument)?).await,
        FILE => file(store, serde_json::from_value(argument)?).await,
        CLAIM => claim(store, serde_json::from_value(argument)?).await,
        SETTING => {
            apply(store, &user("ada")?, setting("shared", argument)?).await?;
            Ok(())
        }
        other => Err(Failure::new(format!("there is no task {other}"))),
    }
}

async fn append(store: &dyn Store, (conversation, times): (ConversationId, u32)) -> Outcome {
    let ada = user("ada")?;
    say("ready");
    wait()?;
    for _ in 0..times {
        let sequence = apply(store, &ada, saying(conversation, "of the child")).await?.numbers[0];
        say(&sequence.to_string());
    }
    Ok(())
}

async fn append_for_ever(store: &dyn Store, (conversation, round): (ConversationId, u64)) -> Outcome {
    let ada = user("ada")?;
    for n in 0.. {
        // The message, a setting that counts them and a file belong together.
        let file = File::new("round.md", &format!("round {round} number {n}"))?.change();
        let change = Change::new()
            .with(saying(conversation, format!("{round} {n}")))
            .with(setting("last", [round, n].to_vec())?);
        let change = file.operations().iter().cloned().fold(change, Change::with);
        let sequence = store.apply(&ada, change).await?.numbers[0];
        say(&sequence.to_string());
    }
    Ok(())
}

async fn file(store: &dyn Store, model: EmbeddingModelId) -> Outcome {
    let ada = user("ada")?;
    File::new(FILE_PATH, "a lighthouse")?.embedded(&model, [1.0, 0.0]).write(store, &ada).await?;
    say("written");
    wait()?;
    apply(store, &ada, WorkspaceOp::DeleteEntry { path: WorkspacePath::parse(FILE_PATH)? }).await?;
    say("deleted");
    Ok(())
}

async fn claim(store: &dyn Store, jobs: Vec<JobId>) -> Outcome {
    let ada = user("ada")?;
    let until = SystemClock.now().after(Duration::from_secs(3_600));
    say("ready");
    wait()?;
    for job in jobs {
        match apply(store, &ada, JobOp::Claim { job, worker: WorkerName::parse("child")?, until }).await {
            Ok(_) => say(&job.to_string()),
            Err(error) if *error.kind() == StoreErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
