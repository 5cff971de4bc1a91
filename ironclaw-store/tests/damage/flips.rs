//! Damage by single bytes, anywhere in the file.

use std::path::Path;

use ironclaw_core::conformance::store::Sample;
use ironclaw_core::id::SettingKey;
use ironclaw_core::{Maintenance, Scope, Store, StoreExt};
use ironclaw_store::LibsqlStore;
use serde_json::json;

use crate::furnish::{furnish, user};
use crate::{Said, ask, is_typed, maintenance, panics};

/// How many bytes are changed, one at a time, unless `IRONCLAW_FLIPS` says another number.
const FLIPS: u64 = 120;

/// Numbers that are the same on every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % limit
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_flipped_byte_makes_fail_the_check_tells() {
    let before = panics();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.db");
    let samples = furnish(&path).await;
    let bytes = std::fs::read(&path).unwrap();
    let sound = probe(&path, &samples).await.unwrap().0;
    let flips = std::env::var("IRONCLAW_FLIPS").ok().and_then(|flips| flips.parse().ok()).unwrap_or(FLIPS);
    let mut random = Random(0x5eed);
    let (mut refused, mut told, mut silent) = (0, 0, 0);
    for flip in 0..flips {
        let mut damaged = bytes.clone();
        let at = random.below(damaged.len() as u64) as usize;
        let with = [1 << random.below(8), 0xff, 0x80][random.below(3) as usize];
        damaged[at] ^= with;
        let at = format!("flip {flip} of byte {at} by {with:#x}");
        let path = folder.path().join(format!("{flip}.db"));
        std::fs::write(&path, damaged).unwrap();
        let Some((said, found)) = probe(&path, &samples).await else {
            refused += 1;
            continue;
        };
        let failed: Vec<_> = said.iter().filter(|(_, said)| said.is_err()).collect();
        assert!(failed.is_empty() || !found.is_empty(), "{at}: {failed:?}, and the check finds nothing");
        match (said == sound, found.is_empty()) {
            (_, false) => told += 1,
            (false, true) => silent += 1,
            (true, true) => {}
        }
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
    }
    assert_eq!(panics(), before, "a call panicked");
    println!("{flips} flips: {refused} not opened, {told} told, {silent} other values that nothing contradicts");
}

/// What a file says, and what the check says of it; `None` if it can't be opened.
async fn probe(path: &Path, samples: &[(Scope, Sample)]) -> Option<(Said, Vec<String>)> {
    let store = match LibsqlStore::open(path).await {
        Ok(store) => store,
        Err(error) => {
            assert!(is_typed(&error), "{error}");
            return None;
        }
    };
    let said = ask(&store, samples).await;
    let mut found = maintenance(&store).check_integrity().await.unwrap_or_else(|error| panic!("{path:?}: {error:?}"));
    for name in ["ada", "bob"] {
        let written = store.put_setting(&user(name), SettingKey::parse("after").unwrap(), json!(1)).await;
        if let Err(error) = written {
            assert!(is_typed(&error), "{error}");
            assert!(!found.is_empty(), "{name} can't write ({error}), and the check finds nothing");
        }
    }
    // What closing says is that the log could not be moved into the file.
    if let Err(error) = store.close().await {
        found.push(error.to_string());
    }
    Some((said, found))
}
