//! What the benchmarks share: a runtime, a user, and text that looks like text.

use ironclaw_core::Scope;

mod postgres;

pub use postgres::{APPLICATION, Postgres};

/// A runtime as a host would have it on two cores.
///
/// # Panics
/// If the operating system gives no threads.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A user.
///
/// # Panics
/// Never: the name is valid.
pub fn scope() -> Scope {
    Scope::user("bench").expect("a user")
}

/// About `bytes` bytes of words in sentences and paragraphs, different for each `seed`. Frequencies of words fall like
/// those of a natural language (Zipf's law), and the most frequent ones are those of English.
pub fn prose(seed: u64, bytes: usize) -> String {
    let mut random = Random(seed.wrapping_add(1));
    let mut text = String::with_capacity(bytes + 32);
    let mut words = 0;
    while text.len() < bytes {
        words += 1;
        text.push_str(&word(random.zipf(20_000)));
        text.push_str(match words {
            n if n % 120 == 0 => ".\n\n",
            n if n % 12 == 0 => ". ",
            _ => " ",
        });
    }
    text
}

/// The most frequent words of English, which make up about half of a text and which full-text search leaves out.
const FREQUENT: [&str; 72] = [
    "the", "of", "and", "to", "a", "in", "is", "i", "that", "it", "for", "you", "was", "with", "on", "as", "have",
    "but", "be", "they", "are", "at", "or", "this", "from", "not", "by", "he", "his", "had", "she", "her", "we", "an",
    "which", "their", "who", "if", "will", "would", "there", "what", "so", "can", "when", "has", "were", "been", "do",
    "my", "your", "how", "than", "them", "then", "these", "those", "about", "could", "did", "does", "him", "me", "our",
    "us", "where", "why", "its", "und", "die", "der", "das",
];

/// The word of a rank: a frequent word of English, or syllables that spell the number.
pub fn word(rank: u64) -> String {
    if let Some(frequent) = usize::try_from(rank).ok().and_then(|rank| FREQUENT.get(rank.saturating_sub(1))) {
        return (*frequent).to_owned();
    }
    const SYLLABLES: [&str; 16] =
        ["ka", "ro", "mi", "tu", "le", "sa", "no", "vi", "pe", "du", "ga", "hi", "bo", "fe", "zu", "ly"];
    let mut word = String::new();
    let mut rest = rank + 16;
    while rest > 0 {
        word.push_str(SYLLABLES[(rest % 16) as usize]);
        rest /= 16;
    }
    word
}

/// A xorshift generator: the same numbers on every run.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit.max(1)
    }

    /// A rank from 1 to `limit`, rank r about 1/r as often as rank 1.
    pub fn zipf(&mut self, limit: u64) -> u64 {
        let unit = self.below(1 << 53) as f64 / (1u64 << 53) as f64;
        (limit as f64).powf(unit) as u64
    }
}
