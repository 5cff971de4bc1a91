use serde_json::Value;

use super::MemorySubject;
use crate::conformance::check::Outcome;
use crate::conformance::store::{tenant_user, user};
use crate::memory::SearchQuery;
use crate::model::workspace::WorkspacePath;
use crate::page::PageRequest;
use crate::scope::Scope;

async fn never_meet(subject: &MemorySubject, other: Scope) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, path) = (user("ada")?, WorkspacePath::parse("a.md")?);
    memory.write(&ada, &path, b"the lighthouse of ada", Value::Null).await?;
    let before = memory.entry(&ada, &path).await?;
    assert_eq!(memory.entry(&other, &path).await?, None);
    assert_eq!(memory.read(&other, &path, 0, 100).await?, None);
    assert_eq!(memory.list(&other, None, &PageRequest::default()).await?.items, []);
    assert_eq!(memory.search(&other, &SearchQuery::new("lighthouse")).await?.passages, []);
    assert!(!memory.delete(&other, &path).await?);
    // The same text at the same path is new to the other.
    assert!(memory.write(&other, &path, b"the lighthouse of ada", Value::Null).await?.changed);
    assert!(memory.delete(&other, &path).await?);
    assert_eq!(memory.entry(&ada, &path).await?, before);
    Ok(())
}

pub(super) async fn users_never_meet(subject: &MemorySubject) -> Outcome {
    for name in ["bob", "Ada", "ada "] {
        never_meet(subject, user(name)?).await?;
    }
    Ok(())
}

pub(super) async fn tenants_never_meet(subject: &MemorySubject) -> Outcome {
    never_meet(subject, tenant_user("other", "ada")?).await
}

pub(super) async fn results_do_not_depend_on_others(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    for (path, text) in [("a.md", "a lighthouse by the sea"), ("b.md", "ships and a lighthouse"), ("c.md", "ships")] {
        memory.write(&ada, &WorkspacePath::parse(path)?, text.as_bytes(), Value::Null).await?;
    }
    let query = SearchQuery::new("lighthouse ships");
    let before = memory.search(&ada, &query).await?;
    for n in 0..20 {
        let path = WorkspacePath::parse(format!("{n}.md"))?;
        memory.write(&bob, &path, b"lighthouse lighthouse lighthouse", Value::Null).await?;
    }
    assert_eq!(memory.search(&ada, &query).await?, before, "another's files moved a score");
    Ok(())
}
