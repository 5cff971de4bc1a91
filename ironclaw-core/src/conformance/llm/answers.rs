use futures::StreamExt;
use serde_json::json;

use super::LlmSubject;
use crate::conformance::check::{Failure, Outcome, Present, at_once, poll_at_most, someone};
use crate::conformance::text::HOSTILE;
use crate::llm::{
    ContentPart, FinishReason, LlmEvent, LlmMessage, LlmOptions, LlmProvider, LlmProviderExt, LlmRequest, LlmResponse,
    ResponseSchema, ToolChoice,
};
use crate::model::workspace::{Passage, WorkspacePath};

pub(super) fn asking(text: &str) -> LlmRequest {
    LlmRequest::new(vec![LlmMessage::user(text)])
}

/// Reads an answer to its end and checks that its pieces make the whole.
async fn answer(llm: &dyn LlmProvider, request: LlmRequest) -> Result<LlmResponse, Failure> {
    let mut stream = llm.stream(&someone()?, request).await?;
    let (mut pieces, mut finished) = (String::new(), None);
    while let Some(event) = stream.next().await {
        assert!(finished.is_none(), "something comes after the end");
        match event? {
            LlmEvent::Text(piece) => pieces.push_str(&piece),
            LlmEvent::Finished(response) => finished = Some(response),
        }
    }
    let response = finished.present()?;
    assert_eq!(response.text, pieces, "the pieces are not the whole");
    Ok(response)
}

pub(super) async fn ends_with_one_whole_answer(subject: &LlmSubject) -> Outcome {
    let llm = subject.fresh().await?;
    assert!(!llm.model().is_empty());
    let response = answer(&*llm, asking("How many ships pass the lighthouse?")).await?;
    assert!(!response.model.is_empty());
    assert_eq!(response.finish, FinishReason::Stop);
    assert!(!response.text.trim().is_empty(), "an answer without a call has text");
    let whole = llm.complete(&someone()?, asking("How many ships pass the lighthouse?")).await?;
    assert!(!whole.model.is_empty());
    Ok(())
}

pub(super) async fn any_text_in_messages(subject: &LlmSubject) -> Outcome {
    let llm = subject.fresh().await?;
    for text in HOSTILE {
        let mut request = asking(text);
        request.messages.insert(0, LlmMessage::System { text: (*text).to_owned() });
        answer(&*llm, request).await?;
    }
    Ok(())
}

pub(super) async fn passages_are_taken(subject: &LlmSubject) -> Outcome {
    let llm = subject.fresh().await?;
    let mut request = asking("How many ships pass the lighthouse?");
    for (n, text) in ["Forty ships pass the lighthouse each night.", HOSTILE[3]].into_iter().enumerate() {
        let path = WorkspacePath::parse(format!("{n}.md"))?;
        request.passages.push(Passage::new(path, 0, text.len() as u64, text, 0.5));
    }
    answer(&*llm, request).await?;
    Ok(())
}

pub(super) async fn no_message_is_no_panic(subject: &LlmSubject) -> Outcome {
    let llm = subject.fresh().await?;
    let mut request = asking("");
    if let Ok(response) = llm.complete(&someone()?, request.clone()).await {
        assert!(!response.model.is_empty());
    }
    request.messages.clear();
    if let Ok(response) = llm.complete(&someone()?, request).await {
        assert!(!response.model.is_empty());
    }
    answer(&*llm, asking("It works on?")).await?;
    Ok(())
}

/// Nothing is left out in silence: what the model can't be asked is an error, and all else has an answer.
pub(super) async fn what_it_can_t_be_asked_is_refused(subject: &LlmSubject) -> Outcome {
    let (llm, scope) = (subject.fresh().await?, someone()?);
    llm.check(&asking("How many ships?"))?;
    let with = |parts: Vec<ContentPart>| LlmRequest::new(vec![LlmMessage::User { text: "What is it?".into(), parts }]);
    let form = ResponseSchema::new("count", json!({"type": "object", "properties": {}}));
    let options = [
        LlmOptions::default().temperature(0.5).max_output_tokens(50),
        LlmOptions::default().temperature(-1.0),
        LlmOptions::default().stop(["END"]),
        LlmOptions::default().seed(7),
        LlmOptions::default().tool_choice(ToolChoice::None),
        LlmOptions::default().tool_choice(ToolChoice::Required),
        LlmOptions::default().response_schema(form),
        LlmOptions::default().extra_body(json!("no object")),
    ];
    let parts = [
        ContentPart::image("image/png", &b"png"[..]),
        ContentPart::image_url("https://example.org/a.png"),
        ContentPart::document("text/plain", "a.txt", &b"forty ships"[..]),
        ContentPart::document("application/pdf", "a.pdf", &b"%PDF"[..]),
        ContentPart::document("application/zip", "a.zip", &b"PK"[..]),
    ];
    let asked = options.into_iter().map(|options| asking("How many ships?").options(options));
    for request in asked.chain(parts.into_iter().map(|part| with(vec![part]))) {
        match (llm.check(&request), llm.stream(&scope, request.clone()).await) {
            (Ok(()), Ok(_)) => drop(answer(&*llm, request).await?),
            (Err(checked), Err(error)) => assert_eq!(error.kind(), checked.kind()),
            (checked, Ok(_)) => panic!("{checked:?}, and it was asked: {request:?}"),
            (Ok(()), Err(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(super) async fn many_at_once(subject: &LlmSubject) -> Outcome {
    let llm = subject.fresh().await?;
    let results = at_once(8, |n| {
        let llm = llm.clone();
        async move { answer(&*llm, asking(&format!("Question {n}?"))).await }
    })
    .await?;
    results.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

pub(super) async fn dropped_at_every_await(subject: &LlmSubject) -> Outcome {
    let (llm, scope) = (subject.fresh().await?, someone()?);
    for polls in 0..1_000 {
        if poll_at_most(polls, llm.complete(&scope, asking("Dropped?"))).await.transpose()?.is_some() {
            answer(&*llm, asking("It works on?")).await?;
            return Ok(());
        }
    }
    Err(Failure::new("an answer never ended"))
}
