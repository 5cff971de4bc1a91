use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::MemorySubject;
use crate::conformance::check::{Outcome, Present};
use crate::conformance::store::{user, with_agent};
use crate::model::workspace::WorkspacePath;
use crate::scope::Principal;
use crate::tool::ToolErrorKind;

pub(super) async fn described_for_models(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let tools = memory.tools();
    assert!(!tools.is_empty());
    let names: BTreeSet<_> = tools.iter().map(|tool| tool.spec().name.clone()).collect();
    assert_eq!(names.len(), tools.len());
    for tool in tools {
        let spec = tool.spec();
        let name = spec.name.as_str();
        let fits = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        assert!(fits && !spec.description.is_empty(), "{spec:?}");
        assert_eq!(spec.parameters["type"], json!("object"));
    }
    Ok(())
}

/// What an agent writes or reads through any of the tools stays within its user's workspace.
pub(super) async fn written_then_found(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let path = WorkspacePath::parse("secret plan.md")?;
    memory.write(&bob, &path, b"the pelican of bob", Value::Null).await?;
    memory.write(&ada, &path, b"the lighthouse of ada", Value::Null).await?;
    for tool in memory.tools() {
        let scope = with_agent(&ada, "assistant")?.acting(Principal::Tool(tool.spec().name.clone()));
        for arguments in [
            json!({"query": "pelican lighthouse"}),
            json!({"path": "secret plan.md"}),
            json!({}),
            json!({"path": "new.md", "content": "text"}),
        ] {
            if let Ok(output) = tool.call(&scope, arguments).await {
                assert!(
                    !output.value.to_string().contains("pelican of bob"),
                    "{:?} shows another's file",
                    tool.spec().name
                );
            }
        }
    }
    assert_eq!(memory.read(&bob, &path, 0, 100).await?.present()?, b"the pelican of bob");
    assert_eq!(memory.entry(&bob, &WorkspacePath::parse("new.md")?).await?, None);
    Ok(())
}

pub(super) async fn refuse_what_makes_no_sense(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let ada = user("ada")?;
    for tool in memory.tools() {
        let scope = with_agent(&ada, "assistant")?.acting(Principal::Tool(tool.spec().name.clone()));
        for arguments in [
            Value::Null,
            json!([]),
            json!("text"),
            json!({"path": 1, "query": 1, "content": 1}),
            json!({"path": "../up", "query": "", "content": "x", "prefix": "../up"}),
            json!({"path": "a\0b", "query": "x", "content": "x", "prefix": "a\0b"}),
        ] {
            let refused = tool.call(&scope, arguments.clone()).await.map_err(|error| error.kind().clone());
            assert_eq!(refused, Err(ToolErrorKind::InvalidArguments), "{:?} with {arguments}", tool.spec().name);
        }
    }
    Ok(())
}
