//! What servers of OpenAI's protocol send, beside what OpenAI does. Where a server is known for it, it is named.

use std::time::Duration;

use ironclaw_core::genai::Provider;
use ironclaw_core::llm::{FinishReason, LlmError, LlmErrorKind, LlmResponse};
use serde_json::{Value, json};

use crate::loopback::{Loopback, Reply, chunked, until_close};
use crate::support::{ask, builder, request};

const SSE: &str = "text/event-stream";

fn chunk(delta: Value, finish: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "model": "served", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

fn say(text: &str) -> Value {
    chunk(json!({"content": text}), Value::Null)
}

fn end(word: &str) -> Value {
    chunk(json!({}), json!(word))
}

fn sse(values: &[Value]) -> String {
    values.iter().map(|value| format!("data: {value}\n\n")).collect()
}

const DONE: &str = "data: [DONE]\n\n";

/// What becomes of this body, and how often it was asked for.
async fn became(content_type: &str, body: &str) -> (Result<LlmResponse, LlmError>, usize) {
    let bytes = chunked(content_type, &[body.as_bytes()]);
    let server = Loopback::start(move |_| Reply::Bytes(bytes.clone())).await;
    let llm = builder(Provider::OpenAi, "m", &server.url).build().unwrap();
    let answer = ask(&llm, request()).await.map(|(_, answer)| answer);
    (answer, server.asked())
}

#[tokio::test]
async fn every_way_to_send_an_answer_is_read() {
    let whole = json!({"id": "x", "model": "served", "object": "chat.completion",
                       "choices": [{"index": 0, "message": {"role": "assistant", "content": "So be it."}, "finish_reason": "stop"}],
                       "usage": {"prompt_tokens": 3, "completion_tokens": 2}});
    let (so, be_it, stop) = (say("So "), say("be it."), end("stop"));
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}});
    let pieces = [so.clone(), be_it.clone(), stop.clone()];
    let bodies: Vec<(&str, &str, String)> = vec![
        ("as it should be", SSE, sse(&pieces) + DONE),
        ("no last marker", SSE, sse(&pieces)),
        ("no last marker, and no empty line", SSE, sse(&pieces).trim_end().to_owned()),
        ("no reason to end but a marker", SSE, sse(&pieces[..2]) + DONE),
        (
            "a reason that is empty all along (SGLang, Ollama)",
            SSE,
            sse(&[
                chunk(json!({"content": "So "}), json!("")),
                chunk(json!({"content": "be it."}), json!("")),
                stop.clone(),
            ]) + DONE,
        ),
        (
            "text in the last piece (vLLM, Mistral)",
            SSE,
            sse(&[so.clone(), chunk(json!({"content": "be it."}), json!("stop"))]) + DONE,
        ),
        ("counts last, and the choices empty", SSE, sse(&pieces) + &sse(std::slice::from_ref(&usage)) + DONE),
        ("counts without choices", SSE, sse(&pieces) + &sse(&[json!({"usage": {"prompt_tokens": 3}})]) + DONE),
        ("one line for each event", SSE, sse(&pieces).replace("\n\n", "\n") + "data: [DONE]\n"),
        ("line ends of Windows", SSE, (sse(&pieces) + DONE).replace('\n', "\r\n")),
        ("line ends of old Macs", SSE, (sse(&pieces) + DONE).replace('\n', "\r")),
        ("no space after the colon", SSE, (sse(&pieces) + DONE).replace("data: ", "data:")),
        (
            "a byte order mark, comments, pings, ids",
            SSE,
            format!(
                "\u{FEFF}: OPENROUTER PROCESSING\n\nevent: ping\ndata: {{}}\n\nid: 1\nretry: 10\ndata: {so}\n\ndata:\n\n: keep-alive\n\nevent: message\ndata: {be_it}\n\ndata: {stop}\n\n{DONE}"
            ),
        ),
        (
            "an error that is null in every piece",
            SSE,
            sse(&pieces
                .iter()
                .map(|piece| {
                    let mut piece = piece.clone();
                    piece["error"] = Value::Null;
                    piece
                })
                .collect::<Vec<_>>())
                + DONE,
        ),
        (
            "content filters (Azure)",
            SSE,
            sse(&[
                json!({"choices": [], "prompt_filter_results": [{}]}),
                so.clone(),
                be_it.clone(),
                json!({"choices": [{"index": 0, "finish_reason": null, "content_filter_offsets": {}}]}),
                stop.clone(),
            ]) + DONE,
        ),
        (
            "content in parts (Mistral)",
            SSE,
            sse(&[
                chunk(
                    json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
                    Value::Null,
                ),
                chunk(json!({"content": [{"type": "text", "text": "So "}]}), Value::Null),
                be_it.clone(),
                stop.clone(),
            ]) + DONE,
        ),
        (
            "reasoning beside it (DeepSeek, OpenRouter)",
            SSE,
            sse(&[
                chunk(json!({"content": null, "reasoning_content": "hm"}), Value::Null),
                chunk(json!({"content": "", "reasoning": "hm"}), Value::Null),
            ]) + &sse(&pieces)
                + DONE,
        ),
        (
            "the whole once more at the end",
            SSE,
            sse(&[
                so.clone(),
                be_it.clone(),
                json!({"choices": [{"message": {"content": "So be it."}, "finish_reason": "stop"}]}),
            ]) + DONE,
        ),
        (
            "the whole once more at the end, trimmed",
            SSE,
            sse(&[
                say("So be it."),
                json!({"choices": [{"message": {"content": "So be it.\n"}, "finish_reason": "stop"}]}),
            ]) + DONE,
        ),
        (
            "completions without chat",
            SSE,
            sse(&[json!({"choices": [{"text": "So be it.", "index": 0, "finish_reason": "stop"}]})]),
        ),
        ("whole JSON", "application/json", whole.to_string()),
        (
            "whole JSON over many lines",
            "application/json; charset=utf-8",
            serde_json::to_string_pretty(&whole).unwrap(),
        ),
        ("whole JSON, said to be a stream", SSE, whole.to_string()),
        ("whole JSON in an event", SSE, sse(std::slice::from_ref(&whole)) + DONE),
        ("JSON values by lines", "application/x-ndjson", pieces.iter().map(|piece| format!("{piece}\n")).collect()),
        ("JSON values without lines", "application/json", pieces.iter().map(Value::to_string).collect()),
        ("JSON values in a list", "application/json", json!(pieces).to_string()),
    ];
    for (what, content_type, body) in bodies {
        let (answer, asked) = became(content_type, &body).await;
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((answer.text.as_str(), answer.finish, asked), ("So be it.", FinishReason::Stop, 1), "{what}");
    }
}

