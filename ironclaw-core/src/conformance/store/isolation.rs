use super::audit::endings;
use super::fixtures::{File, apply, saying, setting, words};
use super::snapshot::{assert_nothing, assert_same, audit_snapshot, snapshot};
use super::world::World;
use super::{StoreSubject, tenant_user, user};
use crate::change::{AccessOp, Change, ConversationOp, JobOp, Operation, PrivacyOp, SecretOp, WorkspaceOp};
use crate::conformance::check::{Failure, Outcome, refused};
use crate::model::audit::AuditFilter;
use crate::model::jobs::{JobState, JobStep};
use crate::page::PageRequest;
use crate::scope::Scope;
use crate::store::{SearchFilter, Store, StoreErrorKind, VectorQuery};

async fn reads_of(subject: &StoreSubject, stranger: Scope) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    assert_nothing(&snapshot(&*t.store, &stranger, &world).await?);
    assert_nothing(
        &audit_snapshot(&*t.store, &stranger)
            .await?
            .into_iter()
            .map(|(method, said)| (method, if said.contains("items: []") { "[]".to_owned() } else { said }))
            .collect(),
    );
    Ok(())
}

pub(super) async fn reads_of_another_owner(subject: &StoreSubject) -> Outcome {
    reads_of(subject, user("bob")?).await?;
    // Names that only differ for who is careless.
    for name in ["Ada", "ada ", "ad", "adaa", "%", "a_a", "ada'--"] {
        reads_of(subject, user(name)?).await?;
    }
    Ok(())
}

pub(super) async fn reads_of_another_tenant(subject: &StoreSubject) -> Outcome {
    reads_of(subject, tenant_user("other", "ada")?).await?;
    reads_of(subject, tenant_user("defaul", "tada")?).await
}

/// What changes rows that must be there: on another's rows each is refused as not found.
fn changes_of_rows(world: &World) -> Vec<Operation> {
    let worker = match crate::id::WorkerName::parse("stranger") {
        Ok(worker) => worker,
        Err(error) => panic!("{error}"),
    };
    let until = world.now.after(std::time::Duration::from_secs(60));
    let mut operations: Vec<Operation> = vec![
        ConversationOp::Rename { id: world.conversation, title: "taken".into() }.into(),
        saying(world.conversation, "lighthouse of a stranger").into(),
        WorkspaceOp::PutParts { version: world.staged, parts: Vec::new() }.into(),
        WorkspaceOp::Publish {
            version: world.staged,
            size: 0,
            content_hash: crate::model::workspace::ContentHash::of(b""),
        }
        .into(),
        JobOp::Claim { job: world.job, worker, until }.into(),
        JobOp::SetState { job: world.job, state: JobState::Succeeded, error: None }.into(),
        JobOp::AppendEvent { job: world.job, step: JobStep::Note { text: "stranger".into() } }.into(),
        JobOp::RecordLlmCall { call: world.new_llm_call() }.into(),
        JobOp::RecordSandboxJob { run: world.new_sandbox_job() }.into(),
        SecretOp::Put { secret: Box::new(world.put_secret(1)) }.into(),
        SecretOp::Use { name: world.secret.clone(), number: 1 }.into(),
        AccessOp::RedeemLease { id: world.lease }.into(),
        AccessOp::PutPolicy { policy: world.new_policy() }.into(),
        JobOp::Create { job: world.new_job() }.into(),
    ];
    operations.extend(endings(world).into_iter().filter(|operation| matches!(operation, Operation::Access(_))));
    operations
}

pub(super) async fn writes_on_another_owners_rows(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let (before, trail) = (snapshot(&*t.store, &ada, &world).await?, audit_snapshot(&*t.store, &ada).await?);
    for stranger in [user("bob")?, tenant_user("other", "ada")?] {
        for operation in changes_of_rows(&world) {
            let result = apply(&*t.store, &stranger, operation.clone()).await;
            assert!(result.is_err(), "{operation:?}");
            refused(result, StoreErrorKind::NotFound);
        }
        for operation in endings(&world) {
            let deletes = matches!(
                operation,
                Operation::Conversations(_)
                    | Operation::Secrets(_)
                    | Operation::Settings(_)
                    | Operation::Workspace(_)
                    | Operation::Jobs(JobOp::Delete { .. })
            );
            if deletes {
                let receipt = apply(&*t.store, &stranger, operation.clone()).await?;
                assert_eq!(receipt.numbers, [0], "{operation:?} deleted something of another");
            }
        }
        apply(&*t.store, &stranger, PrivacyOp::Forget).await?;
        assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
        assert_same(&trail, &audit_snapshot(&*t.store, &ada).await?);
    }
    Ok(())
}

