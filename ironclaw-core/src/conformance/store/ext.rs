//! The conveniences of [`StoreExt`], which every store gets.

use super::fixtures::{apply, saying};
use super::{StoreSubject, user};
use crate::change::{Change, ConversationOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Outcome, Present, refused, refused_field};
use crate::id::ConversationId;
use crate::model::audit::AuditFilter;
use crate::model::conversations::ExportLine;
use crate::model::jobs::JobFilter;
use crate::page::PageRequest;
use crate::store::{StoreErrorKind, StoreExt};

pub(super) async fn a_title_is_read_and_changed(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob, id) = (user("ada")?, user("bob")?, ConversationId::make(&SystemClock));
    assert_eq!(t.store.conversation_title(&ada, id).await?, None);
    t.store.create_conversation(&ada, id, "Lunch").await?;
    t.store.rename_conversation(&ada, id, "Launch").await?;
    assert_eq!(t.store.conversation_title(&ada, id).await?.as_deref(), Some("Launch"));
    assert_eq!(t.store.conversation_title(&bob, id).await?, None);
    refused(t.store.rename_conversation(&bob, id, "Mine").await, StoreErrorKind::NotFound);
    assert!(t.store.delete_conversation(&ada, id).await?);
    assert!(!t.store.delete_conversation(&ada, id).await?);
    Ok(())
}

pub(super) async fn an_export_reads_back_whole(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, id) = (user("ada")?, ConversationId::make(&SystemClock));
    t.store.create_conversation(&ada, id, "Launch").await?;
    // More than one page of the listing underneath.
    let mut change = Change::new();
    for number in 0..103 {
        change = change.with(saying(id, format!("line {number}\nof text")));
    }
    t.store.apply(&ada, change).await?;

    let lines = t.store.export_conversation(&ada, id).all().await?;
    assert!(lines.iter().all(|line| !line.contains('\n')));
    let mut read = Vec::new();
    for line in &lines {
        read.push(serde_json::from_str::<ExportLine>(line)?);
    }
    let conversation = t.store.conversations().conversation(&ada, id).await?;
    let messages = t.store.messages_stream(&ada, id).all().await?;
    assert_eq!(messages.len(), 103);
    let expected = conversation.map(ExportLine::Conversation).into_iter();
    assert_eq!(read, expected.chain(messages.into_iter().map(ExportLine::Message)).collect::<Vec<_>>());

    let mut others = t.store.export_conversation(&user("bob")?, id);
    refused(others.next().await.present()?, StoreErrorKind::NotFound);
    assert!(others.next().await.is_none());
    Ok(())
}

pub(super) async fn a_stream_gives_what_the_pages_hold(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, bob) = (user("ada")?, user("bob")?);
    let mut ids = Vec::new();
    for number in 0..3 {
        let id = ConversationId::make(&SystemClock);
        apply(&*t.store, &ada, ConversationOp::Create { id, title: format!("{number}") }).await?;
        ids.push(id);
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let streamed = t.store.conversations_stream(&ada).all().await?;
    assert_eq!(streamed.iter().map(|conversation| conversation.id).collect::<Vec<_>>(), ids);
    assert_eq!(t.store.conversations_stream(&bob).all().await?, []);
    assert_eq!(t.store.jobs_stream(&ada, &JobFilter::default()).all().await?, []);
    assert_eq!(t.store.entries_stream(&ada, None).all().await?, []);
    let filter = AuditFilter::default();
    let events = t.store.audit_stream(&ada, &filter).all().await?;
    assert_eq!(events, t.store.audit().events(&ada, &filter, &PageRequest::default()).await?.items);
    Ok(())
}

pub(super) async fn a_setting_is_named_by_text(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    assert_eq!(t.store.setting_value(&ada, "theme").await?, None);
    t.store.put_setting(&ada, "theme", "dark".into()).await?;
    assert_eq!(t.store.setting_value(&ada, "theme").await?, Some("dark".into()));
    assert_eq!(refused_field(t.store.put_setting(&ada, "", true.into()).await), "setting");
    Ok(())
}
