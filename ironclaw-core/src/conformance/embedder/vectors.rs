use super::EmbedderSubject;
use crate::conformance::check::{Failure, Outcome, at_once, poll_at_most, someone};
use crate::conformance::text::{HOSTILE, long_text};
use crate::embedder::{EmbedErrorKind, Embedder, Purpose};

const PURPOSES: [Purpose; 2] = [Purpose::Document, Purpose::Query];
const TEXTS: [&str; 4] =
    ["The lighthouse keeper counts ships.", "Der Leuchtturmwärter zählt Schiffe.", "灯台守が船を数える", "42"];

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// Asserts what every vector is; one of zeros only where it may be.
fn assert_shape(embedder: &dyn Embedder, vector: &[f32], may_be_zero: bool) {
    let stated = embedder.model().dimensions as usize;
    assert_eq!(vector.len(), stated, "a vector must have as many numbers as the model states dimensions");
    assert!(vector.iter().all(|x| x.is_finite()), "a vector must have no NaN and no infinity");
    let length = length(vector);
    assert!(
        (length - 1.0).abs() < 1e-3 || (may_be_zero && length == 0.0),
        "a vector has the length {length}; it must be 1: divide each by its length"
    );
}

pub(super) async fn shape_is_promised(subject: &EmbedderSubject) -> Outcome {
    let embedder = subject.fresh().await?;
    assert!(embedder.model().dimensions > 0);
    for purpose in PURPOSES {
        let vectors = embedder.embed(&someone()?, purpose, owned(&TEXTS)).await?;
        assert_eq!(vectors.len(), TEXTS.len());
        for vector in &vectors {
            assert_shape(&*embedder, vector, false);
        }
    }
    Ok(())
}

pub(super) async fn same_text_same_vector(subject: &EmbedderSubject) -> Outcome {
    let (embedder, other) = (subject.fresh().await?, subject.fresh().await?);
    assert_eq!(embedder.model(), other.model());
    for purpose in PURPOSES {
        let first = embedder.embed(&someone()?, purpose, owned(&TEXTS)).await?;
        assert_eq!(embedder.embed(&someone()?, purpose, owned(&TEXTS)).await?, first);
        assert_eq!(
            other.embed(&someone()?, purpose, owned(&TEXTS)).await?,
            first,
            "another instance of the model agrees"
        );
    }
    Ok(())
}

pub(super) async fn batches_change_nothing(subject: &EmbedderSubject) -> Outcome {
    let embedder = subject.fresh().await?;
    let mut texts = owned(&TEXTS);
    texts.extend((0..100).map(|n| format!("text number {n} of a large batch")));
    texts.push(long_text(5_000));
    let together = embedder.embed(&someone()?, Purpose::Document, texts.clone()).await?;
    for (text, vector) in texts.iter().zip(&together).step_by(7) {
        let alone = embedder.embed(&someone()?, Purpose::Document, vec![text.clone()]).await?;
        let nearness = cosine(&alone[0], vector);
        assert!(nearness > 1.0 - 1e-4, "{text:.40}: alone and in a batch differ: {nearness}");
    }
    Ok(())
}

pub(super) async fn order_is_kept(subject: &EmbedderSubject) -> Outcome {
    let embedder = subject.fresh().await?;
    let forwards = embedder.embed(&someone()?, Purpose::Document, owned(&TEXTS)).await?;
    let mut texts = owned(&TEXTS);
    texts.reverse();
    let mut backwards = embedder.embed(&someone()?, Purpose::Document, texts).await?;
    backwards.reverse();
    for (a, b) in forwards.iter().zip(&backwards) {
        assert!(cosine(a, b) > 1.0 - 1e-4);
    }
    let doubled = embedder.embed(&someone()?, Purpose::Document, owned(&[TEXTS[0], TEXTS[1], TEXTS[0]])).await?;
    assert!(cosine(&doubled[0], &doubled[2]) > 1.0 - 1e-4);
    assert!(cosine(&doubled[0], &doubled[1]) < 1.0 - 1e-4, "two texts, one vector");
    Ok(())
}

pub(super) async fn nothing_gives_nothing(subject: &EmbedderSubject) -> Outcome {
    let embedder = subject.fresh().await?;
    for purpose in PURPOSES {
        assert!(embedder.embed(&someone()?, purpose, Vec::new()).await?.is_empty());
    }
    Ok(())
}

