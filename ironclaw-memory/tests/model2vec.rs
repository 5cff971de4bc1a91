//! The static embedder loads real files, made here: a tokenizer of nine words and their vectors.
#![cfg(feature = "model2vec")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use ironclaw_core::embedder::{EmbedErrorKind, Embedder, Purpose};
use ironclaw_core::memory::SearchQuery;
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::{Memory, Scope};
use ironclaw_memory::{HybridMemory, StaticEmbedder};
use ironclaw_store::LibsqlStore;
use serde_json::{Value, json};

const DIMENSIONS: usize = 4;
/// Cats and their like are one way, ships and theirs another.
const WORDS: [(&str, [f32; DIMENSIONS]); 9] = [
    ("[UNK]", [0.0, 0.0, 0.0, 0.0]),
    ("cat", [1.0, 0.1, 0.0, 0.0]),
    ("kitten", [0.9, 0.2, 0.0, 0.0]),
    ("猫", [1.0, 0.0, 0.1, 0.0]),
    ("ship", [0.0, 0.0, 1.0, 0.1]),
    ("boat", [0.0, 0.1, 0.9, 0.2]),
    ("the", [0.1, 0.1, 0.1, 0.1]),
    ("sleeps", [0.3, 0.3, 0.0, 0.0]),
    ("sails", [0.0, 0.0, 0.3, 0.3]),
];

fn ada() -> Scope {
    Scope::user("ada").unwrap()
}

fn write_model(folder: &Path) {
    let vocabulary: serde_json::Map<String, Value> =
        WORDS.iter().enumerate().map(|(id, (word, _))| ((*word).to_owned(), id.into())).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let data: Vec<u8> = WORDS.iter().flat_map(|(_, vector)| vector.iter().flat_map(|x| x.to_le_bytes())).collect();
    let header = json!({"embeddings": {
        "dtype": "F32", "shape": [WORDS.len(), DIMENSIONS], "data_offsets": [0, data.len()],
    }});
    let header = header.to_string().into_bytes();
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(folder.join("model.safetensors"), file).unwrap();
    std::fs::write(folder.join("config.json"), json!({"normalize": true}).to_string()).unwrap();
}

#[tokio::test]
async fn a_model_is_loaded_and_compares_meaning() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let embedder = StaticEmbedder::load(folder.path()).await.unwrap();
    assert_eq!(embedder.model().dimensions, 4);
    assert!(!embedder.model().lexical);
    let texts = ["the cat sleeps", "Kitten", "the ship sails", "unheard of", ""].map(str::to_owned).to_vec();
    let vectors = embedder.embed(&ada(), Purpose::Document, texts).await.unwrap();
    let cosine = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum::<f32>();
    assert!(cosine(0, 1) > 0.9 && cosine(0, 2) < 0.5, "{vectors:?}");
    assert!((cosine(0, 0) - 1.0).abs() < 1e-5);
    assert_eq!((&vectors[3], &vectors[4]), (&vec![0.0; 4], &vec![0.0; 4]));

    let memory = HybridMemory::new(LibsqlStore::in_memory().await.unwrap(), embedder);
    let ada = ada();
    for (name, text) in [("pets", "the cat sleeps"), ("sea", "the ship sails")] {
        memory.write(&ada, &WorkspacePath::parse(name).unwrap(), text.as_bytes(), Value::Null).await.unwrap();
    }
    // Not one word in common, but the same meaning.
    for (query, expected) in [("kitten", "pets"), ("boat", "sea"), ("猫", "pets")] {
        let found = memory.search(&ada, &SearchQuery::new(query)).await.unwrap();
        assert_eq!(found.passages[0].path.as_str(), expected, "{query}");
        assert!(found.passages[0].score > 0.8, "{found:?}");
    }
}

#[tokio::test]
async fn the_id_is_the_contents() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_model(one.path());
    write_model(two.path());
    let id = async |folder: &Path| StaticEmbedder::load(folder).await.unwrap().model().id.clone();
    assert_eq!(id(one.path()).await, id(two.path()).await);
    std::fs::write(two.path().join("config.json"), "{\"normalize\": true }").unwrap();
    assert_ne!(id(one.path()).await, id(two.path()).await);
}

#[tokio::test]
async fn what_is_no_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = async || {
        let error = StaticEmbedder::load(folder.path()).await.unwrap_err();
        assert_eq!(error.kind(), &EmbedErrorKind::ModelUnavailable, "{error}");
        error.to_string()
    };
    assert!(refused().await.contains("`tokenizer.json`"));
    write_model(folder.path());
    std::fs::write(folder.path().join("model.safetensors"), b"\xff\xff\xff\xff\xff\xff\xff\x7fnonsense").unwrap();
    assert!(refused().await.contains("not of a model2vec model"));
    write_model(folder.path());
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    refused().await;
}
