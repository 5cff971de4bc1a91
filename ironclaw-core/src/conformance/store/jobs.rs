use std::time::Duration;

use super::fixtures::{apply, conversation, job, job_op};
use super::world::World;
use super::{StoreSubject, user};
use crate::change::{Change, JobOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Outcome, Present, at_once, refused};
use crate::conformance::text::{hostile, hostile_name};
use crate::id::{ConversationId, JobId, LlmCallId, SandboxJobId, WorkerName};
use crate::llm::TokenUsage;
use crate::model::jobs::{Claim, Job, JobFilter, JobState, JobStep, LlmCall, SandboxJob, ToolOutcome};
use crate::page::PageRequest;
use crate::store::StoreErrorKind;

pub(super) async fn absent_is_none(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, id, page) = (user("ada")?, JobId::make(&SystemClock), PageRequest::default());
    let read = t.store.jobs();
    assert_eq!(read.job(&ada, id).await?, None);
    assert_eq!(read.jobs(&ada, &JobFilter::default(), &page).await?.items, []);
    assert_eq!(read.job_events(&ada, id, &page).await?.items, []);
    assert_eq!(read.llm_calls(&ada, id, &page).await?.items, []);
    assert_eq!(read.sandbox_jobs(&ada, id, &page).await?.items, []);
    Ok(())
}

pub(super) async fn round_trips_every_field(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store, page) = (user("ada")?, &*t.store, PageRequest::default());
    let world = World::new(t.now())?;
    world.seed(store, &ada).await?;
    let read = store.jobs();
    let id = world.job;

    let found = read.job(&ada, id).await?.present()?;
    let (created_at, updated_at, version) = (found.created_at, found.updated_at, found.version);
    let claim =
        Claim { worker: WorkerName::parse(hostile_name("worker"))?, until: world.now.after(Duration::from_secs(600)) };
    let (state, error) = (JobState::Running, None);
    let expected = Job { job: world.new_job(), state, claim: Some(claim), error, created_at, updated_at, version };
    assert_eq!(found, expected);
    assert_eq!(read.jobs(&ada, &JobFilter::default(), &page).await?.items, [expected]);

    let events = read.job_events(&ada, id, &page).await?.items;
    assert_eq!(events.iter().map(|e| e.step.clone()).collect::<Vec<_>>(), world.steps());
    assert!(events.iter().zip(1..).all(|(event, n)| event.job == id && event.sequence == n));
    assert_eq!(read.llm_calls(&ada, id, &page).await?.items, [world.new_llm_call()]);
    assert_eq!(read.sandbox_jobs(&ada, id, &page).await?.items, [world.new_sandbox_job()]);

    let (state, error) = (JobState::Failed, Some(hostile("error")));
    let receipt = apply(store, &ada, JobOp::SetState { job: id, state, error: error.clone() }).await?;
    let ended = read.job(&ada, id).await?.present()?;
    assert_eq!((ended.state, ended.error, ended.updated_at), (state, error, receipt.at));
    assert_eq!(ended.version, receipt.numbers[0]);
    assert!(ended.version > version);

    // The smallest of everything: what is absent stays absent.
    let bare = job(store, &ada).await?;
    let usage = TokenUsage::default();
    let call = LlmCall {
        id: LlmCallId::make(&SystemClock),
        job: bare,
        model: String::new(),
        request: serde_json::Value::Null,
        response: None,
        error: None,
        usage,
        latency_us: 0,
        created_at: world.now,
    };
    let run = SandboxJob {
        id: SandboxJobId::make(&SystemClock),
        job: bare,
        tool: world.tool.clone(),
        parameters: serde_json::json!({}),
        outcome: ToolOutcome::Success(serde_json::Value::Null),
        log: String::new(),
        usage: None,
        created_at: world.now,
    };
    apply(store, &ada, JobOp::RecordLlmCall { call: call.clone() }).await?;
    apply(store, &ada, JobOp::RecordSandboxJob { run: run.clone() }).await?;
    assert_eq!(read.llm_calls(&ada, bare, &page).await?.items, [call]);
    assert_eq!(read.sandbox_jobs(&ada, bare, &page).await?.items, [run]);
    let found = read.job(&ada, bare).await?.present()?;
    assert_eq!((found.state, found.claim, found.error, found.version), (JobState::Queued, None, None, 1));
    assert_eq!((found.job.conversation, found.job.agent), (None, None));
    Ok(())
}

pub(super) async fn events_count_from_one(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (one, other) = (job(&*t.store, &ada).await?, job(&*t.store, &ada).await?);
    let note = |job| JobOp::AppendEvent { job, step: JobStep::Note { text: String::new() } };
    for expected in 1..=3 {
        let change = Change::new().with(note(one)).with(note(other));
        assert_eq!(t.store.apply(&ada, change).await?.numbers, [expected, expected]);
    }
    Ok(())
}

pub(super) async fn claim_is_exclusive(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = job(&*t.store, &ada).await?;
    let until = t.now().after(Duration::from_secs(600));
    let claim =
        |worker: &str| Ok::<_, crate::InputError>(JobOp::Claim { job: id, worker: WorkerName::parse(worker)?, until });
    let receipt = apply(&*t.store, &ada, claim("first")?).await?;
    refused(apply(&*t.store, &ada, claim("second")?).await, StoreErrorKind::Conflict);
    let found = t.store.jobs().job(&ada, id).await?.present()?;
    assert_eq!((found.state, found.version), (JobState::Running, receipt.numbers[0]));
    assert_eq!(found.claim.present()?.worker.as_str(), "first");
    Ok(())
}

