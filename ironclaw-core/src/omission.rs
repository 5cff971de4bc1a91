//! What a search or an answer left out, in words.

use std::fmt;

use crate::line::in_one_line;

/// Something that a search or the context of an answer left out, and why: what stands in `degraded`, in the same words
/// wherever it comes from.
///
/// Its text is for whoever reads the answer, and bounded: of many words a few are named, and a cause is cut.
///
/// ```
/// use ironclaw_core::omission::Omission;
///
/// let cut = Omission::QueryStart { bytes: 4_096 };
/// assert_eq!(cut.to_string(), "only the first 4096 bytes of the message were searched for");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Omission {
    /// A message was too long to be searched for as a whole.
    QueryStart {
        /// How much of it was.
        bytes: usize,
    },
    /// A query has more different words than are searched for.
    QueryWords {
        /// How many were searched for.
        searched: usize,
        /// The others, in their order.
        left_out: Vec<String>,
    },
    /// The query could not be embedded: only its words were searched for.
    Meaning {
        /// Why not.
        cause: String,
    },
    /// Files that were found were being replaced over and over, so that they could not be read.
    Replaced,
    /// The workspace was not searched.
    Workspace {
        /// Why not.
        cause: String,
    },
    /// Earlier messages were not searched.
    EarlierMessages {
        /// Why not.
        cause: String,
    },
    /// Passages that were found do not fit into the context.
    Passages {
        /// How many of them.
        left_out: usize,
        /// How many there were.
        found: usize,
    },
    /// Earlier messages that were found do not fit into the context.
    FoundMessages {
        /// How many of them.
        left_out: usize,
        /// How many there were.
        found: usize,
    },
    /// Of passages that were found only the beginning was shown.
    PassageStarts {
        /// Of how many.
        passages: usize,
        /// How much of each.
        bytes: usize,
    },
    /// Of earlier messages that were found only the beginning was shown.
    MessageStarts {
        /// Of how many.
        messages: usize,
        /// How much of each.
        bytes: usize,
    },
    /// Older messages of the conversation were not shown.
    Conversation {
        /// How many.
        messages: u64,
    },
    /// Images and documents of earlier messages were not shown, for which a note stands.
    Attachments {
        /// Of how many messages.
        messages: usize,
    },
    /// Results of tools that no longer fitted were not shown again.
    ToolResults {
        /// How many.
        results: usize,
    },
}

/// How many words are named, and how much of each, in bytes.
const WORDS: usize = 8;
const WORD_BYTES: usize = 32;
/// How much of a cause is told, in bytes.
const CAUSE_BYTES: usize = 400;

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueryStart { bytes } => write!(f, "only the first {bytes} bytes of the message were searched for"),
            Self::QueryWords { searched, left_out } => {
                let named: Vec<String> = left_out.iter().take(WORDS).map(|word| cut(word, WORD_BYTES)).collect();
                write!(f, "only {searched} different words were searched for; left out: {}", named.join(", "))?;
                match left_out.len() - named.len() {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Meaning { cause } => write!(
                f,
                "the query could not be embedded, so only full text was searched: {}",
                cut(cause, CAUSE_BYTES)
            ),
            Self::Replaced => {
                f.write_str("files that were found could not be read: they were being replaced meanwhile")
            }
            Self::Workspace { cause } => write!(f, "the workspace was not searched: {}", cut(cause, CAUSE_BYTES)),
            Self::EarlierMessages { cause } => {
                write!(f, "earlier messages were not searched: {}", cut(cause, CAUSE_BYTES))
            }
            Self::Passages { left_out, found } => {
                write!(f, "{left_out} of {found} passages that were found were not shown to the model: no room")
            }
            Self::FoundMessages { left_out, found } => {
                write!(f, "{left_out} of {found} earlier messages that were found were not shown to the model: no room")
            }
            Self::PassageStarts { passages, bytes } => {
                write!(f, "of {passages} passages only the first {bytes} bytes are shown")
            }
            Self::MessageStarts { messages, bytes } => {
                write!(f, "of {messages} earlier messages only the first {bytes} bytes were shown to the model")
            }
            Self::Conversation { messages } => {
                write!(f, "{messages} older messages of this conversation were not shown to the model")
            }
            Self::Attachments { messages } => {
                write!(f, "images and documents of {messages} earlier messages were not shown to the model: no room")
            }
            Self::ToolResults { results } => {
                write!(f, "{results} results of tools were not shown to the model again: no room")
            }
        }
    }
}

/// The beginning of a text, in one line.
fn cut(text: &str, bytes: usize) -> String {
    let start = &text[..text.floor_char_boundary(bytes)];
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{}{more}", in_one_line(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_bounded() {
        let left_out = (0..1_000).map(|n| format!("wört{n}{}", "ö".repeat(100))).collect();
        let words = Omission::QueryWords { searched: 32, left_out }.to_string();
        assert!(words.len() < 500 && words.contains("wört0") && words.ends_with(" and 992 more"), "{words}");
        let cause = Omission::Meaning { cause: "line\nof a body ".repeat(1_000) }.to_string();
        assert!(cause.len() < 500 && !cause.contains('\n'), "{cause}");
    }
}