pub(super) async fn empty_text(subject: &EmbedderSubject) -> Outcome {
    let embedder = subject.fresh().await?;
    for purpose in PURPOSES {
        let vectors = embedder.embed(&someone()?, purpose, owned(&["", TEXTS[0], " \n\t", "...", "\u{200f}"])).await?;
        assert_eq!(vectors.len(), 5);
        for (vector, may_be_zero) in vectors.iter().zip([true, false, true, true, true]) {
            assert_shape(&*embedder, vector, may_be_zero);
        }
        let alone = embedder.embed(&someone()?, purpose, owned(&[TEXTS[0]])).await?;
        assert!(cosine(&vectors[1], &alone[0]) > 1.0 - 1e-4, "an empty neighbour changes a text's vector");
    }
    Ok(())
}

pub(super) async fn huge_text(subject: &EmbedderSubject) -> Outcome {
    let embedder = subject.fresh().await?;
    for text in [long_text(1 << 20), "x".repeat(1 << 20), "word ".repeat(50_000)] {
        match embedder.embed(&someone()?, Purpose::Document, vec![text]).await {
            Ok(vectors) => assert_shape(&*embedder, &vectors[0], true),
            Err(error) => assert_eq!(*error.kind(), EmbedErrorKind::InvalidInput, "{error}"),
        }
    }
    Ok(())
}

pub(super) async fn any_unicode(subject: &EmbedderSubject) -> Outcome {
    let embedder = subject.fresh().await?;
    let mut texts = owned(HOSTILE);
    texts.extend(["\0".to_owned(), "\u{10ffff}\u{fffe}".to_owned(), "e\u{301}".repeat(2_000), "👩‍👩‍👧‍👦".repeat(500)]);
    for text in texts {
        for purpose in PURPOSES {
            let vectors = embedder.embed(&someone()?, purpose, vec![text.clone()]).await?;
            assert_shape(&*embedder, &vectors[0], true);
        }
    }
    Ok(())
}

pub(super) async fn alike_is_nearer(subject: &EmbedderSubject) -> Outcome {
    let embedder = subject.fresh().await?;
    let documents = owned(&[
        "The lighthouse keeper counts the ships that pass at night.",
        "Mix flour, butter and sugar, and bake the cake for an hour.",
        "The parliament voted on the new tax law yesterday.",
    ]);
    let queries = owned(&[
        "Who counts ships in the lighthouse?",
        "How long do I bake the cake?",
        "When was the tax law voted on?",
    ]);
    let documents = embedder.embed(&someone()?, Purpose::Document, documents).await?;
    let queries = embedder.embed(&someone()?, Purpose::Query, queries).await?;
    for (n, query) in queries.iter().enumerate() {
        let nearness: Vec<f64> = documents.iter().map(|document| cosine(query, document)).collect();
        let own = nearness[n];
        let nearest = nearness.iter().enumerate().all(|(m, &other)| m == n || other < own);
        assert!(nearest, "question {n}: {nearness:?}");
    }
    Ok(())
}

pub(super) async fn dropped_at_every_await(subject: &EmbedderSubject) -> Outcome {
    let embedder = subject.fresh().await?;
    let expected = embedder.embed(&someone()?, Purpose::Document, owned(&TEXTS)).await?;
    let scope = someone()?;
    for polls in 0..1_000 {
        let done = poll_at_most(polls, embedder.embed(&scope, Purpose::Document, owned(&TEXTS))).await.transpose()?;
        assert_eq!(embedder.embed(&someone()?, Purpose::Document, owned(&TEXTS)).await?, expected);
        if done.is_some() {
            return Ok(());
        }
    }
    Err(Failure::new("embedding never ended"))
}

pub(super) async fn many_at_once(subject: &EmbedderSubject) -> Outcome {
    let embedder = subject.fresh().await?;
    let expected = embedder.embed(&someone()?, Purpose::Document, owned(&TEXTS)).await?;
    let scope = someone()?;
    let results = at_once(16, |_| {
        let (embedder, scope) = (embedder.clone(), scope.clone());
        async move { embedder.embed(&scope, Purpose::Document, owned(&TEXTS)).await }
    })
    .await?;
    for result in results {
        assert_eq!(result?, expected);
    }
    Ok(())
}
