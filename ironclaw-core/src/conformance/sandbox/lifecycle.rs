use serde_json::json;

use super::{SandboxSubject, Scarce, assert_works, attempt, scope, tool};
use crate::conformance::check::{Outcome, poll_at_most};
use crate::tool::ToolErrorKind;

pub(super) async fn closed_refuses(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    let example = subject.harness.example();
    let called = tool(&*sandbox, example.tool)?;
    assert_works(subject, &*sandbox).await?;
    sandbox.close().await?;
    sandbox.close().await?;
    let late = called.call(&scope(example.tool)?, example.arguments).await;
    assert_eq!(late.map_err(|error| error.kind().clone()), Err(ToolErrorKind::Closed));
    Ok(())
}

pub(super) async fn closing_waits(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Time).await?;
    let running = sandbox.clone();
    let spinning = tokio::spawn(async move { attempt(&*running, json!({"do": "loop"})).await });
    // The other call has begun, or will find the sandbox closed: both are right.
    assert_works(subject, &*sandbox).await?;
    sandbox.close().await?;
    let ended = spinning.await??.map(drop);
    assert!(matches!(ended, Err(ToolErrorKind::Timeout | ToolErrorKind::Closed)), "{ended:?}");
    Ok(())
}

pub(super) async fn dropped_call_stops(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Time).await?;
    for polls in 0..6 {
        let dropped = poll_at_most(polls, attempt(&*sandbox, json!({"do": "loop"}))).await.transpose()?;
        assert!(dropped.is_none_or(|answer| answer.is_err()));
        assert_works(subject, &*sandbox).await?;
    }
    // Closing waits for what still runs: it returns, because everything ends.
    sandbox.close().await?;
    Ok(())
}
