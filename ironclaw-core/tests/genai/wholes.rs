//! Services that say the whole once more after its pieces: the two must be the same answer.

use ironclaw_core::genai::Provider;
use ironclaw_core::llm::{LlmError, LlmErrorKind, LlmResponse};
use serde_json::{Value, json};

use crate::support::{ask, builder, events, request, serve};

async fn became(provider: Provider, values: &[Value]) -> Result<LlmResponse, LlmError> {
    let path = match provider {
        Provider::OpenAiResponses => "/v1/responses",
        Provider::Anthropic => "/v1/messages",
        _ => "/v1/chat/completions",
    };
    let server = serve(path, "text/event-stream", events(values)).await;
    let llm = builder(provider, "m", &format!("{}/v1", server.uri())).retries(0).build().unwrap();
    ask(&llm, request()).await.map(|(_, answer)| answer)
}

fn says(text: &str) -> Value {
    json!({"type": "response.output_text.delta", "output_index": 0, "delta": text})
}

fn said(text: &str) -> Value {
    json!({"type": "response.output_text.done", "output_index": 0, "text": text})
}

fn message(text: &str) -> Value {
    json!({"type": "message", "content": [{"type": "output_text", "text": text}]})
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "weather", "arguments": arguments})
}

fn item(event: &str, index: u64, item: Value) -> Value {
    json!({"type": format!("response.output_item.{event}"), "output_index": index, "item": item})
}

fn arguments(event: &str, text: &str) -> Value {
    let name = if event == "delta" { "delta" } else { "arguments" };
    json!({"type": format!("response.function_call_arguments.{event}"), "output_index": 0, name: text})
}

fn completed(output: &[Value]) -> Value {
    json!({"type": "response.completed", "response": {"status": "completed", "output": output}})
}

fn is_refused(became: Result<LlmResponse, LlmError>, case: &str) {
    let error = became.expect_err(case);
    assert_eq!(error.kind(), &LlmErrorKind::MalformedAnswer, "{case}: {error}");
    assert!(error.to_string().contains("not what its pieces were"), "{case}: {error}");
}

#[tokio::test]
async fn text_that_its_pieces_lost_is_no_answer() {
    let (whole, pieces) = ("The code is 123456.", [says("The code is 12"), says("56.")]);
    let after = |more: &[Value]| [&pieces[..], more].concat();
    for (case, values) in [
        ("its end", after(&[said(whole), completed(&[])])),
        ("its item", after(&[item("done", 0, message(whole)), completed(&[])])),
        ("the response", after(&[completed(&[message(whole)])])),
        ("the beginning", vec![says("123456."), completed(&[message(whole)])]),
        ("more than the whole", vec![says("No. "), says(whole), completed(&[message(whole)])]),
        ("a message of two", vec![says("So. "), completed(&[message("So."), message(whole)])]),
    ] {
        is_refused(became(Provider::OpenAiResponses, &values).await, case);
    }
}

#[tokio::test]
async fn text_that_is_what_its_pieces_were_is_one() {
    for (case, values, text) in [
        (
            "trimmed",
            vec![says(" So "), says("be it.\n"), said("So be it."), completed(&[message("So be it.")])],
            " So be it.\n",
        ),
        (
            "two messages",
            vec![
                says("One. "),
                said("One."),
                says("Two."),
                said("Two."),
                completed(&[message("One."), message("Two.")]),
            ],
            "One. Two.",
        ),
        ("nothing again", vec![says("So."), said(""), completed(&[])], "So."),
        ("no pieces", vec![said("So."), item("done", 0, message("So.")), completed(&[message("So.")])], "So."),
    ] {
        assert_eq!(became(Provider::OpenAiResponses, &values).await.expect(case).text, text, "{case}");
    }
}

#[tokio::test]
async fn arguments_that_their_pieces_lost_are_no_call() {
    let begun = item("added", 0, call("c", ""));
    let (piece, whole) = (arguments("delta", "{\"x\":1"), call("c", "{\"x\":12}"));
    for (case, values) in [
        ("their end", vec![begun.clone(), piece.clone(), arguments("done", "{\"x\":12}"), completed(&[])]),
        ("the item", vec![begun.clone(), piece.clone(), item("done", 0, whole.clone()), completed(&[])]),
        ("the response", vec![begun.clone(), piece.clone(), completed(std::slice::from_ref(&whole))]),
        ("a call of two", vec![item("added", 0, whole.clone()), completed(&[whole.clone(), call("d", "{}")])]),
    ] {
        is_refused(became(Provider::OpenAiResponses, &values).await, case);
    }
    // Blanks, and what the pieces left to the whole.
    for values in [
        vec![
            begun.clone(),
            arguments("delta", "{\"x\":12} "),
            arguments("done", "{\"x\":12}"),
            completed(std::slice::from_ref(&whole)),
        ],
        vec![begun.clone(), arguments("delta", "{\"x\":12}"), arguments("done", "{\"x\": 12}"), completed(&[])],
        vec![
            begun.clone(),
            arguments("done", "{\"x\":12}"),
            item("done", 0, whole.clone()),
            completed(std::slice::from_ref(&whole)),
        ],
        vec![says("I look."), completed(&[message("I look."), whole.clone()])],
    ] {
        let answer = became(Provider::OpenAiResponses, &values).await.unwrap();
        let calls: Vec<_> = answer.tool_calls.iter().map(|call| (call.id.as_str(), call.arguments.clone())).collect();
        assert_eq!(calls, [("c", json!({"x": 12}))], "{values:?}");
    }
}

#[tokio::test]
async fn other_protocols_keep_to_the_same() {
    let calls =
        |arguments: &str| json!([{"index": 0, "id": "c", "function": {"name": "weather", "arguments": arguments}}]);
    let chat = |name: &str, said: Value| json!({"choices": [{name: said, "finish_reason": "tool_calls"}]});
    let values = |whole: &str| {
        [chat("delta", json!({"tool_calls": calls("{\"x\":1")})), chat("message", json!({"tool_calls": calls(whole)}))]
    };
    is_refused(became(Provider::OpenAi, &values("{\"x\":12}")).await, "chat");
    assert!(became(Provider::OpenAi, &values("{\"x\":1")).await.is_ok());

    let values = |whole: &str| {
        let delta = json!({"type": "text_delta", "text": "The code is 1256."});
        [
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": delta}),
            json!({"type": "message", "content": [{"type": "text", "text": whole}], "stop_reason": "end_turn"}),
        ]
    };
    is_refused(became(Provider::Anthropic, &values("The code is 123456.")).await, "anthropic");
    assert_eq!(became(Provider::Anthropic, &values("The code is 1256.")).await.unwrap().text, "The code is 1256.");
}
