//! Tool calls, put together from their pieces.

use serde_json::{Map, Value};

use super::failure::Failure;
use crate::llm::{LlmErrorKind, ToolCall};

/// The most calls of one answer.
const CALLS: usize = 256;

/// A piece of a call. What is absent or empty says nothing.
#[derive(Debug, Default, Clone)]
pub(super) struct Piece<'a> {
    /// The call's number in the answer, as the service counts.
    pub(super) index: Option<u64>,
    /// The call's id.
    pub(super) id: Option<&'a str>,
    /// The tool's name.
    pub(super) name: Option<&'a str>,
    /// More of the arguments' text.
    pub(super) arguments: String,
    /// Which of how many pieces this is that came together.
    pub(super) place: (usize, usize),
    /// Whether this is all of the call: another one, or one that has an id again.
    pub(super) whole: bool,
}

/// The calls so far, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    /// Whether there is more than blanks in them.
    begun: bool,
    scan: Scan,
}

/// How far the arguments were looked through for the end of their object. They come in any number of pieces: looked
/// through from the beginning with each, they would take the square of their length.
#[derive(Debug, Default)]
struct Scan {
    /// Up to where, in bytes.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Whether they are one object and nothing else, once that can be told.
    whole: Option<bool>,
}

/// What a piece is to the call that it was found for.
enum Fit {
    More,
    Again,
    Another,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a piece. Services leave out indices, give all calls the same, count ahead, repeat names and whole calls,
    /// and name a call after its arguments: a piece belongs to the call with its id, else to the one with its index, else
    /// to the one at its place, unless it can't be a part of that call and begins another.
    pub(super) fn push(&mut self, piece: Piece<'_>) -> Result<(), Failure> {
        let piece = Piece {
            id: piece.id.filter(|id| !id.is_empty()),
            name: piece.name.filter(|name| !name.is_empty()),
            ..piece
        };
        if piece.id.is_none() && piece.name.is_none() && piece.arguments.is_empty() {
            return Ok(());
        }
        let found = match piece.whole {
            true => self.0.iter().rposition(|call| piece.id == Some(&call.id) && piece.name == Some(&call.name)),
            false => self.find(&piece),
        };
        let at = match found {
            Some(at) if piece.whole => return self.0[at].complete(&piece.arguments),
            Some(at) => match self.0[at].fit(&piece)? {
                Fit::More => at,
                Fit::Again => return Ok(()),
                Fit::Another => self.begin()?,
            },
            None => self.begin()?,
        };
        let call = &mut self.0[at];
        // A later index is not believed: it would take the pieces of the call that it really is of.
        call.index = call.index.or(piece.index);
        if call.id.is_empty() {
            call.id.push_str(piece.id.unwrap_or_default());
        }
        if let Some(name) = piece.name
            && call.name != name
        {
            call.name.push_str(name);
        }
        call.arguments.push_str(&piece.arguments);
        call.begun |= !piece.arguments.trim().is_empty();
        Ok(())
    }

    /// Takes all arguments of the call with this index, after their pieces or in place of them.
    pub(super) fn complete(&mut self, index: Option<u64>, arguments: &str) -> Result<(), Failure> {
        match self.0.iter_mut().rfind(|call| call.index == index) {
            Some(call) => call.complete(arguments),
            // The call that they are of comes after them.
            None => Ok(()),
        }
    }