#[tokio::test]
async fn every_way_to_send_two_calls_is_read() {
    let entry = |call: Value| chunk(json!({"tool_calls": [call]}), Value::Null);
    let rome = r#"{"city":"Rome"}"#;
    let call = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
    let shapes = [
        vec![
            entry(json!({"id": "a", "function": call("weather", json!(rome))})),
            entry(json!({"id": "b", "function": call("now", json!(""))})),
        ],
        vec![
            entry(json!({"index": 0, "id": "a", "function": call("weather", json!(rome))})),
            entry(json!({"index": 0, "id": "b", "function": call("now", json!("{}"))})),
        ],
        // Arguments as an object, an index as text, and no `function` around it.
        vec![
            entry(json!({"index": "0", "id": "a", "function": call("weather", json!({"city": "Rome"}))})),
            entry(json!({"index": "1", "id": "b", "name": "now", "arguments": null})),
        ],
        // Both in one piece, without an index.
        vec![chunk(
            json!({"tool_calls": [{"id": "a", "function": call("weather", json!(rome))}, {"id": "b", "function": call("now", json!("{}"))}]}),
            Value::Null,
        )],
        // An index that would take all memory, were it believed.
        vec![
            entry(json!({"index": 4_000_000_000_u64, "id": "a", "function": call("weather", json!(rome))})),
            entry(json!({"index": 4_000_000_001_u64, "id": "b", "function": call("now", json!("{}"))})),
        ],
        vec![json!({"choices": [{"message": {"content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": call("weather", json!(rome))},
            {"id": "b", "type": "function", "function": call("now", json!("{}"))}]}}]})],
    ];
    for pieces in shapes {
        for word in ["tool_calls", "stop", "function_call"] {
            let (answer, _) = became(SSE, &(sse(&pieces) + &sse(&[end(word)]))).await;
            let answer = answer.unwrap_or_else(|error| panic!("{pieces:?}: {error}"));
            let calls: Vec<_> =
                answer.tool_calls.iter().map(|c| (c.id.as_str(), c.name.as_str(), c.arguments.clone())).collect();
            assert_eq!(calls, [("a", "weather", json!({"city": "Rome"})), ("b", "now", json!({}))], "{pieces:?}");
            assert_eq!(answer.finish, FinishReason::ToolCalls);
        }
    }
    // The protocol of 2023.
    let old = [
        chunk(json!({"function_call": {"name": "weather", "arguments": ""}}), Value::Null),
        chunk(json!({"function_call": {"arguments": rome}}), Value::Null),
        end("function_call"),
    ];
    let answer = became(SSE, &(sse(&old) + DONE)).await.0.unwrap();
    assert_eq!((answer.tool_calls.len(), &answer.tool_calls[0].arguments), (1, &json!({"city": "Rome"})));
}

