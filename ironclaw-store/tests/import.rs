//! A large import: a process of its own, whose memory is its own.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/library.rs"]
mod library;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/watched.rs"]
mod watched;

use std::process::ExitCode;

use ironclaw_core::Maintenance;
use ironclaw_core::id::ChunkId;
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::search::TextQuery;
use ironclaw_core::store::{SearchFilter, Workspace};
use ironclaw_core::{Limits, SystemClock};
use ironclaw_store::PostgresStore;

use library::{Chunk, File, Random, apply, model, near, path, register, user};
use watched::Watched;

ironclaw_testing::tests![fifty_thousand_chunks_take_few_statements_and_little_memory,];

fn main() -> ExitCode {
    ironclaw_testing::run([tests()])
}

const DIMENSIONS: usize = 384;
const MODEL: &str = "test/384";
const CHANGES: usize = 50;
const FILES_PER_CHANGE: usize = 10;
const CHUNKS_PER_FILE: usize = 100;

/// How many statements a file takes, however many chunks it has, and a change besides.
const STATEMENTS_PER_FILE: usize = 7;
const STATEMENTS_PER_CHANGE: usize = 5;

/// How much more memory the import may take than a first change took: what is imported has more than 80 MB.
const MEMORY: u64 = 24 << 20;

fn file(random: &mut Random, nr: usize) -> File {
    let chunk = |i: usize| {
        let words: String = (0..4).map(|_| format!("w{} ", random.below(1_000))).collect();
        let text = format!("{words}n{}. ", nr * CHUNKS_PER_FILE + i);
        Chunk { id: ChunkId::make(&SystemClock), text, vector: Some(random.vector(DIMENSIONS)) }
    };
    let chunks = (0..CHUNKS_PER_FILE).map(chunk).collect();
    File { path: path(&format!("files/{}/{nr}", nr % 10)), model: Some(model(MODEL)), chunks }
}

/// The most memory that this process had since it was last asked, in bytes; `None` where the system does not tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

async fn fifty_thousand_chunks_take_few_statements_and_little_memory() {
    let mut watched = Watched::start().await;
    let store = watched.store(PostgresStore::builder()).await;
    let ada = user("ada");
    register(&store, &ada, MODEL, DIMENSIONS as u32).await;
    let mut random = Random(31);
    let mut sample: Vec<(WorkspacePath, Chunk, usize)> = Vec::new();
    let mut memory = Vec::new();
    for change in 0..CHANGES {
        let mut operations = Vec::new();
        for nr in change * FILES_PER_CHANGE..(change + 1) * FILES_PER_CHANGE {
            let file = file(&mut random, nr);
            operations.extend(file.operations());
            if nr % 50 == 7 {
                sample.push((file.path, file.chunks[3].clone(), nr * CHUNKS_PER_FILE + 3));
            }
        }
        let written = apply(&store, &ada, operations);
        if change < CHANGES - 1 {
            written.await;
        } else {
            // Rows are written many at once, and found without going through those of other files.
            let ((), statements) = watched.during(written).await;
            assert!(statements.len() <= STATEMENTS_PER_FILE * FILES_PER_CHANGE + STATEMENTS_PER_CHANGE);
            for statement in statements {
                assert!(statement.removed() < 100, "{} rows in vain: {}", statement.removed(), statement.text);
            }
        }
        memory.extend(peak_memory());
    }
    if let [first, _, .., last] = memory[..] {
        let most = memory.iter().max().unwrap();
        assert!(most - first < MEMORY, "{} MiB at first, {} at most, {} at last", first >> 20, most >> 20, last >> 20);
    }
    for (at, chunk, nr) in sample {
        let query = near(MODEL, chunk.vector.as_ref().unwrap());
        let hits = store.search_vectors(&ada, &query, &SearchFilter::default(), 3).await.unwrap();
        assert_eq!(hits[0].chunk, chunk.id);
        let query = TextQuery::new(&format!("n{nr}"), &Limits::default());
        let hits = store.search_text(&ada, &query, &SearchFilter::default(), 3).await.unwrap();
        assert_eq!(hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>(), [chunk.id]);
        assert_eq!(store.entry(&ada, &at).await.unwrap().unwrap().chunks, CHUNKS_PER_FILE as u64);
    }
    assert_eq!(watched.maintenance().await.check_integrity().await.unwrap(), Vec::<String>::new());
}
