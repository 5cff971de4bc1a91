use std::time::{Duration, Instant};

use super::Inner;
use super::context::overhead;
use super::history::tokens_alone;
use super::reply::CitedMessage;
use crate::id::{ConversationId, MessageId};
use crate::limits::Limits;
use crate::llm::ContentPart;
use crate::memory::{MESSAGES, Passage, SearchQuery};
use crate::model::conversations::{Message, MessageHit};
use crate::model::workspace::WorkspacePath;
use crate::omission::Omission;
use crate::scope::Scope;
use crate::search::TextQuery;
use crate::store::{Backwards, StoreError};

/// What was found for a question.
#[derive(Debug, Default)]
pub(super) struct Retrieved {
    /// The last messages of the conversation, in order.
    pub(super) recent: Vec<Message>,
    /// The place of the message that is answered in the conversation.
    pub(super) question: u64,
    /// Passages of the workspace, best first.
    pub(super) passages: Vec<Passage>,
    /// Earlier messages of this and other conversations, best first.
    pub(super) past: Vec<MessageHit>,
    /// What was left out, and why.
    pub(super) degraded: Vec<String>,
    pub(super) took: Duration,
}

/// Something that the model is shown and may cite.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) passage: Passage,
    pub(super) message: Option<CitedMessage>,
}

/// The longest text that is searched for, in bytes: the question is in the beginning of what is longer.
const QUERY_BYTES: usize = 4 << 10;
/// How much of an earlier message is shown, in bytes.
pub(super) const EXCERPT_BYTES: usize = 2_000;
/// How many messages are read at once, without images and documents.
const MESSAGES_AT_ONCE: u32 = 64;
/// How many bytes of images and documents of earlier messages an answer is made with, those of the newest.
const PARTS_BYTES: usize = 32 << 20;
/// Why a search that did not end in time is left out.
const TOO_LONG: &str = "it took too long";

/// Reads the conversation and searches, all at once. The place of the message that is answered is known if that was there
/// before; otherwise it is the last, or not there yet. A search that fails or takes too long is left out and noted.
///
/// # Errors
/// The conversation's own messages can't be read: an answer without them would be an answer to something else.
pub(super) async fn retrieve(
    inner: &Inner,
    scope: &Scope,
    conversation: ConversationId,
    text: &str,
    question: Option<u64>,
) -> Result<Retrieved, StoreError> {
    let begun = Instant::now();
    let query = &text[..text.floor_char_boundary(QUERY_BYTES)];
    let cut = (query.len() < text.len()).then(|| Omission::QueryStart { bytes: query.len() }.to_string());
    let limits = &inner.config;
    let messages = inner.store.conversations();

    let passages = async {
        match &inner.memory {
            Some(memory) if limits.passages > 0 => {
                let query = SearchQuery { limit: limits.passages, ..SearchQuery::new(query) };
                match tokio::time::timeout(limits.retrieval_deadline, memory.search(scope, &query)).await {
                    Ok(Ok(results)) => (results.passages, results.degraded),
                    Ok(Err(error)) => {
                        (Vec::new(), vec![Omission::Workspace { cause: error.without_cause() }.to_string()])
                    }
                    Err(_) => (Vec::new(), vec![Omission::Workspace { cause: TOO_LONG.to_owned() }.to_string()]),
                }
            }
            _ => (Vec::new(), Vec::new()),
        }
    };
    let past = async {
        if limits.past_messages == 0 {
            return (Vec::new(), Vec::new());
        }
        let query = TextQuery::new(query, &Limits::default());
        // Those of this conversation that are shown anyway are sorted out afterwards.
        let limit = limits.past_messages.saturating_add(limits.recent_messages).saturating_add(1);
        let search = messages.search_messages(scope, &query, limit);
        match tokio::time::timeout(limits.retrieval_deadline, search).await {
            Ok(Ok(hits)) => (hits, query.omission().map(|words| words.to_string()).into_iter().collect()),
            Ok(Err(error)) => {
                (Vec::new(), vec![Omission::EarlierMessages { cause: error.without_cause() }.to_string()])
            }
            Err(_) => (Vec::new(), vec![Omission::EarlierMessages { cause: TOO_LONG.to_owned() }.to_string()]),
        }
    };
    let recent = read_recent(inner, scope, conversation, question);
    let (recent, (passages, no_passages), (past, no_past)) = futures::join!(recent, passages, past);
    let mut degraded: Vec<String> = cut.into_iter().chain(no_passages).collect();
    // Both searches leave out the same words.
    degraded.extend(no_past.into_iter().filter(|why| !degraded.contains(why)).collect::<Vec<_>>());
    Ok(Retrieved { recent: recent?, question: 0, passages, past, degraded, took: begun.elapsed() })
}

