use super::fixtures::{File, apply, model, words};
use super::{StoreSubject, user};
use crate::change::WorkspaceOp;
use crate::clock::SystemClock;
use crate::conformance::check::{Outcome, refused_field};
use crate::conformance::text::HOSTILE;
use crate::id::VersionId;
use crate::model::workspace::WorkspacePath;
use crate::search::{Bm25, analyze};
use crate::store::{SearchFilter, VectorQuery};

const EVERYWHERE: SearchFilter = SearchFilter { prefix: None };

pub(super) async fn text_ranks_by_bm25(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let texts = [
        "ship ship ship and more words to make it longer than others",
        "ship lighthouse",
        "a lighthouse, a lighthouse",
        "neither",
        "灯台と船",
    ];
    let mut files = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let file = File::new(&format!("{n}.md"), text)?;
        file.write(&*t.store, &ada).await?;
        files.push(file);
    }
    let terms: Vec<_> = texts.iter().map(|text| analyze(text)).collect();
    let statistics = Bm25::new(texts.len() as u64, terms.iter().map(|t| u64::from(t.length)).sum());
    let query = words("lighthouse ships");
    let mut expected = Vec::new();
    for (file, terms) in files.iter().zip(&terms) {
        let scores = query.terms().iter().filter_map(|term| {
            let frequency = *terms.counts.get(term)?;
            Some(statistics.term(2).score(frequency, terms.length))
        });
        let score: f64 = scores.sum();
        if score > 0.0 {
            expected.push((file.chunk, score));
        }
    }
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let hits = t.store.workspace().search_text(&ada, &query, &EVERYWHERE, 10).await?;
    assert_eq!(hits.len(), 3);
    for (hit, (chunk, score)) in hits.iter().zip(expected) {
        assert_eq!(hit.chunk, chunk);
        assert!((hit.score - score).abs() < 1e-9, "{} is not {score}", hit.score);
    }
    assert_eq!(t.store.workspace().search_text(&ada, &words("灯台"), &EVERYWHERE, 10).await?.len(), 1);
    Ok(())
}

pub(super) async fn text_takes_any_query(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    for (n, text) in HOSTILE.iter().enumerate() {
        File::new(&format!("{n}"), text)?.write(&*t.store, &ada).await?;
    }
    for text in HOSTILE.iter().chain(&["\"", "*", "NEAR(", "a:b", "- -", "OR OR", "\0", "'", ""]) {
        let query = words(text);
        let hits = t.store.workspace().search_text(&ada, &query, &EVERYWHERE, 10).await?;
        let chunks: Vec<_> = hits.iter().map(|hit| hit.chunk).collect();
        let found = t.store.workspace().chunks(&ada, &chunks).await?;
        let itself = found.iter().any(|chunk| chunk.text == *text);
        assert!(itself || query.is_empty() || !HOSTILE.contains(text), "{text:?} does not find itself");
        assert!(!query.is_empty() || hits.is_empty());
    }
    Ok(())
}

pub(super) async fn text_order_is_deterministic(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let mut chunks = Vec::new();
    for n in 0..20 {
        let file = File::new(&format!("{n}"), "the same lighthouse")?;
        file.write(&*t.store, &ada).await?;
        chunks.push(file.chunk);
    }
    chunks.sort_unstable();
    for limit in [1, 7, 20, 100] {
        let hits = t.store.workspace().search_text(&ada, &words("lighthouse"), &EVERYWHERE, limit).await?;
        let found: Vec<_> = hits.iter().map(|hit| hit.chunk).collect();
        assert_eq!(found, chunks[..(limit as usize).min(20)], "equal scores come in the order of chunk ids");
    }
    Ok(())
}

