use std::sync::Arc;

use serde_json::Value;

use super::MemorySubject;
use crate::conformance::check::{Failure, Outcome, Present};
use crate::conformance::store::user;
use crate::conformance::text::HOSTILE;
use crate::limits::Limits;
use crate::memory::{Memory, MemoryErrorKind, SearchQuery};
use crate::model::workspace::WorkspacePath;
use crate::scope::Scope;

const FILES: [(&str, &str); 5] = [
    ("sea/lighthouse.md", "# Lighthouse\n\nThe lighthouse keeper counts the ships that pass at night. 🚢\n"),
    ("sea/harbour.md", "The harbour master collects the fees of fishing boats.\n"),
    ("kitchen/cake.md", "Mix flour, butter and sugar, then bake the cake for one hour.\n"),
    ("kitchen/soup.md", "Die Suppe kocht zwanzig Minuten, mit Zwiebeln und Möhren.\n"),
    ("日本.md", "灯台は夜の海を照らす。"),
];

async fn filled(subject: &MemorySubject, scope: &Scope) -> Result<Arc<dyn Memory>, Failure> {
    let memory = subject.fresh().await?;
    for (path, text) in FILES {
        memory.write(scope, &WorkspacePath::parse(path)?, text.as_bytes(), Value::Null).await?;
    }
    Ok(memory)
}

pub(super) async fn finds_what_fits_best(subject: &MemorySubject) -> Outcome {
    let ada = user("ada")?;
    let memory = filled(subject, &ada).await?;
    for (question, path) in [
        ("Who counts the ships at night?", "sea/lighthouse.md"),
        ("How long do I bake the cake?", "kitchen/cake.md"),
        ("Wie lange kocht die Suppe?", "kitchen/soup.md"),
        ("fishing boats fees", "sea/harbour.md"),
        ("灯台", "日本.md"),
    ] {
        let found = memory.search(&ada, &SearchQuery::new(question)).await?;
        assert_eq!(found.passages.first().present()?.path.as_str(), path, "{question}");
        assert_eq!(found.degraded, Vec::<String>::new());
    }
    Ok(())
}

pub(super) async fn passages_are_exact(subject: &MemorySubject) -> Outcome {
    let ada = user("ada")?;
    let memory = filled(subject, &ada).await?;
    let found = memory.search(&ada, &SearchQuery::new("ships cake Suppe boats 灯台")).await?.passages;
    assert!(found.len() >= 3);
    for passage in found {
        let bytes = memory.read(&ada, &passage.path, passage.start, passage.end).await?.present()?;
        assert_eq!(passage.text.as_bytes(), bytes);
        assert!(passage.start < passage.end);
    }
    Ok(())
}

pub(super) async fn scores_are_bounded(subject: &MemorySubject) -> Outcome {
    let ada = user("ada")?;
    let memory = filled(subject, &ada).await?;
    for question in ["ships", "ships ships ships lighthouse keeper night", "cake", "nothing of the kind"] {
        let found = memory.search(&ada, &SearchQuery::new(question)).await?.passages;
        assert!(found.iter().all(|passage| (0.0..=1.0).contains(&passage.score)), "{found:?}");
        assert!(found.is_sorted_by(|a, b| a.score >= b.score), "best first");
    }
    Ok(())
}

pub(super) async fn limit_and_prefix(subject: &MemorySubject) -> Outcome {
    let ada = user("ada")?;
    let memory = filled(subject, &ada).await?;
    let mut query = SearchQuery::new("ships boats cake Suppe");
    let all = memory.search(&ada, &query).await?.passages;
    for limit in 1..=3 {
        query.limit = limit;
        let found = memory.search(&ada, &query).await?.passages;
        assert_eq!(found.len(), limit.min(all.len()));
    }
    query.limit = 10;
    query.prefix = Some(WorkspacePath::parse("kitchen")?);
    let found = memory.search(&ada, &query).await?.passages;
    assert!(!found.is_empty());
    assert!(found.iter().all(|passage| passage.path.as_str().starts_with("kitchen/")));
    query.prefix = Some(WorkspacePath::parse("kitch")?);
    assert_eq!(memory.search(&ada, &query).await?.passages, []);
    Ok(())
}

