use std::time::Duration;

use super::fixtures::{apply, conversation, job_op, say, saying, words};
use super::world::World;
use super::{StoreSubject, user};
use crate::change::{Change, ConversationOp};
use crate::clock::SystemClock;
use crate::conformance::check::{Outcome, Present, all_pages, refused, refused_field};
use crate::conformance::text::{HOSTILE, hostile, long_text};
use crate::id::{ConversationId, JobId, MessageId};
use crate::limits::Limits;
use crate::llm::ContentPart;
use crate::model::conversations::{Conversation, NewMessage, Role};
use crate::page::PageRequest;
use crate::search::{Bm25, analyze};
use crate::store::{Backwards, StoreErrorKind};

pub(super) async fn absent_is_none(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, id, page) = (user("ada")?, ConversationId::make(&SystemClock), PageRequest::default());
    let read = t.store.conversations();
    assert_eq!(read.conversation(&ada, id).await?, None);
    assert_eq!(read.conversations(&ada, &page).await?.items, []);
    assert_eq!(read.messages(&ada, id, &page).await?.items, []);
    assert_eq!(read.recent_messages(&ada, id, 10).await?, []);
    assert_eq!(read.messages_backwards(&ada, id, &Backwards::new(10).without_parts(true)).await?, []);
    assert_eq!(read.search_messages(&ada, &words("anything"), 10).await?, []);
    Ok(())
}

pub(super) async fn round_trips_every_field(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let world = World::new(t.now())?;
    let id = world.conversation;
    let created = apply(store, &ada, ConversationOp::Create { id, title: hostile("title") }).await?.at;
    t.clock.advance(Duration::from_micros(1));
    let mut last = created;
    let mut sent = Vec::new();
    for message in world.new_messages()? {
        let receipt =
            apply(store, &ada, ConversationOp::AppendMessage { conversation: id, message: message.clone() }).await?;
        last = receipt.at;
        sent.push((receipt.numbers[0], receipt.at, message));
    }

    let read = store.conversations();
    let found = read.conversation(&ada, id).await?.present()?;
    let version = found.version;
    let expected =
        Conversation { id, title: hostile("title"), created_at: created, updated_at: last, messages: 4, version };
    assert_eq!(found, expected);
    assert_eq!(read.conversations(&ada, &PageRequest::default()).await?.items, [expected]);

    let messages = read.messages(&ada, id, &PageRequest::default()).await?.items;
    let seen: Vec<_> = messages.iter().map(|m| (m.sequence, m.created_at, m.message.clone())).collect();
    assert_eq!(seen, sent);
    assert!(messages.iter().all(|m| m.conversation == id));
    assert_eq!(read.recent_messages(&ada, id, 4).await?, messages);
    assert_eq!(read.messages_backwards(&ada, id, &Backwards::new(4).without_parts(true)).await?, messages);
    let hits = read.search_messages(&ada, &words("lighthouse"), 10).await?;
    assert!(hits.iter().all(|hit| messages.contains(&hit.message)));
    assert_eq!(hits.len(), 2, "the user's and the assistant's message have the word");
    Ok(())
}

pub(super) async fn sequence_counts_from_one(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (one, other) = (conversation(&*t.store, &ada).await?, conversation(&*t.store, &ada).await?);
    for expected in 1..=3 {
        assert_eq!(say(&*t.store, &ada, one, "hello").await?, expected);
        assert_eq!(say(&*t.store, &ada, other, "hello").await?, expected);
    }
    let both = Change::new().with(saying(one, "a")).with(saying(other, "b")).with(saying(one, "c"));
    assert_eq!(t.store.apply(&ada, both).await?.numbers, [4, 4, 5]);
    Ok(())
}

pub(super) async fn rename_changes_title_and_version(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let before = t.store.conversations().conversation(&ada, id).await?.present()?;
    assert_eq!(before.version, 1);
    t.clock.advance(Duration::from_secs(5));
    let receipt = apply(&*t.store, &ada, ConversationOp::Rename { id, title: String::new() }).await?;
    let after = t.store.conversations().conversation(&ada, id).await?.present()?;
    assert_eq!((after.title.as_str(), after.version, receipt.numbers[0]), ("", 2, 2));
    assert_eq!((after.created_at, after.updated_at), (before.created_at, receipt.at));
    Ok(())
}

