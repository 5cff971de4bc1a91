//! A server on this machine that answers each request with the bytes that it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What one request is answered with.
pub(crate) enum Reply {
    /// These bytes, and the connection is ready for the next request.
    Bytes(Vec<u8>),
    /// These bytes, and the connection is closed.
    Close(Vec<u8>),
    /// These bytes, and nothing more for as long as the client waits.
    Hang(Vec<u8>),
    /// These bytes once, and these again without end.
    Endless(Vec<u8>, Vec<u8>),
}

pub(crate) struct Loopback {
    /// `http://127.0.0.1:port`.
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
}

impl Loopback {
    /// A server that answers the request with number `n`, from 0, with `reply(n)`.
    pub(crate) async fn start(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (reply, count) = (Arc::new(reply), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (reply, count) = (Arc::clone(&reply), Arc::clone(&count));
                tokio::spawn(async move {
                    while read_request(&mut socket).await {
                        match reply(count.fetch_add(1, Ordering::SeqCst)) {
                            Reply::Bytes(bytes) if socket.write_all(&bytes).await.is_ok() => {}
                            Reply::Bytes(_) => return,
                            Reply::Close(bytes) => {
                                let _ = socket.write_all(&bytes).await;
                                return;
                            }
                            Reply::Hang(bytes) => {
                                let _ = socket.write_all(&bytes).await;
                                std::future::pending::<()>().await;
                            }
                            Reply::Endless(bytes, again) => {
                                let _ = socket.write_all(&bytes).await;
                                while socket.write_all(&again).await.is_ok() {}
                            }
                        }
                    }
                });
            }
        });
        Self { url, asked }
    }

    /// How many requests came.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A response of these parts, each a chunk of its own: that is how the client gets them, however TCP joins them.
pub(crate) fn chunked(content_type: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A response that ends with its connection.
pub(crate) fn until_close(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n{body}").into_bytes()
}

/// Reads one request, with its body. False if there is none any more.
async fn read_request(socket: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(n) => request.extend_from_slice(&buffer[..n]),
        }
        let Some(head) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let headers = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let length =
            headers.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if request.len() >= head + 4 + length.unwrap_or(0) {
            return true;
        }
    }
}