    /// Checks that these are all of the calls.
    pub(super) fn check(&mut self, whole: &[Piece<'_>]) -> Result<(), Failure> {
        if whole.len() != self.0.len() {
            return Err(malformed("the calls of the whole answer are not what its pieces were"));
        }
        for (at, piece) in whole.iter().enumerate() {
            let known = self.0.iter().position(|call| piece.id.is_some_and(|id| !id.is_empty() && id == call.id));
            // Calls that all have one id are told apart by their place.
            let shared = self.0[at].id == piece.id.unwrap_or_default();
            let call = &mut self.0[known.filter(|_| !shared).unwrap_or(at)];
            if piece.name.is_some_and(|name| name != call.name) {
                return Err(malformed("the calls of the whole answer are not what its pieces were"));
            }
            call.complete(&piece.arguments)?;
        }
        Ok(())
    }

    /// The calls, each with a name and an id of its own.
    pub(super) fn finish(self) -> Result<Vec<ToolCall>, Failure> {
        let mut calls: Vec<ToolCall> = Vec::with_capacity(self.0.len());
        for Call { id, name, arguments, .. } in self.0 {
            if name.is_empty() {
                return Err(malformed("a call names no tool"));
            }
            let is_new = |id: &str| !id.is_empty() && !calls.iter().any(|other| other.id == id);
            let id = match is_new(&id) {
                true => id,
                false => (1..).map(|n| format!("call-{n}")).find(|id| is_new(id)).unwrap_or(id),
            };
            calls.push(ToolCall { id, name, arguments: parsed(arguments) });
        }
        Ok(calls)
    }

    fn begin(&mut self) -> Result<usize, Failure> {
        if self.0.len() == CALLS {
            return Err(malformed("the answer has more than 256 tool calls"));
        }
        self.0.push(Call::default());
        Ok(self.0.len() - 1)
    }

    /// The call that a piece is of by what it says.
    fn find(&self, piece: &Piece<'_>) -> Option<usize> {
        let newest = |is: &dyn Fn(&Call) -> bool| self.0.iter().rposition(is);
        let same_index = |call: &Call| call.index == piece.index;
        if let Some(id) = piece.id {
            return newest(&|call| call.id == id && same_index(call))
                .or_else(|| {
                    // Calls that all have one id are told apart by their indices; without a name it is more of the same.
                    newest(&|call| {
                        call.id == id && (piece.name.is_none() || piece.index.is_none() || call.index.is_none())
                    })
                })
                // A call whose id comes later than its first piece.
                .or_else(|| newest(&|call| call.id.is_empty() && same_index(call)));
        }
        if piece.index.is_some() {
            let known = newest(&same_index);
            // An index that nothing began with: a service that counts ahead.
            return known.or_else(|| piece.name.is_none().then(|| self.0.len().checked_sub(1))?);
        }
        let (place, of) = piece.place;
        self.0.len().checked_sub(of.max(1)).map(|first| first + place)
    }
}

impl Call {
    /// Takes all the arguments. Some services trim the whole, or write it out anew.
    fn complete(&mut self, whole: &str) -> Result<(), Failure> {
        let value = |text: &str| serde_json::from_str::<Value>(text).ok();
        let says_nothing = whole.trim().is_empty();
        if self.begun {
            if says_nothing {
                return Ok(());
            }
            if whole.trim() != self.arguments.trim()
                && value(whole).is_none_or(|whole| Some(whole) != value(&self.arguments))
            {
                return Err(malformed("the arguments of a whole call are not what its pieces were"));
            }
        }
        // Also where both say the same, so that what is compared the next time is no longer than what came.
        whole.clone_into(&mut self.arguments);
        (self.begun, self.scan) = (!says_nothing, Scan::default());
        Ok(())
    }

    /// Whether a piece is more of this call, the same again, or of another.
    fn fit(&mut self, piece: &Piece<'_>) -> Result<Fit, Failure> {
        if piece.id.is_some_and(|id| id == self.id) {
            let is_again = piece.arguments == self.arguments && self.scan.is_whole(&self.arguments);
            return Ok(if is_again { Fit::Again } else { Fit::More });
        }
        let Some(name) = piece.name.filter(|_| !self.name.is_empty()) else { return Ok(Fit::More) };
        let adds = !piece.arguments.trim().is_empty();
        match name == self.name {
            true if adds && self.scan.is_whole(&self.arguments) => Ok(Fit::Another),
            // A new id begins a call; the name alone, said again, does not.
            true if piece.id.is_some() && piece.index.is_none() && !adds => Ok(Fit::Another),
            true => Ok(Fit::More),
            false if self.begun || piece.index.is_none() => Ok(Fit::Another),
            false => Err(malformed("two tools are named for one call")),
        }
    }
}

impl Scan {
    /// Whether the text, of which more was there each time, is one object and nothing else.
    fn is_whole(&mut self, text: &str) -> bool {
        for (at, &byte) in (self.seen..).zip(&text.as_bytes()[self.seen..]) {
            let is_blank = byte.is_ascii_whitespace();
            match byte {
                _ if self.whole.is_some() => self.whole = self.whole.map(|whole| whole && is_blank),
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' if self.depth > 0 => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' => self.depth += 1,
                b'}' if self.depth > 1 => self.depth -= 1,
                b'}' if self.depth == 1 => {
                    self.whole = Some(serde_json::from_str::<Map<String, Value>>(&text[..=at]).is_ok());
                }
                _ if self.depth == 0 && !is_blank => self.whole = Some(false),
                _ => {}
            }
        }
        self.seen = text.len();
        self.whole == Some(true)
    }
}

/// The arguments as an object; the text as it came, if it is none or would be another. A tool without parameters is often
/// called with none.
fn parsed(text: String) -> Value {
    if matches!(text.trim(), "" | "null") {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(&text) {
        Ok(arguments @ Value::Object(_)) if is_exact(&arguments) => arguments,
        _ => Value::String(text),
    }
}

/// Whether no number of a value can have changed when it was read: what does not fit into 64 bits becomes a float.
pub(super) fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) if number.is_f64() => number.as_f64().is_some_and(|float| float.abs() < 2_f64.powi(63)),
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(values) => values.values().all(is_exact),
        _ => true,
    }
}