pub(super) async fn create_twice_is_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let again = apply(&*t.store, &ada, ConversationOp::Create { id, title: "another".into() }).await;
    refused(again, StoreErrorKind::AlreadyExists);
    assert_eq!(t.store.conversations().conversation(&ada, id).await?.present()?.title, "a title");
    Ok(())
}

pub(super) async fn message_id_twice_is_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let conversation = conversation(&*t.store, &ada).await?;
    let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, "once");
    apply(&*t.store, &ada, ConversationOp::AppendMessage { conversation, message: message.clone() }).await?;
    let again = apply(&*t.store, &ada, ConversationOp::AppendMessage { conversation, message }).await;
    refused(again, StoreErrorKind::AlreadyExists);
    assert_eq!(say(&*t.store, &ada, conversation, "the refused one left no gap").await?, 2);
    Ok(())
}

pub(super) async fn delete_removes_messages_and_jobs(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (gone, kept) = (conversation(&*t.store, &ada).await?, conversation(&*t.store, &ada).await?);
    let (gone_job, kept_job) = (JobId::make(&SystemClock), JobId::make(&SystemClock));
    for (conversation, job) in [(gone, gone_job), (kept, kept_job)] {
        say(&*t.store, &ada, conversation, "word").await?;
        apply(&*t.store, &ada, job_op(job, "send", Some(conversation))).await?;
    }
    assert_eq!(apply(&*t.store, &ada, ConversationOp::Delete { id: gone }).await?.numbers, [1]);
    assert_eq!(apply(&*t.store, &ada, ConversationOp::Delete { id: gone }).await?.numbers, [0]);
    let read = t.store.conversations();
    assert_eq!(read.conversation(&ada, gone).await?, None);
    assert_eq!(read.messages(&ada, gone, &PageRequest::default()).await?.items, []);
    assert_eq!(read.recent_messages(&ada, gone, 10).await?, []);
    assert_eq!(t.store.jobs().job(&ada, gone_job).await?, None);
    assert_eq!(read.messages(&ada, kept, &PageRequest::default()).await?.items.len(), 1);
    assert!(t.store.jobs().job(&ada, kept_job).await?.is_some());
    Ok(())
}

pub(super) async fn unknown_conversation_is_not_found(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, id) = (user("ada")?, ConversationId::make(&SystemClock));
    let rename = ConversationOp::Rename { id, title: "x".into() };
    refused(apply(&*t.store, &ada, rename).await, StoreErrorKind::NotFound);
    refused(apply(&*t.store, &ada, saying(id, "x")).await, StoreErrorKind::NotFound);
    let job = job_op(JobId::make(&SystemClock), "send", Some(id));
    refused(apply(&*t.store, &ada, job).await, StoreErrorKind::NotFound);
    Ok(())
}

pub(super) async fn recent_messages_are_the_last_in_order(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    for n in 0..7 {
        say(&*t.store, &ada, id, &format!("message {n}")).await?;
    }
    for (limit, expected) in [(3, 5..=7), (7, 1..=7), (100, 1..=7)] {
        let recent = t.store.conversations().recent_messages(&ada, id, limit).await?;
        let sequences: Vec<u64> = recent.iter().map(|m| m.sequence).collect();
        assert_eq!(sequences, expected.collect::<Vec<u64>>(), "limit {limit}");
    }
    assert_eq!(t.store.conversations().recent_messages(&ada, id, 0).await?, []);
    Ok(())
}