pub(super) async fn same_question_same_answer(subject: &MemorySubject) -> Outcome {
    let ada = user("ada")?;
    let memory = filled(subject, &ada).await?;
    for n in 0..5 {
        let path = WorkspacePath::parse(format!("same/{n}.md"))?;
        memory.write(&ada, &path, b"the same lighthouse text", Value::Null).await?;
    }
    let query = SearchQuery::new("the same lighthouse text");
    let first = memory.search(&ada, &query).await?;
    for _ in 0..3 {
        assert_eq!(memory.search(&ada, &query).await?, first);
    }
    let ties: Vec<&str> =
        first.passages.iter().map(|p| p.path.as_str()).filter(|path| path.starts_with("same/")).collect();
    assert!(ties.is_sorted(), "equal scores come in the order of paths: {ties:?}");
    Ok(())
}

pub(super) async fn empty_query_is_refused(subject: &MemorySubject) -> Outcome {
    let ada = user("ada")?;
    let memory = filled(subject, &ada).await?;
    let kind = memory.search(&ada, &SearchQuery::new("")).await.map_err(|error| error.kind().clone());
    assert_eq!(kind.map(drop), Err(MemoryErrorKind::InvalidInput));
    for limit in [0, 101, usize::MAX] {
        let query = SearchQuery { limit, ..SearchQuery::new("ships") };
        let kind = memory.search(&ada, &query).await.map_err(|error| error.kind().clone());
        assert_eq!(kind.map(drop), Err(MemoryErrorKind::InvalidInput), "limit {limit}");
    }
    Ok(())
}

pub(super) async fn any_query(subject: &MemorySubject) -> Outcome {
    let ada = user("ada")?;
    let memory = filled(subject, &ada).await?;
    for text in HOSTILE.iter().chain(&["*", "\"", "NEAR(", "a:b", "the", "🦀", "' OR 1=1"]) {
        let found = memory.search(&ada, &SearchQuery::new(*text)).await?;
        assert!(found.passages.len() <= 10);
    }
    Ok(())
}

pub(super) async fn left_out_is_said(subject: &MemorySubject) -> Outcome {
    let ada = user("ada")?;
    let memory = filled(subject, &ada).await?;
    let words = |count: usize| (0..count).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
    let searched = Limits::default().query_terms;
    let all = memory.search(&ada, &SearchQuery::new(words(searched))).await?;
    assert_eq!(all.degraded, Vec::<String>::new(), "all words are searched for");
    let (one, many) = (words(searched + 1), words(searched * 50));
    let one = memory.search(&ada, &SearchQuery::new(one)).await?.degraded;
    assert!(one.len() == 1 && one[0].contains(&format!("word{searched}")), "{one:?}");
    let many = memory.search(&ada, &SearchQuery::new(many)).await?.degraded;
    assert!(many.len() == 1 && many[0].len() < 1_000 && many[0].contains("more"), "{many:?}");
    Ok(())
}

pub(super) async fn deleted_is_not_found(subject: &MemorySubject) -> Outcome {
    let ada = user("ada")?;
    let memory = filled(subject, &ada).await?;
    let path = WorkspacePath::parse("sea/lighthouse.md")?;
    memory.search(&ada, &SearchQuery::new("ships at night")).await?;
    memory.delete(&ada, &path).await?;
    let found = memory.search(&ada, &SearchQuery::new("ships at night")).await?.passages;
    assert!(found.iter().all(|passage| passage.path != path));
    Ok(())
}

pub(super) async fn replaced_is_not_found(subject: &MemorySubject) -> Outcome {
    let ada = user("ada")?;
    let memory = filled(subject, &ada).await?;
    let path = WorkspacePath::parse("sea/lighthouse.md")?;
    memory.write(&ada, &path, b"The pelican sleeps on the jetty.", Value::Null).await?;
    let found = memory.search(&ada, &SearchQuery::new("ships at night lighthouse keeper")).await?.passages;
    assert!(found.iter().all(|passage| !passage.text.contains("keeper")), "{found:?}");
    let found = memory.search(&ada, &SearchQuery::new("pelican")).await?.passages;
    assert_eq!(found.first().present()?.path, path);
    Ok(())
}

pub(super) async fn nothing_is_found_in_nothing(subject: &MemorySubject) -> Outcome {
    let memory = subject.fresh().await?;
    let ada = user("ada")?;
    assert_eq!(memory.search(&ada, &SearchQuery::new("ships")).await?.passages, []);
    memory.write(&ada, &WorkspacePath::parse("binary")?, b"ships \xff\xfe\x00", Value::Null).await?;
    assert_eq!(memory.search(&ada, &SearchQuery::new("ships")).await?.passages, [], "bytes are kept, not searched");
    Ok(())
}