async fn never_meet(subject: &StoreSubject, ada: Scope, other: Scope) -> Outcome {
    let t = subject.fresh().await?;
    // The very same ids and names, of both.
    let world = World::new(t.now())?;
    world.seed(&*t.store, &ada).await?;
    let (before, trail) = (snapshot(&*t.store, &ada, &world).await?, audit_snapshot(&*t.store, &ada).await?);
    world.seed(&*t.store, &other).await?;
    // More texts with the same words, which would move scores, counts and orders that were shared.
    for n in 0..5 {
        let more = World::new(t.now())?;
        for operation in more.operations()? {
            let fits = matches!(operation, Operation::Conversations(_)) || matches!(operation, Operation::Workspace(_));
            if fits && n > 0 {
                t.store.apply(&other, Change::new().with(operation)).await?;
            }
        }
        File::new(&format!("{n}.md"), "lighthouse lighthouse ships")?
            .embedded(&world.model, [1.0, 2.0, 3.0])
            .write(&*t.store, &other)
            .await?;
    }
    assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
    assert_same(&trail, &audit_snapshot(&*t.store, &ada).await?);
    for operation in endings(&world) {
        apply(&*t.store, &other, operation).await?;
    }
    apply(&*t.store, &other, PrivacyOp::Forget).await?;
    assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
    assert_same(&trail, &audit_snapshot(&*t.store, &ada).await?);
    Ok(())
}

pub(super) async fn same_names_and_ids_never_meet(subject: &StoreSubject) -> Outcome {
    never_meet(subject, user("ada")?, user("bob")?).await
}

pub(super) async fn same_user_of_two_tenants_never_meets(subject: &StoreSubject) -> Outcome {
    never_meet(subject, tenant_user("one", "ada")?, tenant_user("two", "ada")?).await
}

pub(super) async fn forgetting_leaves_others(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let world = World::new(t.now())?;
    for scope in [&ada, &bob] {
        world.seed(&*t.store, scope).await?;
    }
    let (before, trail) = (snapshot(&*t.store, &ada, &world).await?, audit_snapshot(&*t.store, &ada).await?);
    apply(&*t.store, &bob, PrivacyOp::Forget).await?;
    assert_same(&before, &snapshot(&*t.store, &ada, &world).await?);
    assert_same(&trail, &audit_snapshot(&*t.store, &ada).await?);
    apply(&*t.store, &ada, setting("goes on", true)?).await?;
    let page = PageRequest::default();
    assert!(!t.store.audit().events(&ada, &AuditFilter::default(), &page).await?.items.is_empty());
    Ok(())
}

/// What the searches find, with their scores.
async fn found(store: &dyn Store, scope: &Scope, world: &World) -> Result<Vec<(String, f64)>, Failure> {
    let everywhere = SearchFilter::default();
    let near = VectorQuery { model: world.model.clone(), vector: vec![1.0, 2.0, 3.0] };
    let mut found = Vec::new();
    for text in ["lighthouse", "ships", "lighthouse ships pass", "灯台"] {
        let hits = store.conversations().search_messages(scope, &words(text), 10).await?;
        found.extend(hits.into_iter().map(|hit| (hit.message.message.id.to_string(), hit.score)));
        let hits = store.workspace().search_text(scope, &words(text), &everywhere, 10).await?;
        found.extend(hits.into_iter().map(|hit| (hit.chunk.to_string(), hit.score)));
    }
    let hits = store.workspace().search_vectors(scope, &near, &everywhere, 10).await?;
    found.extend(hits.into_iter().map(|hit| (hit.chunk.to_string(), hit.score)));
    Ok(found)
}

pub(super) async fn searches_find_as_if_alone(subject: &StoreSubject) -> Outcome {
    let (alone, crowded) = (subject.fresh().await?, subject.fresh().await?);
    let ada = user("ada")?;
    let world = World::new(alone.now())?;
    world.seed(&*alone.store, &ada).await?;
    // The others were there before, one with the very same ids, and each with more of the same words.
    for (n, other) in [user("a")?, user("bob")?, tenant_user("another", "ada")?].iter().enumerate() {
        let theirs = if n == 0 { world.clone() } else { World::new(alone.now())? };
        theirs.seed(&*crowded.store, other).await?;
        for m in 0..=n {
            File::new(&format!("{m}.md"), "lighthouse lighthouse ships")?.write(&*crowded.store, other).await?;
            apply(&*crowded.store, other, saying(theirs.conversation, "lighthouse ships, 灯台")).await?;
        }
    }
    world.seed(&*crowded.store, &ada).await?;
    let expected = found(&*alone.store, &ada, &world).await?;
    assert!(expected.len() > 6, "{expected:?}");
    assert_eq!(found(&*crowded.store, &ada, &world).await?, expected, "another's texts moved a score");
    Ok(())
}