pub(super) async fn messages_are_read_backwards(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (id, other) = (conversation(&*t.store, &ada).await?, conversation(&*t.store, &ada).await?);
    for n in 0..7 {
        say(&*t.store, &ada, id, &format!("message {n}")).await?;
        say(&*t.store, &ada, other, "another").await?;
    }
    for (backwards, expected) in [
        (Backwards::new(3), vec![5, 6, 7]),
        (Backwards::new(3).before(5), vec![2, 3, 4]),
        (Backwards::new(3).before(3), vec![1, 2]),
        (Backwards::new(100).before(8), (1..=7).collect()),
        (Backwards::new(2).before(u64::MAX), vec![6, 7]),
        (Backwards::new(u32::MAX).before(2), vec![1]),
        (Backwards::new(3).before(1), vec![]),
        (Backwards::new(3).before(0), vec![]),
        (Backwards::new(0), vec![]),
    ] {
        for without_parts in [false, true] {
            let backwards = backwards.clone().without_parts(without_parts);
            let found = t.store.conversations().messages_backwards(&ada, id, &backwards).await?;
            let sequences: Vec<u64> = found.iter().map(|message| message.sequence).collect();
            assert_eq!(sequences, expected, "{backwards:?}");
            assert!(found.iter().all(|message| message.conversation == id && !message.parts_left_out));
        }
    }
    Ok(())
}

pub(super) async fn newest_first(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(conversation(&*t.store, &ada).await?);
    }
    ids.sort_unstable();
    ids.reverse();
    let found = all_pages!(3, |page| t.store.conversations().conversations(&ada, page));
    assert_eq!(found.iter().map(|c| c.id).collect::<Vec<_>>(), ids);
    Ok(())
}

pub(super) async fn keeps_a_message_of_a_megabyte(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let text = long_text(Limits::default().message_bytes);
    say(&*t.store, &ada, id, &text).await?;
    let found = t.store.conversations().recent_messages(&ada, id, 1).await?;
    assert!(found[0].message.content == text, "the text came back another");
    Ok(())
}

pub(super) async fn keeps_images_and_documents(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    let with = |role, parts: Vec<ContentPart>| {
        let text = NewMessage::text(MessageId::make(&SystemClock), role, "the lighthouse in the picture");
        ConversationOp::AppendMessage { conversation: id, message: NewMessage { parts, ..text } }
    };
    let image = |bytes: usize| ContentPart::image("image/png", long_text(bytes).into_bytes());
    let parts = vec![
        image(1 << 20),
        ContentPart::image_url("https://example.org/a.png"),
        ContentPart::document("text/markdown", hostile_name(), hostile("windmill").into_bytes()),
    ];
    let said = with(Role::User, parts.clone());
    apply(&*t.store, &ada, said.clone()).await?;

    let read = t.store.conversations();
    let message = read.recent_messages(&ada, id, 1).await?.pop().present()?;
    assert_eq!(message.message.parts, parts);
    assert_eq!(ConversationOp::AppendMessage { conversation: id, message: message.message.clone() }, said);
    assert_eq!(read.messages(&ada, id, &PageRequest::default()).await?.items, std::slice::from_ref(&message));
    // What only looks for something reads no bytes of them, and says so.
    let (place, mut head) = (message.sequence, message.clone().parts_left_out(true));
    head.message.parts.clear();
    let hits = read.search_messages(&ada, &words("lighthouse"), 10).await?;
    assert_eq!(hits.into_iter().map(|hit| hit.message).collect::<Vec<_>>(), std::slice::from_ref(&head));
    let without = Backwards::new(10).without_parts(true);
    assert_eq!(read.messages_backwards(&ada, id, &without).await?, [head]);
    let whole = Backwards::new(1).before(place + 1);
    assert_eq!(read.messages_backwards(&ada, id, &whole).await?, [message]);
    assert_eq!(read.search_messages(&ada, &words("windmill"), 10).await?, [], "what is searched is the text");

    let limit = Limits::default().parts_bytes;
    for (field, op) in [
        ("parts", with(Role::Assistant, parts)),
        ("parts", with(Role::User, vec![image(limit / 2), image(limit / 2 + 1)])),
        ("media_type", with(Role::User, vec![ContentPart::image("application/pdf", &b"%PDF"[..])])),
        ("data", with(Role::User, vec![ContentPart::image("image/png", Vec::new())])),
    ] {
        assert_eq!(refused_field(apply(&*t.store, &ada, op).await), field);
    }
    assert_eq!(read.conversation(&ada, id).await?.present()?.messages, 1);
    apply(&*t.store, &ada, ConversationOp::Delete { id }).await?;
    assert_eq!(read.search_messages(&ada, &words("lighthouse"), 10).await?, []);
    Ok(())
}

