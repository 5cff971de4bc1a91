//! Ids that follow from a question's: of the jobs that are to answer it, and of its answer.
//!
//! A store takes each id once. So of two who begin the same attempt one does, and a question has one answer at most, whatever
//! either of them had read before.

use sha2::{Digest, Sha256};

use crate::id::{JobId, MessageId};

/// The job of an attempt to answer a question; the first is 0.
pub(super) fn of_attempt(question: MessageId, attempt: u64) -> JobId {
    JobId::from_bytes(derived(question, b"attempt", attempt))
}

/// The message that answers a question.
pub(super) fn of_answer(question: MessageId) -> MessageId {
    MessageId::from_bytes(derived(question, b"answer", 0))
}

/// The time of the question's id, and a hash: a UUID of version 7 (RFC 9562), as all ids are.
fn derived(question: MessageId, what: &[u8], number: u64) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(b"ironclaw-agent ");
    hash.update(question.as_bytes());
    hash.update(number.to_be_bytes());
    hash.update(what);
    let hash = hash.finalize();
    let mut id = *question.as_bytes();
    id[6..].copy_from_slice(&hash[..10]);
    // Later attempts come after earlier ones.
    let [high, low] = u16::try_from(number).unwrap_or(u16::MAX).min(0x0fff).to_be_bytes();
    (id[6], id[7]) = (0x70 | high, low);
    id[8] = 0x80 | id[8] & 0x3f;
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn each_attempt_and_the_answer_have_ids_of_their_own() {
        let (one, two) = (MessageId::make(&SystemClock), MessageId::make(&SystemClock));
        let ids = [of_attempt(one, 0), of_attempt(one, 1), of_attempt(two, 0)].map(|id| *id.as_bytes());
        let mut all = vec![*of_answer(one).as_bytes(), *of_answer(two).as_bytes(), *one.as_bytes(), *two.as_bytes()];
        all.extend(ids);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 7);
        assert_eq!(of_attempt(one, 1), of_attempt(one, 1));
        assert!((0..5_000).is_sorted_by_key(|n| of_attempt(one, n).as_bytes()[..8].to_vec()));
        let version = of_answer(one).to_string();
        assert_eq!(&version[14..15], "7");
        assert_eq!(version[..13], one.to_string()[..13]);
    }
}
