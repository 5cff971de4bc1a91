//! The time that `Agent::send` takes outside the model, with 10,000 messages and 10,000 chunks stored.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use futures::stream;
use ironclaw_benches::{Random, prose, runtime, scope, word};
use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::{ConversationId, MessageId};
use ironclaw_core::llm::{LlmError, LlmEvent, LlmRequest, LlmResponse, LlmStream};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::store::Apply;
use ironclaw_core::{Agent, Change, LlmProvider, Scope, StoreExt, SystemClock};
use ironclaw_memory::{HashEmbedder, HybridMemory, NewFile};
use ironclaw_store::LibsqlStore;

const MESSAGES: u64 = 10_000;
const CHUNKS: u64 = 10_000;

/// A model that answers at once, so that all the time is spent outside it.
#[derive(Debug)]
struct Instantly;

#[async_trait::async_trait]
impl LlmProvider for Instantly {
    fn model(&self) -> &str {
        "instantly"
    }

    async fn stream(&self, _: &Scope, _: LlmRequest) -> Result<LlmStream, LlmError> {
        let response = LlmResponse::new("instantly", "Noted [1].");
        Ok(Box::pin(stream::iter([Ok(LlmEvent::Text(response.text.clone())), Ok(LlmEvent::Finished(response))])))
    }
}

/// A store on disk with messages in 100 conversations, and files of one chunk each.
async fn filled(folder: &std::path::Path) -> (LibsqlStore, HybridMemory) {
    let (scope, store) = (scope(), LibsqlStore::open(folder.join("agent.db")).await.expect("a store"));
    for i in 0..100 {
        let id = ConversationId::make(&SystemClock);
        store.create_conversation(&scope, id, "bench").await.expect("a conversation");
        let change = (0..MESSAGES / 100).fold(Change::new(), |change, j| {
            let role = if j % 2 == 0 { Role::User } else { Role::Assistant };
            let message = NewMessage::text(MessageId::make(&SystemClock), role, prose(i * 1_000 + j, 200));
            change.with(ConversationOp::AppendMessage { conversation: id, message })
        });
        store.apply(&scope, change).await.expect("messages");
    }
    let memory = HybridMemory::new(store.clone(), HashEmbedder::default());
    let files = (0..CHUNKS).map(|i| {
        NewFile::of(
            WorkspacePath::parse(format!("notes/{i}.md")).expect("a path"),
            prose(1_000_000 + i, 700).into_bytes(),
        )
    });
    let written = memory.write_many(&scope, files.collect()).await.expect("files");
    assert_eq!(written.iter().map(|file| file.embedded as u64).sum::<u64>(), CHUNKS);
    (store, memory)
}

fn send(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().expect("a folder");
    let (store, memory) = runtime.block_on(filled(folder.path()));
    let agent = Agent::builder().store(store).memory(memory).llm(Instantly).build().expect("an agent");
    let scope = scope();
    let conversation = runtime.block_on(agent.start_conversation(&scope)).expect("a conversation");
    let mut random = Random::new(7);
    let (mut took, mut retrieval) = (Vec::new(), Vec::new());
    let mut group = criterion.benchmark_group("agent");
    group.measurement_time(Duration::from_secs(8));
    group.bench_function("send outside the model", |b| {
        b.iter_custom(|sends| {
            (0..sends)
                .map(|_| {
                    let words: Vec<String> = (0..8).map(|_| word(random.zipf(20_000))).collect();
                    let question = format!("What of {}?", words.join(" "));
                    let start = Instant::now();
                    let reply = runtime.block_on(agent.send(&scope, conversation, &question)).expect("a reply");
                    let elapsed = start.elapsed();
                    took.push(elapsed);
                    retrieval.push(reply.timings.retrieval);
                    elapsed
                })
                .sum()
        });
    });
    group.finish();
    for (what, mut took) in [("send", took), ("of which retrieval", retrieval)] {
        took.sort_unstable();
        println!("{what}: p50 {:?}, p95 {:?} of {}", took[took.len() / 2], took[took.len() * 95 / 100], took.len());
    }
}

criterion_group!(benches, send);
criterion_main!(benches);