fn malformed(context: &str) -> Failure {
    Failure::new(LlmErrorKind::MalformedAnswer, context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    type Part<'a> = (Option<u64>, &'a str, &'a str, &'a str);

    /// The calls that these pieces make, each piece as it comes by itself.
    fn calls(parts: &[Part<'_>]) -> Result<Vec<(String, String, Value)>, Failure> {
        let mut calls = Calls::default();
        for (index, id, name, arguments) in parts {
            calls.push(Piece {
                index: *index,
                id: Some(id),
                name: Some(name),
                arguments: (*arguments).to_owned(),
                place: (0, 1),
                whole: false,
            })?;
        }
        Ok(calls.finish()?.into_iter().map(|call| (call.id, call.name, call.arguments)).collect())
    }

    fn both() -> Vec<(String, String, Value)> {
        vec![("a".into(), "f".into(), json!({"x": 1})), ("b".into(), "g".into(), json!({"y": 2}))]
    }

    #[test]
    fn two_calls_are_two_however_they_are_counted() {
        let shapes: [&[Part<'_>]; 9] = [
            // As it should be.
            &[
                (Some(0), "a", "f", "{\"x\""),
                (Some(0), "", "", ": 1}"),
                (Some(1), "b", "g", ""),
                (Some(1), "", "", "{\"y\": 2}"),
            ],
            // Interleaved.
            &[
                (Some(0), "a", "f", ""),
                (Some(1), "b", "g", "{\"y\""),
                (Some(0), "", "", "{\"x\": 1}"),
                (Some(1), "", "", ": 2}"),
            ],
            // No index, ids once or every time.
            &[(None, "a", "f", "{\"x\": 1}"), (None, "b", "g", "{\"y\""), (None, "", "", ": 2}")],
            &[
                (None, "a", "f", "{\"x\""),
                (None, "b", "g", "{\"y\""),
                (None, "a", "f", ": 1}"),
                (None, "b", "", ": 2}"),
            ],
            // One index for both, from 1.
            &[(Some(1), "a", "f", "{\"x\": 1}"), (Some(1), "b", "g", "{\"y\": "), (Some(1), "", "", "2}")],
            // The second begins with the first's index, and goes on with its own.
            &[(Some(0), "a", "f", "{\"x\": 1}"), (Some(0), "b", "g", ""), (Some(1), "", "", "{\"y\": 2}")],
            // The name comes after the arguments.
            &[(None, "a", "", "{\"x\""), (None, "a", "f", ": 1}"), (None, "b", "", "{\"y\": 2}"), (None, "b", "g", "")],
            // The name comes in pieces, and everything once more at the end.
            &[
                (Some(0), "a", "f", "{\"x\": 1}"),
                (Some(1), "b", "g", "{\"y\": 2}"),
                (Some(0), "a", "f", "{\"x\": 1}"),
                (Some(1), "b", "g", "{\"y\": 2}"),
            ],
            // An index that jumps far.
            &[(Some(7), "a", "f", "{\"x\": 1}"), (Some(u64::MAX), "b", "g", "{\"y\": 2}")],
        ];
        for parts in shapes {
            assert_eq!(calls(parts).unwrap(), both(), "{parts:?}");
        }
    }

    #[test]
    fn calls_without_ids_are_told_apart_and_get_some() {
        for index in [None, Some(0)] {
            let found =
                calls(&[(index, "", "f", "{\"x\": 1}"), (index, "", "f", "{\"x\": 2}"), (index, "", "g", "{}")])
                    .unwrap();
            let shown: Vec<_> = found.iter().map(|(id, name, value)| format!("{id} {name} {value}")).collect();
            assert_eq!(shown, ["call-1 f {\"x\":1}", "call-2 f {\"x\":2}", "call-3 g {}"]);
        }
        // The name said again with every piece, the last of which is empty.
        let parts = ["", "{\"x\"", ": 1}", ""].map(|arguments| (None, "", "f", arguments));
        assert_eq!(calls(&parts).unwrap(), [("call-1".into(), "f".into(), json!({"x": 1}))]);
        assert_eq!(calls(&[(None, "", "f", ""), (None, "c", "f", "")]).unwrap().len(), 2);
        // One id for all.
        let found = calls(&[(Some(0), "c", "f", "{\"x\": 1}"), (Some(1), "c", "f", "{\"x\": 2}")]).unwrap();
        assert_eq!((found.len(), found[0].0.as_str(), found[1].0.as_str()), (2, "c", "call-1"));
    }

    #[test]
    fn arguments_in_very_many_pieces_are_put_together_in_one_pass() {
        const PIECES: usize = 1 << 18;
        for (first, more, last) in
            [("{\"x\": \"", "}", "\"}"), ("{\"x\"}", "}", ""), ("[", "}", "]"), ("{}", " ", ""), ("", " ", "{}")]
        {
            let mut calls = Calls::default();
            let texts = std::iter::once(first).chain(std::iter::repeat_n(more, PIECES)).chain([last]);
            for arguments in texts {
                let arguments = arguments.to_owned();
                calls.push(Piece { index: Some(0), name: Some("f"), arguments, ..Piece::default() }).unwrap();
            }
            let length = first.len() + PIECES + last.len();
            assert_eq!((calls.0.len(), calls.0[0].arguments.len()), (1, length));
        }
        // The whole again and again, shorter than its pieces were.
        let mut calls = Calls::default();
        let blanks = format!("{{{}}}", " ".repeat(PIECES));
        calls.push(Piece { name: Some("f"), arguments: blanks, ..Piece::default() }).unwrap();
        (0..PIECES).for_each(|_| calls.complete(None, "{}").unwrap());
        assert_eq!(calls.finish().unwrap()[0].arguments, json!({}));
    }

    #[test]
    fn pieces_that_come_together_are_told_apart_by_place() {
        let mut all = Calls::default();
        for (name, arguments) in [("f", "{\"x\""), ("g", "{\"y\"")] {
            all.push(Piece { name: Some(name), arguments: arguments.into(), place: (0, 1), ..Piece::default() })
                .unwrap();
        }
        for (place, arguments) in [": 1}", ": 2}"].into_iter().enumerate() {
            all.push(Piece { arguments: arguments.into(), place: (place, 2), ..Piece::default() }).unwrap();
        }
        let arguments: Vec<_> = all.finish().unwrap().into_iter().map(|call| call.arguments).collect();
        assert_eq!(arguments, [json!({"x": 1}), json!({"y": 2})]);
    }

    #[test]
    fn a_whole_call_is_another_unless_it_is_known() {
        let mut calls = Calls::default();
        let whole = |id, arguments: &str| Piece {
            id,
            name: Some("f"),
            arguments: arguments.into(),
            whole: true,
            ..Piece::default()
        };
        calls.push(whole(None, "")).unwrap();
        calls.push(whole(None, "{\"x\": 1}")).unwrap();
        calls.push(Piece { id: Some("c"), name: Some("f"), ..Piece::default() }).unwrap();
        calls.push(whole(Some("c"), "{\"y\": 2}")).unwrap();
        calls.push(whole(Some("c"), " {\"y\":2}")).unwrap();
        assert!(calls.push(whole(Some("c"), "{\"y\": 3}")).is_err());
        let arguments: Vec<_> = calls.finish().unwrap().into_iter().map(|call| call.arguments).collect();
        assert_eq!(arguments, [json!({}), json!({"x": 1}), json!({"y": 2})]);
    }

    #[test]
    fn arguments_that_are_no_object_stay_as_they_came() {
        for (text, value) in [
            ("", json!({})),
            ("null", json!({})),
            ("{\"x\": \"6*7", json!("{\"x\": \"6*7")),
            (" [1] ", json!(" [1] ")),
            ("{} {}", json!("{} {}")),
            ("\"{}\"", json!("\"{}\"")),
            ("{\"x\": [18446744073709551615, -1.5e3]}", json!({"x": [u64::MAX, -1500.0]})),
            ("{\"x\": [18446744073709551617]}", json!("{\"x\": [18446744073709551617]}")),
            ("{\"x\": -9223372036854775809}", json!("{\"x\": -9223372036854775809}")),
        ] {
            assert_eq!(calls(&[(Some(0), "a", "f", text)]).unwrap()[0].2, value, "{text}");
        }
    }

    #[test]
    fn what_can_t_be_told_is_an_error() {
        for (parts, said) in [
            (&[(Some(0), "a", "f", "{\"x\""), (Some(0), "b", "", ": 1}")][..], "no tool"),
            (&[(Some(0), "", "f", ""), (Some(0), "", "g", "")], "two tools"),
            (&[(None, "", "", "{}")], "no tool"),
        ] {
            assert!(calls(parts).unwrap_err().context().contains(said), "{parts:?}");
        }
        let many: Vec<String> = (0..=CALLS).map(|n| n.to_string()).collect();
        let many: Vec<Part<'_>> = many.iter().map(|id| (None, id.as_str(), "f", "{}")).collect();
        assert!(calls(&many).unwrap_err().context().contains("256"));
        assert_eq!(calls(&many[1..]).unwrap().len(), CALLS);
    }
}
