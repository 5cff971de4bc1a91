//! The body of an answer, cut into the JSON values that it carries.

use super::failure::{Failure, beginning};
use crate::llm::LlmErrorKind;

/// The longest frame and the longest answer that are taken, in bytes.
pub(super) const ANSWER_BYTES: usize = 16 << 20;
/// The most that is read for one answer, in bytes: what is around its pieces and what is not kept, as reasoning, included.
const BODY_BYTES: u64 = 1 << 30;

/// One event of a stream, or one JSON value that stands by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The event's name, if it has one.
    pub(super) event: Option<String>,
    /// Its data.
    pub(super) data: String,
    /// Whether it is bare JSON and no server-sent event.
    pub(super) bare: bool,
    /// Whether the body ended before the frame did.
    pub(super) cut: bool,
}

/// Reads server-sent events, JSON values one after another (with or without line ends between them), and both mixed,
/// whatever the fragments that they come in.
///
/// Unlike the standard's parser it takes a last event without an empty line after it, takes JSON that no `data:` stands
/// before (as services report errors in the middle of a stream), refuses lines that mean nothing instead of dropping
/// them, and holds no more than [`ANSWER_BYTES`].
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    /// Where in the buffer the line or value begins that is being read.
    at: usize,
    /// Up to where it was looked through.
    seen: usize,
    value: Option<Value>,
    event: Option<String>,
    data: Option<String>,
    read: u64,
    after_cr: bool,
    begun: bool,
    ended: bool,
}

/// How far inside a bare JSON value the reader is.
#[derive(Debug, Default)]
struct Value {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Frames {
    /// Adds a fragment of the body.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.read += bytes.len() as u64;
        let held = self.buffer.len() - self.at + self.data.as_ref().map_or(0, String::len);
        if self.read > BODY_BYTES || held + bytes.len() > ANSWER_BYTES {
            return Err(too_long());
        }
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.seen -= self.at;
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Says that the body ended.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the body has nothing in it.
    pub(super) fn is_blank(&self) -> bool {
        self.read == 0
    }

    /// Whether the body ended.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next frame, if it is all there.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Failure> {
        loop {
            if self.value.is_some() {
                return self.bare_value();
            }
            if !self.skip_mark() {
                return Ok(None);
            }
            // Blanks before a line mean nothing: what is kept of them would be looked through with each fragment.
            self.at += self.buffer[self.at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            self.seen = self.seen.max(self.at);
            match self.buffer.get(self.at) {
                Some(b'{' | b'[') => {
                    if let Some(frame) = self.dispatch(false) {
                        return Ok(Some(frame));
                    }
                    self.seen = self.at;
                    self.value = Some(Value::default());
                }
                _ => {
                    let end = self.buffer[self.seen..].iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                    let Some(end) = end.map(|end| self.seen + end) else {
                        self.seen = self.buffer.len();
                        return if self.ended { self.last() } else { Ok(None) };
                    };
                    self.after_cr = self.buffer[end] == b'\r';
                    let frame = self.line(end, false)?;
                    (self.at, self.seen) = (end + 1, end + 1);
                    if frame.is_some() {
                        return Ok(frame);
                    }
                }
            }
        }
    }

    /// Skips a byte order mark at the beginning, and the second half of a line's end. False if that can't be told yet.
    fn skip_mark(&mut self) -> bool {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        let rest = &self.buffer[self.at..];
        if !self.begun {
            if rest.len() < MARK.len() && MARK.starts_with(rest) && !self.ended {
                return false;
            }
            self.begun = true;
            if rest.starts_with(MARK) {
                self.at += MARK.len();
            }
        }
        if self.after_cr
            && let Some(next) = self.buffer.get(self.at)
        {
            self.after_cr = false;
            self.at += usize::from(*next == b'\n');
        }
        self.seen = self.seen.max(self.at);
        true
    }

    /// The rest of a body that ended without an empty line.
    fn last(&mut self) -> Result<Option<Frame>, Failure> {
        if self.at < self.buffer.len() {
            let frame = self.line(self.buffer.len(), true)?;
            self.at = self.buffer.len();
            if frame.is_some() {
                return Ok(frame);
            }
        }
        Ok(self.dispatch(true))
    }

    /// Reads the line up to `end`.
    fn line(&mut self, end: usize, cut: bool) -> Result<Option<Frame>, Failure> {
        let line = match text(&self.buffer[self.at..end]) {
            // A character that the body's end cut off.
            Err(_) if cut => return Ok(Some(Frame { event: None, data: String::new(), bare: false, cut })),
            line => line?,
        };
        if line.trim().is_empty() {
            return Ok(self.dispatch(cut));
        }
        let line = line.trim_start();
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" | "id" | "retry" => {}
            "event" => self.event = Some(value.trim().to_owned()),
            "data" => add(&mut self.data, value),
            // An error, as some servers send it in the middle of a stream.
            "error" if !value.trim().is_empty() => {
                self.event = Some("error".to_owned());
                add(&mut self.data, value);
            }
            // The beginning of one of them.
            _ if cut && ["data", "event", "retry", "error"].iter().any(|known| known.starts_with(field)) => {}
            _ if line.starts_with('<') => return Err(page()),
            _ => {
                let context = format!("a line of the answer is neither an event nor JSON: {}", beginning(line));
                return Err(Failure::new(LlmErrorKind::MalformedAnswer, context));
            }
        }
        Ok(None)
    }

    fn dispatch(&mut self, cut: bool) -> Option<Frame> {
        let event = self.event.take();
        self.data.take().map(|data| Frame { event, data, bare: false, cut })
    }