pub(super) async fn claim_is_exclusive_among_many(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = job(&*t.store, &ada).await?;
    let until = t.now().after(Duration::from_secs(600));
    let results = at_once(50, |n| {
        let (store, ada) = (t.store.clone(), ada.clone());
        async move {
            let worker = WorkerName::parse(format!("worker {n}"))?;
            Ok::<_, crate::InputError>((n, apply(&*store, &ada, JobOp::Claim { job: id, worker, until }).await))
        }
    })
    .await?;
    let mut winners = Vec::new();
    for result in results {
        match result? {
            (n, Ok(_)) => winners.push(format!("worker {n}")),
            (_, refusal) => refused(refusal, StoreErrorKind::Conflict),
        }
    }
    let holder = t.store.jobs().job(&ada, id).await?.present()?.claim.present()?.worker;
    assert_eq!(winners, [holder.as_str()]);
    Ok(())
}

pub(super) async fn expired_claim_is_taken_over(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = job(&*t.store, &ada).await?;
    let claim = |worker: &str, seconds| {
        let until = t.now().after(Duration::from_secs(seconds));
        Ok::<_, crate::InputError>(JobOp::Claim { job: id, worker: WorkerName::parse(worker)?, until })
    };
    apply(&*t.store, &ada, claim("first", 60)?).await?;
    t.clock.advance(Duration::from_secs(59));
    refused(apply(&*t.store, &ada, claim("second", 60)?).await, StoreErrorKind::Conflict);
    t.clock.advance(Duration::from_secs(1));
    apply(&*t.store, &ada, claim("second", 60)?).await?;
    assert_eq!(t.store.jobs().job(&ada, id).await?.present()?.claim.present()?.worker.as_str(), "second");
    refused(apply(&*t.store, &ada, claim("first", 60)?).await, StoreErrorKind::Conflict);
    Ok(())
}

pub(super) async fn ended_job_never_changes(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    for end in [JobState::Succeeded, JobState::Failed, JobState::Cancelled] {
        let id = job(&*t.store, &ada).await?;
        apply(&*t.store, &ada, JobOp::SetState { job: id, state: end, error: None }).await?;
        let ended = t.store.jobs().job(&ada, id).await?.present()?;
        let every = [JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Cancelled];
        for state in every {
            let set = JobOp::SetState { job: id, state, error: Some("x".into()) };
            refused(apply(&*t.store, &ada, set).await, StoreErrorKind::Conflict);
        }
        let until = t.now().after(Duration::from_secs(60));
        let claim = JobOp::Claim { job: id, worker: WorkerName::parse("late")?, until };
        refused(apply(&*t.store, &ada, claim).await, StoreErrorKind::Conflict);
        assert_eq!(t.store.jobs().job(&ada, id).await?.present()?, ended);
    }
    Ok(())
}

pub(super) async fn filters(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let talk = conversation(&*t.store, &ada).await?;
    let mut jobs = Vec::new();
    for n in 0..8_u32 {
        let id = JobId::make(&SystemClock);
        apply(&*t.store, &ada, job_op(id, "send", (n % 2 == 0).then_some(talk))).await?;
        if n % 4 < 2 {
            apply(&*t.store, &ada, JobOp::SetState { job: id, state: JobState::Succeeded, error: None }).await?;
        }
        jobs.push((id, n % 2 == 0, n % 4 < 2));
    }
    jobs.sort_unstable_by(|a, b| b.cmp(a));
    for (state, of_talk) in
        [(None, false), (Some(JobState::Succeeded), false), (Some(JobState::Queued), true), (None, true)]
    {
        let filter = JobFilter { state, conversation: of_talk.then_some(talk) };
        let found = crate::conformance::check::all_pages!(2, |page| t.store.jobs().jobs(&ada, &filter, page));
        let found: Vec<JobId> = found.iter().map(|job| job.job.id).collect();
        let expected: Vec<JobId> = jobs
            .iter()
            .filter(|(_, talks, _)| *talks || !of_talk)
            .filter(|(_, _, done)| state.is_none_or(|state| *done == (state == JobState::Succeeded)))
            .map(|(id, ..)| *id)
            .collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let nowhere = JobFilter { state: None, conversation: Some(ConversationId::make(&SystemClock)) };
    assert_eq!(t.store.jobs().jobs(&ada, &nowhere, &PageRequest::default()).await?.items, []);
    Ok(())
}

pub(super) async fn delete_removes_all_in_it(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, page) = (user("ada")?, PageRequest::default());
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    assert_eq!(apply(&*t.store, &ada, JobOp::Delete { job: world.job }).await?.numbers, [1]);
    assert_eq!(apply(&*t.store, &ada, JobOp::Delete { job: world.job }).await?.numbers, [0]);
    let read = t.store.jobs();
    assert_eq!(read.job(&ada, world.job).await?, None);
    assert_eq!(read.job_events(&ada, world.job, &page).await?.items, []);
    assert_eq!(read.llm_calls(&ada, world.job, &page).await?.items, []);
    assert_eq!(read.sandbox_jobs(&ada, world.job, &page).await?.items, []);
    assert!(t.store.conversations().conversation(&ada, world.conversation).await?.is_some());
    Ok(())
}

pub(super) async fn unknown_job_is_not_found(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    let worker = WorkerName::parse("w")?;
    let operations = [
        JobOp::Claim { job: world.job, worker, until: world.now.after(Duration::from_secs(60)) },
        JobOp::SetState { job: world.job, state: JobState::Running, error: None },
        JobOp::AppendEvent { job: world.job, step: JobStep::Note { text: "x".into() } },
        JobOp::RecordLlmCall { call: world.new_llm_call() },
        JobOp::RecordSandboxJob { run: world.new_sandbox_job() },
    ];
    for operation in operations {
        refused(apply(&*t.store, &ada, operation).await, StoreErrorKind::NotFound);
    }
    Ok(())
}