/// The last messages of the conversation, in order: as many as the window may have room for, and one more, which says
/// that there are others. They are read newest first, and images and documents message by message, so that what is read
/// is what may be shown, however much was said before. What of them comes after the first [`PARTS_BYTES`] is left out.
async fn read_recent(
    inner: &Inner,
    scope: &Scope,
    conversation: ConversationId,
    question: Option<u64>,
) -> Result<Vec<Message>, StoreError> {
    let messages = inner.store.conversations();
    let mut before = question;
    // One more than is shown: the message that is being answered may be there already.
    let mut left = inner.config.recent_messages.saturating_add(1);
    let mut tokens = inner.config.context_tokens.saturating_sub(overhead(&inner.config, inner.toolbox.specs()));
    let mut bytes = PARTS_BYTES;
    let mut recent = Vec::new();
    'reading: while left > 0 {
        let limit = left.min(MESSAGES_AT_ONCE);
        left -= limit;
        let page = Backwards::new(limit).before(before).without_parts(true);
        let page = messages.messages_backwards(scope, conversation, &page).await?;
        let is_last = page.len() < limit as usize;
        for mut message in page.into_iter().rev() {
            before = Some(message.sequence);
            if message.parts_left_out && bytes > 0 {
                let whole = Backwards::new(1).before(message.sequence + 1);
                let whole = messages.messages_backwards(scope, conversation, &whole).await?.pop();
                // A standby that is further behind has an earlier one.
                if let Some(whole) = whole.filter(|whole| whole.sequence == message.sequence) {
                    let needed = whole.message.parts.iter().map(ContentPart::bytes).sum();
                    if needed <= bytes {
                        message = whole;
                    }
                    bytes = bytes.saturating_sub(needed);
                }
            }
            let needed = tokens_alone(&message, &*inner.llm);
            recent.push(message);
            match tokens.checked_sub(needed) {
                Some(rest) => tokens = rest,
                None => break 'reading,
            }
        }
        if is_last {
            break;
        }
    }
    recent.reverse();
    Ok(recent)
}

impl Retrieved {
    /// Leaves what comes before the message `own`, which is at `sequence`, and at most `limit` of each kind.
    pub(super) fn before(&mut self, own: MessageId, conversation: ConversationId, sequence: u64, limits: (u32, u32)) {
        self.recent.retain(|message| message.sequence < sequence);
        let surplus = self.recent.len().saturating_sub(limits.0 as usize);
        self.recent.drain(..surplus);
        self.question = sequence;
        let recent = &self.recent;
        self.past.retain(|hit| {
            let message = &hit.message;
            let later = message.conversation == conversation && message.sequence >= sequence;
            let shown = recent.iter().any(|shown| shown.message.id == message.message.id);
            message.message.id != own && !later && !shown && !message.message.content.trim().is_empty()
        });
        self.past.truncate(limits.1 as usize);
    }
}

impl Source {
    pub(super) fn of_passage(passage: Passage) -> Self {
        Self { passage, message: None }
    }

    /// An earlier message as a passage, labelled with its date, conversation, place and role.
    pub(super) fn of_message(hit: &MessageHit) -> Option<Self> {
        let Message { conversation, sequence, created_at, message, .. } = &hit.message;
        let role = message.role.as_str();
        let date = created_at.to_string();
        let date = date.get(..10).unwrap_or(&date);
        let path = WorkspacePath::parse(format!("{MESSAGES}{date}/{conversation}/{sequence}-{role}")).ok()?;
        let text = &message.content[..message.content.floor_char_boundary(EXCERPT_BYTES)];
        // BM25 has no upper bound; 0 to 1 in the same order is what a passage's score is.
        let score = (hit.score / (hit.score + 5.0)) as f32;
        Some(Self {
            passage: Passage::new(path, 0, text.len() as u64, text, score).is_message(true),
            message: Some(CitedMessage { conversation: *conversation, message: message.id, sequence: *sequence }),
        })
    }
}