/// A name with every sign that may stand in one.
fn hostile_name() -> String {
    hostile("name").chars().filter(|c| !c.is_control()).take(60).collect()
}

pub(super) async fn search_finds_users_and_assistants(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let conversation = conversation(&*t.store, &ada).await?;
    for role in [Role::User, Role::Assistant, Role::System, Role::Tool] {
        let message = NewMessage::text(MessageId::make(&SystemClock), role, "a lighthouse");
        apply(&*t.store, &ada, ConversationOp::AppendMessage { conversation, message }).await?;
    }
    let hits = t.store.conversations().search_messages(&ada, &words("LIGHTHOUSES"), 10).await?;
    let roles: Vec<Role> = hits.iter().map(|hit| hit.message.message.role).collect();
    assert_eq!(roles, [Role::Assistant, Role::User], "equal scores come newest first");
    assert_eq!(t.store.conversations().search_messages(&ada, &words("lighthouse"), 1).await?.len(), 1);
    assert_eq!(t.store.conversations().search_messages(&ada, &words("lighthouse"), 0).await?, []);
    assert_eq!(t.store.conversations().search_messages(&ada, &words("the and of"), 10).await?, []);
    Ok(())
}

pub(super) async fn search_ranks_by_bm25(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (one, other) = (conversation(&*t.store, &ada).await?, conversation(&*t.store, &ada).await?);
    let texts = ["lighthouse", "lighthouse lighthouse ships", "ships pass in the night", "nothing of it", "猫が灯台"];
    for (n, text) in texts.iter().enumerate() {
        say(&*t.store, &ada, if n % 2 == 0 { one } else { other }, text).await?;
    }
    let lengths: Vec<u32> = texts.iter().map(|text| analyze(text).length).collect();
    let statistics = Bm25::new(texts.len() as u64, lengths.iter().map(|&l| u64::from(l)).sum());
    let (lighthouse, ship) = (statistics.term(2), statistics.term(2));
    let mut expected = [
        (texts[0], lighthouse.score(1, lengths[0])),
        (texts[1], lighthouse.score(2, lengths[1]) + ship.score(1, lengths[1])),
        (texts[2], ship.score(1, lengths[2])),
    ];
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let hits = t.store.conversations().search_messages(&ada, &words("lighthouse ship"), 10).await?;
    assert_eq!(hits.len(), expected.len());
    for (hit, (text, score)) in hits.iter().zip(expected) {
        assert_eq!(hit.message.message.content, text);
        assert!((hit.score - score).abs() < 1e-9, "{text}: {} is not {score}", hit.score);
    }
    Ok(())
}

pub(super) async fn search_forgets_what_is_deleted(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (gone, kept) = (conversation(&*t.store, &ada).await?, conversation(&*t.store, &ada).await?);
    say(&*t.store, &ada, kept, "a lighthouse").await?;
    let alone = t.store.conversations().search_messages(&ada, &words("lighthouse"), 10).await?;
    say(&*t.store, &ada, gone, "a lighthouse and another lighthouse and words").await?;
    apply(&*t.store, &ada, ConversationOp::Delete { id: gone }).await?;
    let after = t.store.conversations().search_messages(&ada, &words("lighthouse"), 10).await?;
    assert_eq!(after, alone, "what was deleted still counts");
    Ok(())
}

pub(super) async fn search_takes_any_query(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let id = conversation(&*t.store, &ada).await?;
    for text in HOSTILE {
        say(&*t.store, &ada, id, text).await?;
    }
    for text in HOSTILE.iter().chain(&["\"", "*", "NEAR(", "a:b", "- -", "OR OR", "\0", "'"]) {
        let query = words(text);
        let hits = t.store.conversations().search_messages(&ada, &query, 10).await?;
        let itself = hits.iter().any(|hit| hit.message.message.content == *text);
        assert!(itself || query.is_empty() || !HOSTILE.contains(text), "{text:?} does not find itself");
        assert!(!query.is_empty() || hits.is_empty());
    }
    Ok(())
}
