//! What a model makes of what its service says.

use futures::StreamExt;
use serde_json::json;

use super::answers::asking;
use super::{LlmSubject, Says};
use crate::conformance::check::{Failure, Outcome, Present, someone};
use crate::llm::{FinishReason, LlmError, LlmErrorKind, LlmEvent, LlmProvider, LlmResponse};

/// What the model makes of it: the pieces of text, and the answer or the error. `None` if its service can't say it.
async fn made_of(subject: &LlmSubject, says: Says) -> Result<Option<(String, Result<LlmResponse, LlmError>)>, Failure> {
    let Some(llm) = subject.harness.serving(says).await? else { return Ok(None) };
    let mut pieces = String::new();
    let mut stream = match llm.stream(&someone()?, asking("How many ships?")).await {
        Ok(stream) => stream,
        Err(error) => return Ok(Some((pieces, Err(error)))),
    };
    while let Some(event) = stream.next().await {
        match event {
            Ok(LlmEvent::Text(piece)) => pieces.push_str(&piece),
            Ok(LlmEvent::Finished(response)) => {
                assert!(stream.next().await.is_none(), "something comes after the end");
                return Ok(Some((pieces, Ok(response))));
            }
            Err(error) => {
                assert!(stream.next().await.is_none(), "something comes after an error");
                return Ok(Some((pieces, Err(error))));
            }
        }
    }
    Err(Failure::new("the stream ended with neither an answer nor an error"))
}

async fn error_of(subject: &LlmSubject, says: Says) -> Result<LlmError, Failure> {
    match made_of(subject, says).await?.present()? {
        (_, Err(error)) => Ok(error),
        (_, Ok(response)) => Err(Failure::new(format!("{says:?} became an answer: {response:?}"))),
    }
}

pub(super) async fn says_why_an_answer_ended(subject: &LlmSubject) -> Outcome {
    for (says, finish) in
        [(Says::Text, FinishReason::Stop), (Says::Cut, FinishReason::Length), (Says::Filtered, FinishReason::Filtered)]
    {
        let (pieces, response) = made_of(subject, says).await?.present()?;
        let response = response?;
        assert_eq!(response.finish, finish, "{says:?}");
        assert_eq!((response.text.as_str(), pieces.as_str()), (Says::TEXT, Says::TEXT), "{says:?}");
    }
    Ok(())
}

pub(super) async fn nothing_is_no_answer(subject: &LlmSubject) -> Outcome {
    for (says, kind) in [
        (Says::Nothing, LlmErrorKind::EmptyAnswer),
        (Says::Reasoning, LlmErrorKind::EmptyAnswer),
        (Says::Withheld, LlmErrorKind::Filtered),
    ] {
        let error = error_of(subject, says).await?;
        assert_eq!(error.kind(), &kind, "{says:?}: {error}");
        assert!(!error.is_retryable(), "{says:?}: the answer was whole");
        assert_eq!(error.to_string().contains("reasoning"), says == Says::Reasoning, "{error}");
    }
    Ok(())
}

pub(super) async fn what_breaks_off_is_no_answer(subject: &LlmSubject) -> Outcome {
    let (pieces, made) = made_of(subject, Says::BrokenOff).await?.present()?;
    let Err(error) = made else { return Err(Failure::new("an answer that broke off was taken for a whole one")) };
    assert_eq!(pieces, Says::TEXT, "what came before was dropped");
    assert_eq!(error.kind(), &LlmErrorKind::Unreachable);
    assert!(error.to_string().contains("broke off"), "{error}");
    Ok(())
}

pub(super) async fn arguments_are_kept_as_they_came(subject: &LlmSubject) -> Outcome {
    for (text, value) in [
        ("{\"of\":\"ships\"}", json!({"of": "ships"})),
        ("{}", json!({})),
        ("{\"of\": \"shi", json!("{\"of\": \"shi")),
        ("[1]", json!("[1]")),
        ("\"ships\"", json!("\"ships\"")),
    ] {
        let Some((_, response)) = made_of(subject, Says::Call(text)).await? else { continue };
        let response = response?;
        assert_eq!(response.finish, FinishReason::ToolCalls);
        assert_eq!(response.tool_calls.len(), 1);
        assert_eq!((response.tool_calls[0].name.as_str(), &response.tool_calls[0].arguments), ("count", &value));
        assert!(!response.tool_calls[0].id.is_empty());
    }
    Ok(())
}

pub(super) async fn the_reason_of_an_error_is_told(subject: &LlmSubject) -> Outcome {
    for (reason, kind) in [
        ("this model does not support tools", LlmErrorKind::ToolsUnsupported),
        ("the prompt is longer than the context window", LlmErrorKind::ContextTooLong),
        ("your credit balance is too low", LlmErrorKind::NoCredit),
        ("the model does not exist", LlmErrorKind::UnknownModel),
        ("temperature must be at least 0", LlmErrorKind::InvalidRequest),
    ] {
        let error = error_of(subject, Says::Error(reason)).await?;
        assert_eq!(error.kind(), &kind, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    Ok(())
}

pub(super) async fn no_key_is_told(subject: &LlmSubject) -> Outcome {
    let reason = "the key sk-conformance-4f9aQ7712 is not one, nor is gsk_Zx81kkP0sQq";
    let error = error_of(subject, Says::Error(reason)).await?;
    let said = format!("{error} {error:?}");
    assert!(said.contains("is not one") && !said.contains("4f9aQ7712") && !said.contains("Zx81"), "{said}");
    Ok(())
}
