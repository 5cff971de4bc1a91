//! Reaching for what was not given. Each attempt answers with what it got, or with the error it met.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::io::Read;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use ironclaw_tool_sdk::{Value, json};

pub(crate) fn files(path: &str) -> Value {
    json!({
        "read": attempt(fs::read_to_string(path)),
        "list": attempt(fs::read_dir(path).map(|entries| {
            entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        })),
        "write": attempt(fs::write(path, "hostile")),
        "create": attempt(fs::create_dir(format!("{path}.new"))),
        "remove": attempt(fs::remove_file(path)),
    })
}

pub(crate) fn network(address: &str) -> Value {
    json!({
        "connect": attempt(TcpStream::connect(address).map(|_| "connected")),
        "listen": attempt(TcpListener::bind("127.0.0.1:0").map(|_| "listening")),
        "send": attempt(UdpSocket::bind("127.0.0.1:0").and_then(|s| s.send_to(b"hostile", address)).map(|_| "sent")),
        "resolve": attempt("localhost:80".to_socket_addrs().map(|found| found.count())),
    })
}

pub(crate) fn environment() -> Value {
    json!({
        "variables": std::env::vars().collect::<Vec<_>>(),
        "arguments": std::env::args().collect::<Vec<_>>(),
        "directory": attempt(std::env::current_dir().map(|path| path.display().to_string())),
    })
}

pub(crate) fn clock() -> Value {
    let wall = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    let (wall_before, start) = (wall(), Instant::now());
    (0..1_000_000u64).for_each(|n| {
        black_box(n);
    });
    let worked = start.elapsed();
    std::thread::sleep(Duration::from_millis(20));
    json!({
        "wall": [wall_before, wall()],
        "worked_ns": worked.as_nanos() as u64,
        "slept_ns": (start.elapsed() - worked).as_nanos() as u64,
    })
}

pub(crate) fn random() -> Value {
    json!((0..4).map(|n: u64| RandomState::new().hash_one(n)).collect::<Vec<_>>())
}

pub(crate) fn stdin() -> Value {
    let mut text = String::new();
    attempt(std::io::stdin().read_to_string(&mut text).map(|_| text))
}

fn attempt<T: Into<Value>>(result: std::io::Result<T>) -> Value {
    match result {
        Ok(got) => json!({"got": got.into()}),
        Err(error) => json!({"error": error.to_string()}),
    }
}