    /// Reads on in a bare JSON value, up to the bracket that closes it.
    fn bare_value(&mut self) -> Result<Option<Frame>, Failure> {
        let value = self.value.get_or_insert_default();
        while let Some(byte) = self.buffer.get(self.seen) {
            self.seen += 1;
            match byte {
                _ if value.escaped => value.escaped = false,
                b'\\' if value.in_string => value.escaped = true,
                b'"' => value.in_string = !value.in_string,
                _ if value.in_string => {}
                b'{' | b'[' => value.depth += 1,
                b'}' | b']' => value.depth -= 1,
                _ => {}
            }
            if value.depth == 0 {
                return self.take_value(false).map(Some);
            }
        }
        if self.ended { self.take_value(true).map(Some) } else { Ok(None) }
    }

    fn take_value(&mut self, cut: bool) -> Result<Frame, Failure> {
        self.value = None;
        let data = match text(&self.buffer[self.at..self.seen]) {
            Err(_) if cut => String::new(),
            data => data?.to_owned(),
        };
        self.at = self.seen;
        Ok(Frame { event: None, data, bare: true, cut })
    }
}

/// Adds a line to an event's data.
fn add(data: &mut Option<String>, line: &str) {
    let data = data.get_or_insert_default();
    if !data.is_empty() {
        data.push('\n');
    }
    data.push_str(line);
}

fn text(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| Failure::new(LlmErrorKind::MalformedAnswer, "the answer is not UTF-8"))
}

fn page() -> Failure {
    let context = "the service answered with a page (HTML or XML); check that the endpoint is the API's, and not a web \
                   site or a sign-in";
    Failure::new(LlmErrorKind::MalformedAnswer, context)
}

pub(super) fn too_long() -> Failure {
    Failure::new(LlmErrorKind::MalformedAnswer, "the answer is longer than 16 MiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All frames of a body that comes in these fragments.
    fn frames(fragments: &[&[u8]]) -> Vec<Frame> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for fragment in fragments {
            frames.push(fragment).unwrap();
            while let Some(frame) = frames.next().unwrap() {
                found.push(frame);
            }
        }
        frames.end();
        while let Some(frame) = frames.next().unwrap() {
            found.push(frame);
        }
        found
    }

    fn data(body: &str) -> Vec<String> {
        frames(&[body.as_bytes()]).into_iter().map(|frame| frame.data).collect()
    }

    #[test]
    fn every_cut_gives_the_same_frames() {
        let body = "\u{FEFF}: hello\r\n\r\nevent: ping\r\ndata: {}\r\n\r\ndata: {\"a\": \"ü🚀\\\"}\"}\n\ndata:[1]\rdata: 2\r\r\
                    {\"error\": \"{[\\\\\"}\n[{\"x\": \"]\"}]{\"y\":1} id: 7\nretry: 3\ndata: last";
        let whole = frames(&[body.as_bytes()]);
        let found: Vec<&str> = whole.iter().map(|frame| frame.data.as_str()).collect();
        assert_eq!(
            found,
            [
                "{}",
                "{\"a\": \"ü🚀\\\"}\"}",
                "[1]\n2",
                "{\"error\": \"{[\\\\\"}",
                "[{\"x\": \"]\"}]",
                "{\"y\":1}",
                "last"
            ]
        );
        assert_eq!(whole[0].event.as_deref(), Some("ping"));
        assert!(whole[6].cut && !whole[5].cut && whole[5].bare && !whole[2].bare);
        for cut in 0..=body.len() {
            let (one, two) = body.as_bytes().split_at(cut);
            assert_eq!(frames(&[one, two]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(frames(&bytes), whole);
    }

    #[test]
    fn a_last_event_needs_no_empty_line() {
        assert_eq!(data("data: a\n\ndata: b"), ["a", "b"]);
        assert_eq!(data("data: a\n\ndata: b\n"), ["a", "b"]);
        assert_eq!(data("data: a\n\ndat"), ["a"]);
        assert_eq!(data(""), Vec::<String>::new());
        let cut = frames(&[b"data: a\n\n{\"b\": \"\xF0\x9F"]);
        assert!(cut.len() == 2 && cut[1].cut && !cut[0].cut, "{cut:?}");
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (body, said) in [
            (&b"<html>"[..], "HTML"),
            (b"upstream connect error: reset\n", "upstream connect error"),
            (b"data: a\xFF\n\n", "UTF-8"),
        ] {
            let mut frames = Frames::default();
            frames.push(body).unwrap();
            frames.end();
            let failure = frames.next().unwrap_err();
            assert!(failure.context().contains(said), "{failure:?}");
        }
    }

    #[test]
    fn a_body_of_very_many_fragments_is_read_in_one_pass() {
        for (fragment, end) in [(" ", "data: a\n\n"), ("\t", "{}"), ("a", "\n"), ("\n", "{}"), ("\r", "{}")] {
            let mut frames = Frames::default();
            frames.push(if fragment == "a" { b"data: " } else { b"" }).unwrap();
            for _ in 0..1 << 18 {
                frames.push(fragment.as_bytes()).unwrap();
                assert!(frames.next().unwrap().is_none());
            }
            frames.push(end.as_bytes()).unwrap();
            frames.end();
            assert!(frames.next().unwrap().is_some() && frames.next().unwrap().is_none(), "{fragment:?}");
        }
    }

    #[test]
    fn no_frame_grows_without_a_bound() {
        for line in [&b"data: "[..], b"{\"a\": \"", b": "] {
            let mut frames = Frames::default();
            frames.push(line).unwrap();
            let mut pushed = 0;
            while frames.push(&[b'a'; 1 << 16]).is_ok() {
                assert!(frames.next().unwrap().is_none());
                pushed += 1 << 16;
                assert!(pushed <= ANSWER_BYTES);
            }
        }
    }
}
