//! Taking more than the share.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ironclaw_tool_sdk::{Failure, Value, json, log as host_log};

pub(crate) fn spin() -> Result<Value, Failure> {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

pub(crate) fn sleep(seconds: u64) -> Result<Value, Failure> {
    std::thread::sleep(Duration::from_secs(seconds));
    Ok(json!("slept"))
}

pub(crate) fn memory() -> Result<Value, Failure> {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(black_box(vec![1; 1 << 20]));
    }
}

pub(crate) fn memory_politely() -> Value {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut more: Vec<u8> = Vec::new();
        if more.try_reserve(1 << 20).is_err() {
            return json!({"mebibytes": hoard.len()});
        }
        hoard.push(black_box(more));
    }
}

/// The work after the call keeps it from becoming a loop.
#[inline(never)]
pub(crate) fn recurse(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        return 0;
    }
    recurse(depth + 1).wrapping_mul(31) ^ depth
}

pub(crate) fn deep_output() -> Value {
    (0..1_000).fold(json!(0), |inner, _| json!([inner]))
}

pub(crate) fn log(lines: usize, characters: usize) -> Value {
    let line = "€".repeat(characters);
    for _ in 0..lines {
        host_log::info(&line);
    }
    json!("logged")
}

pub(crate) fn print(lines: usize) -> Value {
    for line in 0..lines {
        println!("printed {line}");
    }
    eprint!("without an end");
    json!("printed")
}

pub(crate) fn count() -> Value {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    json!(CALLS.fetch_add(1, Ordering::Relaxed) + 1)
}
