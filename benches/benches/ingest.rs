//! Files and megabytes per second with the hashing embedder, into a store on disk.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ironclaw_benches::{prose, runtime, scope};
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_memory::{HashEmbedder, HybridMemory, NewFile};
use ironclaw_store::LibsqlStore;

fn files(count: usize, bytes: usize) -> Vec<NewFile> {
    (0..count)
        .map(|i| {
            NewFile::of(
                WorkspacePath::parse(format!("notes/{i}.md")).expect("a path"),
                prose(i as u64, bytes).into_bytes(),
            )
        })
        .collect()
}

fn ingest(criterion: &mut Criterion) {
    let runtime = runtime();
    let scope = scope();
    let mut group = criterion.benchmark_group("ingest");
    group.sample_size(10);
    for (name, count, bytes) in [("1000 files of 2 KB", 1_000, 2_000), ("1 file of 8 MB", 1, 8 << 20)] {
        let files = files(count, bytes);
        group.throughput(Throughput::Bytes((count * bytes) as u64));
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    let folder = tempfile::tempdir().expect("a folder");
                    let store = runtime.block_on(LibsqlStore::open(folder.path().join("agent.db"))).expect("a store");
                    (folder, HybridMemory::new(store, HashEmbedder::default()), files.clone())
                },
                |(folder, memory, files)| {
                    runtime.block_on(memory.write_many(&scope, files)).expect("written");
                    (folder, memory)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
