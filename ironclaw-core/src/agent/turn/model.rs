//! The model is asked, and its call recorded.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use serde_json::Value;

use super::{Turn, failed, micros};
use crate::agent::AgentError;
use crate::agent::answer::{add, fit, malformed};
use crate::agent::bounds::{clean, reason, record, short};
use crate::agent::reply::AgentEvent;
use crate::change::JobOp;
use crate::id::{LlmCallId, NAME_BYTES};
use crate::input::JSON_DEPTH;
use crate::limits::Limits;
use crate::llm::{
    ContentPart, LlmError, LlmErrorKind, LlmEvent, LlmMessage, LlmRequest, LlmResponse, LlmStream, TokenUsage,
};
use crate::model::jobs::{JobStep, LlmCall};

impl Turn {
    /// Asks the model, passes its text on, and records the call, however it ends.
    pub(super) async fn ask(&mut self, request: LlmRequest) -> Result<LlmResponse, AgentError> {
        let begun = Instant::now();
        let created_at = self.inner.clock.now();
        let limits = &self.inner.config.limits;
        let recorded = to_record(recorded(&request), limits);
        let mut waited = Duration::ZERO;
        let answer = self.listen(request, &mut waited).await;
        self.timings.model += waited;
        let answer = answer.and_then(|response| fit(response, &self.inner.config).map_err(failed));
        let (response, error, usage) = match &answer {
            Ok((response, _)) => (Some(to_record(serde_json::to_value(response), limits)), None, response.usage),
            Err(error) => (None, Some(reason(error.to_string())), TokenUsage::default()),
        };
        let call = LlmCall {
            id: LlmCallId::make(&*self.inner.clock),
            job: self.job,
            model: short(self.inner.llm.model().to_owned(), NAME_BYTES),
            request: recorded,
            response,
            error,
            usage,
            latency_us: micros(begun.elapsed()),
            created_at,
        };
        add(&mut self.usage, usage);
        self.pending.push(JobOp::RecordLlmCall { call }.into());
        let (response, more) = answer?;
        if more > 0 {
            self.note(JobStep::Note { text: format!("{more} more calls of the model's answer were not kept") });
        }
        self.not_kept = more;
        Ok(response)
    }

    /// The model's answer. Its deadline counts the time that the model takes, not the time that the caller does.
    async fn listen(&self, request: LlmRequest, waited: &mut Duration) -> Result<LlmResponse, AgentError> {
        let llm = Arc::clone(&self.inner.llm);
        let mut stream: LlmStream = self.model(llm.stream(&self.scope, request), waited).await?.map_err(failed)?;
        while let Some(event) = self.model(stream.next(), waited).await? {
            match event.map_err(failed)? {
                LlmEvent::Text(text) => self.tell(AgentEvent::Text(clean(text))).await?,
                LlmEvent::Finished(response) => return Ok(response),
            }
        }
        Err(failed(malformed("the stream ended without an answer")))
    }

    /// Waits for the model within its deadline.
    async fn model<T>(&self, work: impl Future<Output = T>, waited: &mut Duration) -> Result<T, AgentError> {
        let begun = Instant::now();
        let deadline = self.inner.config.llm_deadline;
        let left = deadline.saturating_sub(*waited);
        let timeout = || {
            let context = format!("no answer within {deadline:?}; raise `llm_deadline` for a slower model");
            failed(LlmError::new(LlmErrorKind::Unreachable, "stream", context))
        };
        // A stream that always has something ready never lets a timer fire.
        if left.is_zero() {
            return Err(timeout());
        }
        let work = AssertUnwindSafe(work).catch_unwind();
        let done = self.wait(tokio::time::timeout(left, work)).await?;
        *waited += begun.elapsed();
        done.map_err(|_| timeout())?.map_err(|_| failed(malformed("the provider panicked")))
    }
}

/// A request as it is recorded: without the bytes of images and documents, which the messages keep.
fn recorded(request: &LlmRequest) -> Result<Value, serde_json::Error> {
    let without_parts = |message: &LlmMessage| match message {
        LlmMessage::User { text, .. } => LlmMessage::user(text),
        message => message.clone(),
    };
    let messages: Vec<LlmMessage> = request.messages.iter().map(without_parts).collect();
    let mut value = serde_json::to_value(LlmRequest { messages, ..request.clone() })?;
    for (at, message) in request.messages.iter().enumerate().filter(|(_, message)| !message.parts().is_empty()) {
        value["messages"][at]["parts"] = message.parts().iter().map(ContentPart::without_data).collect();
    }
    Ok(value)
}

/// A model's request or response as it is recorded. It has values inside that are as deep as a value may be.
fn to_record(value: Result<Value, serde_json::Error>, limits: &Limits) -> Value {
    const WRAPPING: usize = 16;
    record(value.unwrap_or(Value::Null), limits.json_bytes, JSON_DEPTH + WRAPPING)
}