#[tokio::test]
async fn an_error_inside_a_200_is_that_error() {
    use LlmErrorKind::*;
    let before = sse(&[say("So")]);
    let reports = [
        (
            r#"data: {"error": {"message": "queue full", "type": "rate_limit_error", "code": 429}}"#,
            RateLimited,
            "queue full",
        ),
        (r#"data: {"error": "model requires more system memory"}"#, Unreachable, "more system memory"),
        (
            r#"data: {"object": "error", "message": "maximum context length is 10", "type": "BadRequestError", "code": 400}"#,
            ContextTooLong,
            "is 10",
        ),
        (r#"data: {"error_type": "context_length_exceeded", "error_message": "too long"}"#, ContextTooLong, "too long"),
        (r#"data: {"choices": [], "error": {"code": 502, "message": "Worker limit"}}"#, Unreachable, "Worker limit"),
        (
            r#"data: {"choices": [{"delta": {"content": ""}, "finish_reason": "error", "error": {"code": 400, "message": "no such"}}]}"#,
            InvalidRequest,
            "no such",
        ),
        (r#"data: {"choices": [{"delta": {}, "finish_reason": "error"}]}"#, Unreachable, "(error)"),
        (
            r#"data: {"choices": [{"delta": {}, "finish_reason": "insufficient_system_resource"}]}"#,
            Unreachable,
            "insufficient_system_resource",
        ),
        (r#"data: {"detail": "Internal Server Error"}"#, Unreachable, "Internal Server Error"),
        ("event: error\ndata: upstream died", Unreachable, "upstream died"),
        ("event: error\ndata: {\"message\": \"upstream died\"}", Unreachable, "upstream died"),
        (r#"{"error": {"message": "bare in the stream", "code": 500}}"#, Unreachable, "bare in the stream"),
        ("{\n \"error\": {\n  \"code\": 503,\n  \"message\": \"over\\nlines\"\n }\n}", Unreachable, "over lines"),
        (r#"error: {"code": 500, "message": "llama died", "type": "server_error"}"#, Unreachable, "llama died"),
        (
            r#"{"error": "Unexpected endpoint or method. (POST /chat/completions)"}"#,
            InvalidRequest,
            "check the endpoint's path",
        ),
        ("data: rate limited, sorry", MalformedAnswer, "rate limited, sorry"),
        ("502 Bad Gateway", MalformedAnswer, "502 Bad Gateway"),
        ("<html><body>Sign in</body></html>", MalformedAnswer, "HTML"),
    ];
    for (report, kind, said) in reports {
        for before in ["", before.as_str()] {
            let (answer, _) = became(SSE, &format!("{before}{report}\n\n{DONE}")).await;
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), &kind, "{report}: {error}");
            assert!(error.to_string().contains(said), "{report}: {error}");
            assert!(!before.is_empty() || !error.to_string().contains("broke off"), "{report}: {error}");
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_said_to_be_none_and_asked_for_once() {
    use LlmErrorKind::*;
    let thought = chunk(json!({"reasoning_content": "hmmm"}), Value::Null);
    let cases = [
        (SSE, sse(&[end("stop")]) + DONE, EmptyAnswer, "neither text nor tool calls"),
        (SSE, DONE.to_owned(), EmptyAnswer, "neither text nor tool calls"),
        (SSE, sse(&[say(" \n"), end("stop")]), EmptyAnswer, "neither text nor tool calls"),
        (SSE, sse(&[thought.clone(), end("stop")]) + DONE, EmptyAnswer, "reasoning alone (4 characters)"),
        (SSE, sse(&[thought, end("length")]) + DONE, EmptyAnswer, "limit was reached after 4"),
        (SSE, sse(&[end("content_filter")]) + DONE, Filtered, "withheld"),
        (SSE, sse(&[end("tool_calls")]) + DONE, MalformedAnswer, "none is named"),
        ("text/html; charset=utf-8", "<html>Sign in</html>".to_owned(), MalformedAnswer, "HTML"),
        ("application/json", json!({"status": "ok"}).to_string(), MalformedAnswer, "no answer"),
        ("application/json", json!("hello").to_string(), MalformedAnswer, "hello"),
        (
            SSE,
            sse(&[json!({"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]})]),
            MalformedAnswer,
            "several",
        ),
        (
            SSE,
            sse(&[say("a"), json!({"choices": [{"index": 1, "delta": {"content": "b"}}]}), end("stop")]) + DONE,
            MalformedAnswer,
            "several",
        ),
        (SSE, sse(&[chunk(json!({"content": [{"type": "image_url"}]}), Value::Null)]), MalformedAnswer, "image_url"),
        (
            SSE,
            sse(&[
                chunk(json!({"tool_calls": [{"id": "a", "function": {"arguments": "{}"}}]}), Value::Null),
                end("stop"),
            ]),
            MalformedAnswer,
            "no tool",
        ),
        (SSE, "data: {\"choices\": [\n\n".to_owned() + DONE, MalformedAnswer, "not JSON"),
    ];
    for (content_type, body, kind, said) in cases {
        let (answer, asked) = became(content_type, &body).await;
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), &kind, "{body}: {error}");
        assert!(error.to_string().contains(said), "{body}: {error}");
        assert_eq!(asked, 1, "{body}");
    }
}

#[tokio::test]
async fn a_body_that_ends_too_early_broke_off() {
    let whole = sse(&[say("So "), say("be it."), end("stop")]);
    let pieces = whole.rfind("data:").unwrap();
    let finish = whole.rfind("\"stop\"").unwrap();
    for cut in 0..whole.len() {
        let (answer, _) = became(SSE, &whole[..cut]).await;
        match answer {
            Ok(answer) => {
                assert!(cut > finish, "cut at {cut}");
                assert_eq!(answer.text, "So be it.");
            }
            Err(error) => {
                assert_eq!(error.kind(), &LlmErrorKind::Unreachable, "cut at {cut}: {error}");
                assert!(error.to_string().contains("broke off"), "cut at {cut}: {error}");
                // With the last brace the value is whole.
                assert!(cut < whole.trim_end().len(), "cut at {cut}");
            }
        }
    }
    assert!(pieces < finish);
    let half = json!({"choices": [{"message": {"content": "So"}, "finish_reason": "stop"}]}).to_string();
    let error = became("application/json", &half[..half.len() - 5]).await.0.unwrap_err();
    assert!(error.to_string().contains("broke off"), "{error}");
}

#[tokio::test]
async fn a_connection_that_ends_badly_takes_nothing_of_a_whole_answer() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n";
    for (body, whole) in [(sse(&[say("So."), end("stop")]), true), (sse(&[say("So.")]), false)] {
        for hangs in [true, false] {
            let bytes = format!("{head}{body}").into_bytes();
            let server =
                Loopback::start(move |_| if hangs { Reply::Hang(bytes.clone()) } else { Reply::Close(bytes.clone()) })
                    .await;
            let llm = builder(Provider::OpenAi, "m", &server.url)
                .timeout(Duration::from_millis(200))
                .retries(0)
                .build()
                .unwrap();
            match ask(&llm, request()).await {
                Ok((_, answer)) => assert!(whole && answer.text == "So."),
                Err(error) => assert!(!whole && error.kind() == &LlmErrorKind::Unreachable, "{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_reason_to_end_reaches_the_caller() {
    for (word, finish) in [
        ("length", FinishReason::Length),
        ("max_tokens", FinishReason::Length),
        ("content_filter", FinishReason::Filtered),
        ("eos", FinishReason::Stop),
        ("end_turn", FinishReason::Stop),
        ("pause_turn", FinishReason::Other("pause_turn".into())),
    ] {
        assert_eq!(became(SSE, &sse(&[say("So"), end(word)])).await.0.unwrap().finish, finish, "{word}");
    }
    for (words, finish) in
        [(["length", "stop"], FinishReason::Length), (["content_filter", "length"], FinishReason::Filtered)]
    {
        let body = sse(&[say("So"), end(words[0]), end(words[1])]);
        assert_eq!(became(SSE, &body).await.0.unwrap().finish, finish, "{words:?}");
    }
    let refusal = sse(&[chunk(json!({"refusal": "No."}), Value::Null), end("stop")]);
    let answer = became(SSE, &refusal).await.0.unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), ("No.", FinishReason::Filtered));
}

#[tokio::test]
async fn nothing_is_read_without_a_bound() {
    let head = until_close("200 OK", "content-type: text/event-stream\r\n", "");
    let text = "a".repeat(1 << 16);
    let endless = [
        // One line, one comment, one JSON value, and any number of pieces.
        (&b"data: "[..], text.clone()),
        (b": ", text.clone()),
        (b"{\"a\": \"", text.clone()),
        (b"", sse(&[say(&text)])),
        (
            b"",
            sse(&[chunk(
                json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": text}}]}),
                Value::Null,
            )]),
        ),
    ];
    for (first, again) in endless {
        let first = [&head, first].concat();
        let again = again.into_bytes();
        let server = Loopback::start(move |_| Reply::Endless(first.clone(), again.clone())).await;
        let llm = builder(Provider::OpenAi, "m", &server.url).build().unwrap();
        let error = ask(&llm, request()).await.unwrap_err();
        assert!(error.to_string().contains("longer than 16 MiB"), "{error}");
        assert_eq!(server.asked(), 1);
    }
    let many: Vec<Value> = (0..300)
        .map(|n| chunk(json!({"tool_calls": [{"index": n, "id": n.to_string(), "function": {"name": "f", "arguments": "{}"}}]}), Value::Null))
        .collect();
    assert!(became(SSE, &sse(&many)).await.0.unwrap_err().to_string().contains("256"));
    // An error's text.
    let head = until_close("400 Bad Request", "content-type: application/json\r\n", "{\"error\": {\"message\": \"no: ");
    let server = Loopback::start(move |_| Reply::Endless(head.clone(), vec![b'a'; 1 << 16])).await;
    let llm = builder(Provider::OpenAi, "m", &server.url).build().unwrap();
    let error = ask(&llm, request()).await.unwrap_err();
    assert_eq!(error.kind(), &LlmErrorKind::InvalidRequest);
    assert!(error.to_string().chars().count() < 1_200 && error.to_string().contains("no: "), "{error}");
}
