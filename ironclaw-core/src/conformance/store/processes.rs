use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::fixtures::{File, apply, conversation, job, model, say, setting, words};
use super::{StoreSubject, children, user};
use crate::change::JobOp;
use crate::conformance::check::{Outcome, Present, all_pages};
use crate::id::{SettingKey, WorkerName};
use crate::model::workspace::WorkspacePath;
use crate::store::{SearchFilter, StoreErrorKind, VectorQuery};

const TIMES: u32 = 30;

pub(super) async fn both_append(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let mut child = subject.child(&t, children::APPEND, json!([id, TIMES]))?;
    child.expect("ready")?;
    child.go()?;
    let mut own = BTreeSet::new();
    for _ in 0..TIMES {
        own.insert(say(&*t.store, &ada, id, "of the parent").await?);
    }
    let theirs = child.finish()?.iter().map(|line| line.parse()).collect::<Result<BTreeSet<u64>, _>>()?;
    assert_eq!((own.len(), theirs.len()), (TIMES as usize, TIMES as usize));
    let both: BTreeSet<u64> = own.union(&theirs).copied().collect();
    assert!(both.into_iter().eq(1..=u64::from(2 * TIMES)), "numbers without gaps, each given once");
    let messages = all_pages!(50, |page| t.store.conversations().messages(&ada, id, page));
    assert!(messages.iter().map(|m| m.sequence).eq(1..=u64::from(2 * TIMES)));
    for message in &messages {
        let expected = if own.contains(&message.sequence) { "of the parent" } else { "of the child" };
        assert_eq!(message.message.content, expected);
    }
    let found = t.store.conversations().search_messages(&ada, &words("child"), 100).await?;
    assert_eq!(found.len(), TIMES as usize, "what the child wrote is found here");
    let head = t.store.audit().verify(&ada).await?.present()?;
    assert_eq!(head.sequence, u64::from(2 * TIMES) + 1);
    assert_eq!(t.maintenance.check_integrity().await?, Vec::<String>::new());
    Ok(())
}

pub(super) async fn both_see_the_others_files(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let model = model(&*t.store, &ada, "m", 2).await?;
    let own = File::new("of the parent.md", "a lighthouse")?.embedded(&model, [0.6, 0.8]);
    own.write(&*t.store, &ada).await?;
    let (filter, query) = (SearchFilter::default(), VectorQuery { model: model.clone(), vector: vec![1.0, 0.0] });
    // Searched before, so that whatever is cached is cached.
    assert_eq!(t.store.workspace().search_vectors(&ada, &query, &filter, 10).await?.len(), 1);
    assert_eq!(t.store.workspace().search_text(&ada, &words("lighthouse"), &filter, 10).await?.len(), 1);
    let alone = t.store.workspace().search_text(&ada, &words("lighthouse"), &filter, 10).await?;

    let mut child = subject.child(&t, children::FILE, json!(model))?;
    child.expect("written")?;
    let by_vector = t.store.workspace().search_vectors(&ada, &query, &filter, 10).await?;
    assert_eq!(by_vector.len(), 2, "the child's file is found by its vector");
    let best = t.store.workspace().chunks(&ada, &[by_vector[0].chunk]).await?;
    assert_eq!(best[0].path.as_str(), children::FILE_PATH);
    assert_eq!(t.store.workspace().search_text(&ada, &words("lighthouse"), &filter, 10).await?.len(), 2);
    assert!(t.store.workspace().entry(&ada, &WorkspacePath::parse(children::FILE_PATH)?).await?.is_some());

    child.go()?;
    child.expect("deleted")?;
    assert_eq!(t.store.workspace().search_vectors(&ada, &query, &filter, 10).await?.len(), 1);
    assert_eq!(t.store.workspace().search_text(&ada, &words("lighthouse"), &filter, 10).await?, alone);
    child.finish()?;
    Ok(())
}

pub(super) async fn both_claim(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let mut jobs = Vec::new();
    for _ in 0..TIMES {
        jobs.push(job(&*t.store, &ada).await?);
    }
    let mut child = subject.child(&t, children::CLAIM, json!(jobs))?;
    child.expect("ready")?;
    child.go()?;
    let until = t.now().after(Duration::from_secs(3_600));
    let mut own = BTreeSet::new();
    for &job in jobs.iter().rev() {
        match apply(&*t.store, &ada, JobOp::Claim { job, worker: WorkerName::parse("parent")?, until }).await {
            Ok(_) => {
                own.insert(job.to_string());
            }
            Err(error) => assert_eq!(*error.kind(), StoreErrorKind::Conflict, "{error}"),
        }
    }
    let theirs: BTreeSet<String> = child.finish()?.into_iter().collect();
    assert!(own.is_disjoint(&theirs), "a job was claimed twice");
    assert_eq!(own.len() + theirs.len(), jobs.len());
    for job in jobs {
        let holder = t.store.jobs().job(&ada, job).await?.present()?.claim.present()?.worker;
        assert_eq!(holder.as_str() == "parent", own.contains(&job.to_string()));
    }
    Ok(())
}

pub(super) async fn both_read_settings(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, key) = (user("ada")?, SettingKey::parse("shared")?);
    apply(&*t.store, &ada, setting("shared", 0)?).await?;
    for n in 1..=3 {
        assert_eq!(t.store.settings().setting(&ada, &key).await?.present()?.value, json!(n - 1));
        subject.child(&t, children::SETTING, json!(n))?.finish()?;
        let found = t.store.settings().setting(&ada, &key).await?.present()?;
        assert_eq!((found.value, found.version), (json!(n), n + 1));
    }
    Ok(())
}
