//! The log of one call: what the tool logs and what it prints, within the limits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use ironclaw_core::tool::{LogLevel, LogLine};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::limits::SandboxLimits;
use crate::stop::Stop;

/// How much one write to a stream may hold.
const WRITE_BYTES: usize = 64 << 10;
/// How many printed lines are told with a crash: a panic takes a few.
const LAST_WORDS: usize = 5;
/// Marks a line that was cut.
const CUT: &str = "…";

/// Where a call's lines go. Its clones share them: the host's `log`, standard output and standard error.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Mutex<Lines>>);

impl Log {
    pub(crate) fn new(limits: &SandboxLimits) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            lines: Vec::new(),
            bytes: 0,
            max_lines: limits.log_lines,
            max_line_bytes: limits.log_line_bytes,
            max_bytes: limits.log_bytes,
            printed: [Vec::new(), Vec::new()],
            last_words: VecDeque::new(),
        })))
    }

    /// Adds a line that the tool logged.
    pub(crate) fn push(&self, level: LogLevel, message: &str) -> Result<(), Stop> {
        self.lines().push(level, message)
    }

    /// The stream whose lines are added as they are printed.
    pub(crate) fn stream(&self, stream: Stream) -> PrintedLines {
        PrintedLines { log: self.clone(), stream }
    }

    /// All lines, when the call is over; the last one printed may lack its end.
    pub(crate) fn finish(&self) -> Result<Vec<LogLine>, Stop> {
        let mut lines = self.lines();
        for stream in [Stream::Output, Stream::Error] {
            lines.end_line(stream)?;
        }
        Ok(std::mem::take(&mut lines.lines))
    }

    /// The last lines printed to standard error.
    pub(crate) fn last_words(&self) -> Option<String> {
        let mut lines = self.lines();
        // A full log is the reason already, or will not be asked for.
        let _ = lines.end_line(Stream::Error);
        let words = std::mem::take(&mut lines.last_words);
        (!words.is_empty()).then(|| words.into_iter().collect::<Vec<_>>().join("\n"))
    }

    /// A panic elsewhere leaves the lines as they were.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of the two a tool prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

#[derive(Debug)]
struct Lines {
    lines: Vec<LogLine>,
    bytes: usize,
    max_lines: usize,
    max_line_bytes: usize,
    max_bytes: usize,
    /// What each stream printed since its last line's end.
    printed: [Vec<u8>; 2],
    last_words: VecDeque<String>,
}

impl Lines {
    fn push(&mut self, level: LogLevel, message: &str) -> Result<(), Stop> {
        let message = cut(message, self.max_line_bytes);
        self.bytes = self.bytes.saturating_add(message.len());
        if self.lines.len() == self.max_lines || self.bytes > self.max_bytes {
            return Err(Stop::LogTooLarge);
        }
        self.lines.push(LogLine::new(level, message));
        Ok(())
    }

    fn print(&mut self, stream: Stream, mut bytes: &[u8]) -> Result<(), Stop> {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.print_part(stream, &bytes[..end]);
            self.end_printed(stream)?;
            bytes = &bytes[end + 1..];
        }
        self.print_part(stream, bytes);
        Ok(())
    }

    /// Keeps one byte more than fits, so that [`cut`] sees that the line is too long.
    fn print_part(&mut self, stream: Stream, bytes: &[u8]) {
        let printed = &mut self.printed[stream as usize];
        let room = (self.max_line_bytes + 1).saturating_sub(printed.len());
        printed.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self, stream: Stream) -> Result<(), Stop> {
        if self.printed[stream as usize].is_empty() { Ok(()) } else { self.end_printed(stream) }
    }

    fn end_printed(&mut self, stream: Stream) -> Result<(), Stop> {
        let printed = std::mem::take(&mut self.printed[stream as usize]);
        let text = String::from_utf8_lossy(&printed);
        let text = text.trim_end_matches('\r');
        match stream {
            Stream::Output => self.push(LogLevel::Info, text),
            Stream::Error => {
                if self.last_words.len() == LAST_WORDS {
                    self.last_words.pop_front();
                }
                self.last_words.push_back(cut(text, self.max_line_bytes));
                self.push(LogLevel::Warn, text)
            }
        }
    }
}

/// The text within so many bytes, cut at a character boundary and marked if it is longer. U+0000, which no store
/// keeps, is replaced.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    // A replacement is three bytes for one.
    let text = text.replace('\0', "\u{fffd}");
    if text.len() <= limit {
        return text;
    }
    let end = text.floor_char_boundary(limit.saturating_sub(CUT.len()));
    format!("{}{CUT}", &text[..end])
}

/// Standard output or standard error of a tool.
#[derive(Debug, Clone)]
pub(crate) struct PrintedLines {
    log: Log,
    stream: Stream,
}

impl StdoutStream for PrintedLines {
    /// Only WASI 0.3 asks for this one, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl IsTerminal for PrintedLines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl OutputStream for PrintedLines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.lines().print(self.stream, &bytes).map_err(|stop| StreamError::Trap(stop.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for PrintedLines {
    async fn ready(&mut self) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn limits(lines: usize, line_bytes: usize, bytes: usize) -> SandboxLimits {
        SandboxLimits { log_lines: lines, log_line_bytes: line_bytes, log_bytes: bytes, ..SandboxLimits::default() }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = "€".repeat(10);
        assert_eq!(cut(&long, 30), long);
        for limit in 16..30 {
            let short = cut(&long, limit);
            assert!(short.len() <= limit && short.ends_with('…'), "{limit}: {short}");
        }
        assert_eq!(cut("a\0b", 16), "a\u{fffd}b");
    }

    #[test]
    fn what_is_printed_in_pieces_becomes_lines() {
        let log = Log::new(&limits(10, 16, 1_000));
        let mut out = log.stream(Stream::Output);
        let mut err = log.stream(Stream::Error);
        for part in ["one\ntw", "o\r\n\n", &"x".repeat(100), "x\nrest"] {
            out.write(Bytes::copy_from_slice(part.as_bytes())).unwrap();
        }
        err.write(Bytes::from_static(b"\xff!")).unwrap();
        let lines: Vec<_> = log.finish().unwrap().into_iter().map(|l| l.message).collect();
        assert_eq!(lines, ["one", "two", "", "xxxxxxxxxxxxx…", "rest", "\u{fffd}!"]);
    }

    #[test]
    fn lines_and_bytes_are_limited() {
        let log = Log::new(&limits(2, 16, 1_000));
        log.push(LogLevel::Info, "1").unwrap();
        log.push(LogLevel::Info, "2").unwrap();
        assert_eq!(log.push(LogLevel::Info, "3"), Err(Stop::LogTooLarge));
        let log = Log::new(&limits(100, 16, 20));
        log.push(LogLevel::Info, &"x".repeat(16)).unwrap();
        assert_eq!(log.push(LogLevel::Info, "12345"), Err(Stop::LogTooLarge));
    }
}
