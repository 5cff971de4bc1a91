use std::hash::Hasher;

use async_trait::async_trait;
use fnv::FnvHasher;
use ironclaw_core::embedder::{EmbedError, EmbedErrorKind, Embedder, EmbeddingModel, Purpose};
use ironclaw_core::id::EmbeddingModelId;
use ironclaw_core::input::Problem;
use ironclaw_core::search::{ANALYSIS_VERSION, analyze};
use ironclaw_core::{InputError, Scope};

use super::normalize;

/// Vectors by feature hashing (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning"): no model,
/// no download, the same everywhere and for ever.
///
/// The vectors compare spelling, not meaning: texts are near when they share words or parts of words, so that
/// `Starttermine` is near `Termin` and a compound near its parts. It needs no network and is fast; for meaning, use an
/// embedder with a model. The model says of itself that it is [lexical](EmbeddingModel::lexical), and the search
/// weights it accordingly.
///
/// **The vector of a text.** Each distinct term *t* of the [analysis](ironclaw_core::search::analyze) (words as stems,
/// unspaced scripts as pairs of characters) has the weight *w* = (1 + ln *count*) · √min(*characters*, 8), as rare
/// words tend to be long ones, and half of that if it is all hiragana. It adds *w* at the feature `0x01 t`; and, if it has three characters or more, *w* / √*n*
/// at each of the *n* features `0x02 g`, where *g* are the runs of two and of three characters of `<t>`. A feature's hash is FNV-1a of 64 bits over
/// its bytes, passed through the finaliser of SplitMix64; the hash modulo the dimensions is the feature's place, and
/// its highest bit, when set, the negative sign. The sum is scaled to length 1. A text without terms gives zeros.
///
/// ```
/// use ironclaw_core::Embedder;
/// use ironclaw_memory::HashEmbedder;
///
/// assert_eq!(HashEmbedder::default().model().dimensions, 384);
/// ```
#[derive(Debug, Clone)]
pub struct HashEmbedder {
    model: EmbeddingModel,
}

/// Texts of fewer bytes are embedded at once, without the way to another thread.
const INLINE_BYTES: usize = 2_048;

impl HashEmbedder {
    /// The least and the most dimensions.
    const DIMENSIONS: std::ops::RangeInclusive<u32> = 64..=4_096;

    /// An embedder whose vectors have that many dimensions: more keep more features apart.
    ///
    /// # Errors
    /// [`Problem::OutOfRange`] unless `dimensions` is 64 to 4,096.
    pub fn with_dimensions(dimensions: u32) -> Result<Self, InputError> {
        if !Self::DIMENSIONS.contains(&dimensions) {
            return Err(InputError::new("dimensions", Problem::OutOfRange { expected: "64 to 4096" }));
        }
        // The words come from core's analysis: another version of it makes other vectors.
        let id = EmbeddingModelId::parse(format!("hash-v1-a{ANALYSIS_VERSION}-{dimensions}"))?;
        Ok(Self { model: EmbeddingModel::new(id, dimensions).lexical(true) })
    }
}

impl Default for HashEmbedder {
    /// 384 dimensions.
    #[allow(clippy::expect_used, reason = "the constant is in range and the id short")]
    fn default() -> Self {
        Self::with_dimensions(384).expect("384 is in range")
    }
}

#[async_trait]
impl Embedder for HashEmbedder {
    fn model(&self) -> &EmbeddingModel {
        &self.model
    }

    async fn embed(&self, _scope: &Scope, _purpose: Purpose, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let dimensions = self.model.dimensions as usize;
        let inline = texts.iter().map(String::len).sum::<usize>() <= INLINE_BYTES;
        let all = move || texts.iter().map(|text| vector(text, dimensions)).collect();
        if inline {
            return Ok(all());
        }
        tokio::task::spawn_blocking(all).await.map_err(|error| {
            EmbedError::new(EmbedErrorKind::ModelUnavailable, "embed", "the runtime is shutting down")
                .with_source(error)
        })
    }
}

fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0; dimensions];
    let mut add = |kind: u8, feature: &str, weight: f32| {
        let hash = hash(kind, feature.as_bytes());
        let place = usize::try_from(hash % dimensions as u64).unwrap_or_default();
        vector[place] += if hash >> 63 == 0 { weight } else { -weight };
    };
    let mut padded = String::new();
    let mut bounds = Vec::new();
    for (term, &count) in &analyze(text).counts {
        padded.clear();
        padded.extend(["<", term.as_str(), ">"]);
        bounds.clear();
        bounds.extend(padded.char_indices().map(|(at, _)| at).chain([padded.len()]));
        // Without the two marks and the end.
        let characters = bounds.len() - 3;
        let weight = (1.0 + (count as f32).ln()) * (characters.min(8) as f32).sqrt() * share_of_meaning(term);
        add(1, term, weight);
        // A shorter term has no parts that say anything: pairs of unspaced scripts are such parts themselves.
        if characters < 3 {
            continue;
        }
        let grams = || bounds.windows(3).map(|w| (w[0], w[2])).chain(bounds.windows(4).map(|w| (w[0], w[3])));
        let share = weight / (grams().count() as f32).sqrt();
        grams().for_each(|(start, end)| add(2, &padded[start..end], share));
    }
    normalize(&mut vector);
    vector
}

/// Pairs of hiragana are mostly particles and endings, what stop words are elsewhere.
fn share_of_meaning(term: &str) -> f32 {
    if term.chars().all(|c| ('\u{3041}'..='\u{309f}').contains(&c)) { 0.5 } else { 1.0 }
}

fn hash(kind: u8, feature: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(&[kind]);
    hasher.write(feature);
    // FNV alone leaves short features alike in their high bits, from which the sign is taken.
    let mut z = hasher.finish();
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn embed(text: &str) -> Vec<f32> {
        vector(text, 384)
    }

    fn cosine(a: &str, b: &str) -> f32 {
        embed(a).iter().zip(embed(b)).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn hashes_are_frozen() {
        assert_eq!(hash(1, b"launch"), FROZEN_HASHES.0);
        assert_eq!(hash(2, "京都".as_bytes()), FROZEN_HASHES.1);
    }

    #[test]
    fn vectors_are_frozen() {
        // Stored vectors are compared with new ones: if this fails, the model's id must change with the vectors.
        assert_eq!(HashEmbedder::default().model().id.as_str(), "hash-v1-a1-384");
        let text = "The launch: Häuser am Hafen, 東京都に行く";
        let found = embed(text);
        let largest = |n: usize| {
            let mut places: Vec<usize> = (0..found.len()).collect();
            places.sort_by(|&a, &b| found[b].abs().total_cmp(&found[a].abs()).then(a.cmp(&b)));
            places.into_iter().take(n).map(|i| (i, (found[i] * 1e4).round() as i32)).collect::<Vec<_>>()
        };
        assert_eq!(largest(6), FROZEN_VECTOR);
        assert_eq!(found.iter().filter(|x| **x != 0.0).count(), FROZEN_PLACES);
    }

    const FROZEN_HASHES: (u64, u64) = (10_406_746_503_501_761_552, 2_347_856_573_825_123_954);
    const FROZEN_VECTOR: [(usize, i32); 6] =
        [(272, -3832), (146, 3498), (124, 3129), (104, -2212), (123, 2212), (251, 2212)];
    const FROZEN_PLACES: usize = 35;

    #[test]
    fn parts_of_words_meet() {
        let far = "Der Hund schläft im Garten";
        assert!(
            cosine("Starttermin", "Der Termin für den Start steht fest") > 2.0 * cosine("Starttermin", far).max(0.05)
        );
        assert!(cosine("launching launches", "the launch") > 0.5);
        assert!(
            cosine("会議はいつですか", "会議は火曜日に開かれます") > cosine("会議はいつですか", "猫が好きです") + 0.1
        );
    }

    #[test]
    fn lengths_are_one_or_zero() {
        for text in ["x", "Hello, world", "日本", &"word ".repeat(10_000), "\u{301}x"] {
            let length: f32 = embed(text).iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-5, "{text:.20}: {length}");
        }
        for text in ["", "  ", "?!", "the"] {
            assert!(embed(text).iter().all(|x| *x == 0.0), "{text}");
        }
    }

    fn ada() -> Scope {
        Scope::user("ada").unwrap()
    }

    #[tokio::test]
    async fn many_texts_are_embedded_in_order_as_one_by_one() {
        let embedder = HashEmbedder::with_dimensions(64).unwrap();
        let texts: Vec<String> =
            (0..200).map(|n| format!("text number {n} of many, about subject {}", n % 7)).collect();
        let together = embedder.embed(&ada(), Purpose::Document, texts.clone()).await.unwrap();
        for (text, vector) in texts.into_iter().zip(together) {
            assert_eq!(embedder.embed(&ada(), Purpose::Query, vec![text]).await.unwrap(), [vector]);
        }
    }

    #[test]
    fn dimensions_out_of_range_are_refused() {
        assert!(HashEmbedder::with_dimensions(63).is_err());
        assert!(HashEmbedder::with_dimensions(4_097).is_err());
    }
}