pub(super) async fn vectors_rank_by_cosine(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let model = model(&*t.store, &ada, "m", 3).await?;
    let vectors: [[f32; 3]; 5] =
        [[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [30.0, 30.0, 30.0]];
    let asked = [2.0_f32, 1.5, 0.5];
    let length = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let mut expected = Vec::new();
    for (n, vector) in vectors.iter().enumerate() {
        let file = File::new(&format!("{n}"), "text")?.embedded(&model, *vector);
        file.write(&*t.store, &ada).await?;
        let dot: f64 = vector.iter().zip(asked).map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
        expected.push((file.chunk, dot / length(vector) / length(&asked)));
    }
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let query = VectorQuery { model, vector: asked.to_vec() };
    let hits = t.store.workspace().search_vectors(&ada, &query, &EVERYWHERE, 10).await?;
    assert_eq!(hits.len(), expected.len());
    for (hit, (chunk, score)) in hits.iter().zip(&expected) {
        assert_eq!(hit.chunk, *chunk);
        assert!((hit.score - score).abs() < 1e-5, "{} is not {score}", hit.score);
    }
    let first = t.store.workspace().search_vectors(&ada, &query, &EVERYWHERE, 2).await?;
    assert_eq!(first, hits[..2]);
    Ok(())
}

pub(super) async fn vector_ties_are_in_order_of_chunks(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let model = model(&*t.store, &ada, "m", 4).await?;
    let mut chunks = Vec::new();
    for n in 0..30 {
        let file = File::new(&format!("{n}"), "text")?.embedded(&model, [0.5, 0.5, 0.5, 0.5]);
        file.write(&*t.store, &ada).await?;
        chunks.push(file.chunk);
    }
    chunks.sort_unstable();
    let query = VectorQuery { model, vector: vec![0.1, 0.2, 0.3, 0.4] };
    for limit in [1, 11, 100] {
        let hits = t.store.workspace().search_vectors(&ada, &query, &EVERYWHERE, limit).await?;
        let found: Vec<_> = hits.iter().map(|hit| hit.chunk).collect();
        assert_eq!(found, chunks[..(limit as usize).min(30)]);
    }
    Ok(())
}

pub(super) async fn zero_vectors_are_similar_to_nothing(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let model = model(&*t.store, &ada, "m", 2).await?;
    let zero = File::new("zero", "text")?.embedded(&model, [0.0, 0.0]);
    let near = File::new("near", "text")?.embedded(&model, [1.0, 0.0]);
    let tiny = File::new("tiny", "text")?.embedded(&model, [f32::MIN_POSITIVE, 0.0]);
    for file in [&zero, &near, &tiny] {
        file.write(&*t.store, &ada).await?;
    }
    let query = VectorQuery { model: model.clone(), vector: vec![1.0, 0.0] };
    let hits = t.store.workspace().search_vectors(&ada, &query, &EVERYWHERE, 10).await?;
    assert!(hits.iter().all(|hit| hit.score.is_finite()), "{hits:?}");
    assert!(hits.iter().filter(|hit| hit.chunk == zero.chunk).all(|hit| hit.score == 0.0), "{hits:?}");
    assert_ne!(hits.first().map(|hit| hit.chunk), Some(zero.chunk));
    let nothing = VectorQuery { model, vector: vec![0.0, 0.0] };
    let hits = t.store.workspace().search_vectors(&ada, &nothing, &EVERYWHERE, 10).await?;
    assert!(hits.iter().all(|hit| hit.score == 0.0), "{hits:?}");
    Ok(())
}

pub(super) async fn wrong_vectors_are_refused(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let model = model(store, &ada, "m", 3).await?;
    let wrong: [&[f32]; 6] = [
        &[],
        &[1.0, 2.0],
        &[1.0, 2.0, 3.0, 4.0],
        &[1.0, f32::NAN, 3.0],
        &[f32::INFINITY, 2.0, 3.0],
        &[1.0, 2.0, f32::NEG_INFINITY],
    ];
    for vector in wrong {
        let file = File::new("a.md", "lighthouse")?.embedded(&model, vector);
        assert_eq!(refused_field(file.write(store, &ada).await), "embedding", "{vector:?}");
        let query = VectorQuery { model: model.clone(), vector: vector.to_vec() };
        let refusal = store.workspace().search_vectors(&ada, &query, &EVERYWHERE, 10).await;
        assert_eq!(refused_field(refusal), "embedding", "{vector:?}");
    }
    // A version with a model needs a vector for each chunk, one without a model takes none.
    let with = File::new("a.md", "lighthouse")?.embedded(&model, [1.0, 2.0, 3.0]);
    let without = File::new("a.md", "lighthouse")?;
    for (begun, put) in [(&with, &without), (&without, &with)] {
        let version = VersionId::make(&SystemClock);
        apply(store, &ada, begun.begin(version)).await?;
        refused_field(apply(store, &ada, put.put(version)).await);
        apply(store, &ada, WorkspaceOp::Abandon { version }).await?;
    }
    assert_eq!(store.workspace().entry(&ada, &with.path).await?, None);
    Ok(())
}

pub(super) async fn two_models_side_by_side(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let (small, large) = (model(&*t.store, &ada, "small", 2).await?, model(&*t.store, &ada, "large", 3).await?);
    let twin = model(&*t.store, &ada, "twin", 2).await?;
    let files = [
        File::new("small", "text")?.embedded(&small, [1.0, 0.0]),
        File::new("large", "text")?.embedded(&large, [1.0, 0.0, 0.0]),
        File::new("twin", "text")?.embedded(&twin, [1.0, 0.0]),
        File::new("none", "text")?,
    ];
    for file in &files {
        file.write(&*t.store, &ada).await?;
    }
    for (file, vector) in files.iter().zip([vec![1.0, 0.0], vec![1.0, 0.0, 0.0], vec![1.0, 0.0]]) {
        let Some((model, _)) = &file.embedding else { continue };
        let query = VectorQuery { model: model.clone(), vector };
        let hits = t.store.workspace().search_vectors(&ada, &query, &EVERYWHERE, 10).await?;
        assert_eq!(hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>(), [file.chunk]);
    }
    assert_eq!(t.store.workspace().search_text(&ada, &words("text"), &EVERYWHERE, 10).await?.len(), 4);
    Ok(())
}

pub(super) async fn prefix_filters(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let model = model(&*t.store, &ada, "m", 2).await?;
    for path in ["a/b/c", "a/b", "ab/c", "a%b/c"] {
        File::new(path, "lighthouse")?.embedded(&model, [1.0, 0.0]).write(&*t.store, &ada).await?;
    }
    let query = VectorQuery { model, vector: vec![1.0, 0.0] };
    for (prefix, expected) in [("a", 2), ("a/b", 2), ("a/b/c", 1), ("ab", 1), ("a%b", 1), ("b", 0)] {
        let filter = SearchFilter { prefix: Some(WorkspacePath::parse(prefix)?) };
        let by_text = t.store.workspace().search_text(&ada, &words("lighthouse"), &filter, 10).await?;
        let by_vector = t.store.workspace().search_vectors(&ada, &query, &filter, 10).await?;
        assert_eq!((by_text.len(), by_vector.len()), (expected, expected), "prefix {prefix}");
    }
    Ok(())
}

pub(super) async fn limit_is_kept(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let ada = user("ada")?;
    let model = model(&*t.store, &ada, "m", 2).await?;
    for n in 0..5_u8 {
        let file = File::new(&format!("{n}"), "lighthouse")?;
        file.embedded(&model, [1.0, f32::from(n)]).write(&*t.store, &ada).await?;
    }
    let query = VectorQuery { model, vector: vec![1.0, 0.0] };
    for limit in [0, 1, 4, 5, u32::MAX] {
        let expected = limit.min(5) as usize;
        let by_text = t.store.workspace().search_text(&ada, &words("lighthouse"), &EVERYWHERE, limit).await?;
        let by_vector = t.store.workspace().search_vectors(&ada, &query, &EVERYWHERE, limit).await?;
        assert_eq!((by_text.len(), by_vector.len()), (expected, expected), "limit {limit}");
    }
    Ok(())
}

pub(super) async fn deleted_is_not_found(subject: &StoreSubject) -> Outcome {
    let t = subject.fresh().await?;
    let (ada, store) = (user("ada")?, &*t.store);
    let model = model(store, &ada, "m", 2).await?;
    let kept = File::new("kept", "a lighthouse")?.embedded(&model, [1.0, 0.0]);
    kept.write(store, &ada).await?;
    let query = VectorQuery { model: model.clone(), vector: vec![1.0, 0.0] };
    let read = store.workspace();
    let alone_text = read.search_text(&ada, &words("lighthouse"), &EVERYWHERE, 10).await?;
    let alone_vector = read.search_vectors(&ada, &query, &EVERYWHERE, 10).await?;
    // An equal text and vector, searched once so that any cache has seen it.
    let gone = File::new("gone", "a lighthouse")?.embedded(&model, [1.0, 0.0]);
    gone.write(store, &ada).await?;
    assert_eq!(read.search_vectors(&ada, &query, &EVERYWHERE, 10).await?.len(), 2);
    apply(store, &ada, WorkspaceOp::DeleteEntry { path: gone.path.clone() }).await?;
    assert_eq!(read.search_text(&ada, &words("lighthouse"), &EVERYWHERE, 10).await?, alone_text);
    assert_eq!(read.search_vectors(&ada, &query, &EVERYWHERE, 10).await?, alone_vector);
    File::new("gone", "a harbour")?.write(store, &ada).await?;
    assert_eq!(read.search_text(&ada, &words("lighthouse"), &EVERYWHERE, 10).await?.len(), 1, "its path is free again");
    Ok(())
}
