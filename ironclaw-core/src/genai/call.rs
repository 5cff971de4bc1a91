//! One call of a service, from its request to the last piece of the answer.

use std::time::Duration;

use reqwest::{Response, StatusCode, Url};
use tokio::time::Instant;

use super::answer::Answer;
use super::failure::Failure;
use super::frames::Frames;
use super::protocol::Protocol;
use super::{GenaiLlm, retry_after};
use crate::llm::{LlmErrorKind, LlmEvent, LlmRequest};

/// The most of an error's body that is read, in bytes.
const ERROR_BYTES: usize = 64 << 10;
/// How long the rest of a stream may take once the service said why the answer ended: counts of tokens, and a marker
/// that some never send.
const GRACE: Duration = Duration::from_secs(5);

/// An answer that is coming in.
pub(super) struct Call {
    status: StatusCode,
    /// The connection, as long as more may come.
    response: Option<Response>,
    protocol: Protocol,
    asked: String,
    timeout: Duration,
    frames: Frames,
    answer: Answer,
    /// Until when the rest is waited for, once the service said why the answer ended.
    rest: Option<Instant>,
    ended: bool,
}

impl Call {
    /// Asks, and waits until the service begins to answer.
    pub(super) async fn begin(llm: &GenaiLlm, request: &LlmRequest) -> Result<Self, Failure> {
        let protocol = llm.provider.protocol();
        let unsayable = |_| Failure::new(LlmErrorKind::InvalidRequest, "the request could not be built");
        let url = Url::parse(&format!("{}{}", llm.endpoint, protocol.path(&llm.model))).map_err(unsayable)?;
        let call = llm
            .http
            .post(url)
            .headers(protocol.headers(llm.key.as_deref())?)
            .json(&protocol.body(&llm.model, &llm.endpoint, request))
            .send();
        let response = tokio::time::timeout(llm.timeout, call).await.map_err(|_| Failure::timed_out())?;
        let response = response.map_err(|error| Failure::of_transport(&error))?;
        if response.status().is_success()
            && let Some(name) = compression(&response)
        {
            let context = format!(
                "the answer is compressed (`{name}`), which was not asked for; have the service, or the proxy before it, \
                 send it plain"
            );
            return Err(Failure::new(LlmErrorKind::MalformedAnswer, context));
        }
        if !response.status().is_success() {
            return Err(refusal(llm, response).await);
        }
        Ok(Self {
            status: response.status(),
            response: Some(response),
            protocol,
            asked: llm.model.clone(),
            timeout: llm.timeout,
            frames: Frames::default(),
            answer: Answer::default(),
            rest: None,
            ended: false,
        })
    }

    /// Whether the whole answer was given.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next piece of text, or the whole answer.
    pub(super) async fn next(&mut self) -> Result<LlmEvent, Failure> {
        loop {
            if let Some(text) = self.answer.news() {
                return Ok(LlmEvent::Text(text));
            }
            if self.answer.is_done() {
                return self.finish();
            }
            if let Some(frame) = self.frames.next()? {
                self.protocol.read(&frame, &mut self.answer)?;
            } else if self.frames.is_ended() {
                return self.finish();
            } else {
                self.read().await?;
            }
        }
    }

    /// Reads on. A connection that breaks or falls silent after the service said why the answer ended takes nothing of
    /// the answer with it.
    async fn read(&mut self) -> Result<(), Failure> {
        let Some(response) = &mut self.response else {
            self.frames.end();
            return Ok(());
        };
        let mut until = Instant::now() + self.timeout;
        if self.answer.is_finished() {
            // Counted once: keep-alives don't draw it out.
            until = until.min(*self.rest.get_or_insert_with(|| Instant::now() + GRACE));
        }
        match tokio::time::timeout_at(until, response.chunk()).await {
            Ok(Ok(Some(bytes))) => return self.frames.push(&bytes),
            Ok(Ok(None)) => {}
            _ if self.answer.is_finished() => {}
            Ok(Err(error)) => return Err(Failure::of_transport(&error)),
            Err(_) => return Err(Failure::timed_out()),
        }
        self.response = None;
        self.frames.end();
        Ok(())
    }

    fn finish(&mut self) -> Result<LlmEvent, Failure> {
        self.ended = true;
        self.response = None;
        if self.frames.is_blank() {
            return Err(Failure::blank(self.status));
        }
        std::mem::take(&mut self.answer).into_response(&self.asked).map(LlmEvent::Finished)
    }
}

/// Why the service did not answer. Of what it says no more is read than is looked at.
async fn refusal(llm: &GenaiLlm, mut response: Response) -> Failure {
    let status = response.status();
    let after = retry_after::of_headers(response.headers(), llm.clock.now());
    if let Some(name) = compression(&response) {
        return Failure::of_status(status, &format!("the reason is compressed ({name})"), after);
    }
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(bytes)) = response.chunk().await {
            body.extend_from_slice(&bytes[..bytes.len().min(ERROR_BYTES - body.len())]);
            if body.len() == ERROR_BYTES {
                break;
            }
        }
    };
    // What came in time is looked at, however the rest went.
    let _ = tokio::time::timeout(llm.timeout, reading).await;
    Failure::of_status(status, &String::from_utf8_lossy(&body), after)
}

/// The compression that the response's body has, if it says a known one. What else stands in the header is no compression:
/// some services say `utf-8`.
fn compression(response: &Response) -> Option<&'static str> {
    let stated = response.headers().get(reqwest::header::CONTENT_ENCODING)?.to_str().ok()?;
    let known = ["gzip", "x-gzip", "deflate", "br", "zstd", "compress"];
    known.into_iter().find(|name| stated.split(',').any(|part| part.trim().eq_ignore_ascii_case(name)))
}
