//! Options, images and documents of a message.

use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use ironclaw_core::agent::{AgentErrorKind, SendRequest};
use ironclaw_core::id::MessageId;
use ironclaw_core::llm::{
    ContentPart, LlmError, LlmErrorKind, LlmOptions, LlmProvider, LlmRequest, LlmStream, ResponseSchema, ToolChoice,
};
use ironclaw_core::model::conversations::{NewMessage, Role};
use ironclaw_core::{Agent, ExtractiveLlm, Scope, StoreExt, SystemClock};
use ironclaw_store::LibsqlStore;
use serde_json::json;

use crate::other::{How, Other};
use crate::support::{Echo, Script, Step, World, shown};

/// A scripted model that reads everything.
#[derive(Debug, Clone)]
struct Seeing(Script);

#[async_trait]
impl LlmProvider for Seeing {
    fn model(&self) -> &str {
        self.0.model()
    }

    fn check(&self, _request: &LlmRequest) -> Result<(), LlmError> {
        Ok(())
    }

    async fn stream(&self, scope: &Scope, request: LlmRequest) -> Result<LlmStream, LlmError> {
        self.0.stream(scope, request).await
    }
}

fn picture() -> SendRequest {
    SendRequest::new("What is on it?").part(ContentPart::image("image/png", &b"a heron, drawn"[..]))
}

#[tokio::test]
async fn an_image_is_stored_sent_and_not_recorded_twice() {
    let script = Script::new([Step::Say("A heron."), Step::Say("Blue."), Step::Say("I can't tell.")]);
    let world = World::new(Seeing(script.clone())).await;
    let reply = world.agent.send(&world.scope, world.conversation, picture()).await.unwrap();
    let part = picture().parts[0].clone();
    assert_eq!(script.last_request().messages[1].parts(), std::slice::from_ref(&part));
    assert_eq!(world.messages().await[0].message.parts, std::slice::from_ref(&part));
    let recorded = &world.llm_calls(reply.job).await[0].request["messages"][1];
    let expected = json!([{"type": "image", "media_type": "image/png", "bytes": 14}]);
    assert_eq!(recorded["parts"], expected);
    // It reads back, and can't be sent like that by mistake.
    let read: LlmRequest = serde_json::from_value(world.llm_calls(reply.job).await[0].request.clone()).unwrap();
    assert_eq!(read.messages[1].text(), "What is on it?");
    let ContentPart::Image { data, .. } = &read.messages[1].parts()[0] else { panic!("{read:?}") };
    assert!(data.is_left_out() && read.check_content(|_| true).is_err());
    assert_eq!(serde_json::to_value(read).unwrap()["messages"][1], *recorded);

    // With the next question it is shown again; a model that reads no images is told that there was one.
    world.send("Which colour?").await.unwrap();
    assert_eq!(script.last_request().messages[1].parts(), [part]);
    let blind = Agent::builder().store(world.store.clone()).llm(script.clone()).build().unwrap();
    blind.send(&world.scope, world.conversation, "Sure?").await.unwrap();
    let request = script.last_request();
    assert!(request.messages.iter().all(|message| message.parts().is_empty()));
    assert!(shown(&request)[0].contains("An attachment was left out"), "{:?}", shown(&request));
}

#[tokio::test]
async fn what_the_model_can_t_be_asked_is_refused_before_anything_is_written() {
    let script = Script::new([]);
    let world = World::new(script.clone()).await;
    let quoting = Agent::builder().store(world.store.clone()).llm(ExtractiveLlm::new()).build().unwrap();
    let form = LlmOptions::default().response_schema(ResponseSchema::new("a", json!({"type": "object"})));
    for (agent, request) in [
        (&world.agent, picture()),
        (&world.agent, SendRequest::new("hi").options(LlmOptions::default().tool_choice(ToolChoice::Required))),
        (&world.agent, SendRequest::new("hi").options(LlmOptions::default().temperature(3.0))),
        (&quoting, SendRequest::new("hi").options(form)),
        (&quoting, SendRequest::new("").part(ContentPart::document("text/plain", "a.txt", &b"text"[..]))),
    ] {
        let error = agent.send(&world.scope, world.conversation, request).await.unwrap_err();
        assert_eq!(*error.kind(), AgentErrorKind::Unsupported, "{error}");
    }
    let bad = SendRequest::new("hi").part(ContentPart::image("image/png", Vec::new()));
    let error = world.agent.send(&world.scope, world.conversation, bad).await.unwrap_err();
    assert!(matches!(error.kind(), AgentErrorKind::InvalidInput(input) if input.field() == "data"), "{error}");
    assert_eq!((world.said().await.len(), world.jobs().await.len()), (0, 0));
}

#[tokio::test]
async fn options_count_in_the_budget() {
    let long = |n| json!({"type": "object", "description": "word ".repeat(n)});
    let form = |n| LlmOptions::default().response_schema(ResponseSchema::new("a", long(n)));
    let script = Script::new([Step::Say("{}"), Step::Say("{}")]);
    let world = World::with(script.clone(), |builder| builder.context_tokens(1_000)).await;
    let send = |options| world.agent.send(&world.scope, world.conversation, SendRequest::new("hi").options(options));
    send(form(200)).await.unwrap();
    for options in [form(2_000), LlmOptions::default().extra_body(json!({"guide": long(2_000)}))] {
        let error = send(options.clone()).await.unwrap_err();
        assert!(matches!(error.kind(), AgentErrorKind::InvalidInput(input) if input.field() == "message"), "{error}");
        assert_eq!(world.jobs().await.len(), 1, "it is refused before anything is written");
        let built = Agent::builder().store(world.store.clone()).llm(script.clone()).llm_options(options);
        let error = built.context_tokens(1_000).build().unwrap_err();
        assert_eq!(*error.kind(), AgentErrorKind::Misconfigured, "{error}");
    }
    // What is tried again with a smaller budget, too.
    let long = world.agent.send(&world.scope, world.conversation, "word ".repeat(600)).await.unwrap();
    assert_eq!(long.text, "{}");
    let other = World::new(Script::new([Step::Fail(LlmErrorKind::ContextTooLong)])).await;
    other.send(&"word ".repeat(5_000)).await.unwrap_err();
    let small = Agent::builder().store(other.store.clone()).llm(script.clone()).context_tokens(1_000).build().unwrap();
    let error = small.retry(&other.scope, other.conversation).await.unwrap_err();
    assert!(matches!(error.kind(), AgentErrorKind::InvalidInput(input) if input.field() == "message"), "{error}");
    assert_eq!(script.requests().len(), 2);
}

#[tokio::test]
async fn options_of_a_message_come_before_those_of_the_agent() {
    let script = Script::new([Step::Call(vec![("echo", json!({}))]), Step::Say("done")]);
    let options = LlmOptions::default().temperature(0.25).seed(1);
    let world = World::with(script.clone(), |builder| builder.llm_options(options).tool(Echo::new("echo"))).await;
    let this = LlmOptions::default().seed(2).tool_choice(ToolChoice::Required);
    world.agent.send(&world.scope, world.conversation, SendRequest::new("hi").options(this.clone())).await.unwrap();
    let sent: Vec<LlmOptions> = script.requests().into_iter().map(|request| request.options).collect();
    let expected = this.temperature(0.25);
    // A tool was called: asked to call one again and again, the model would never answer.
    assert_eq!(sent, [expected.clone(), expected.tool_choice(ToolChoice::Auto)]);
}

#[tokio::test]
async fn numbers_in_an_answer_of_a_form_are_no_citations() {
    let script = Script::new([Step::Say("The heron is blue."), Step::Say("{\"list\": [1]}")]);
    let world = World::with(script, |builder| builder.recent_messages(0)).await;
    world.send("Is the heron blue?").await.unwrap();
    let form = LlmOptions::default().response_schema(ResponseSchema::new("list", json!({"type": "object"})));
    let request = SendRequest::new("Is the heron blue, as a list?").options(form);
    let reply = world.agent.send(&world.scope, world.conversation, request).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.citations.len()), ("{\"list\": [1]}", 0));
}

#[tokio::test]
async fn no_more_of_images_is_read_than_may_be_shown() {
    const SIZE: usize = 3 << 20;
    let script = Script::new([Step::Say("ok"), Step::Say("ok")]);
    let store = Other::new(&LibsqlStore::in_memory().await.unwrap(), How::Counting(AtomicUsize::new(0)));
    let agent = |tokens| Agent::builder().store(store.clone()).llm(Seeing(script.clone())).context_tokens(tokens);
    let (small, large) = (agent(4_000).build().unwrap(), agent(200_000).build().unwrap());
    let ada = Scope::user("ada").unwrap();
    let conversation = small.start_conversation(&ada).await.unwrap();
    let picture = ContentPart::image("image/png", vec![7; SIZE]);
    for n in 0..16 {
        let message = NewMessage::text(MessageId::make(&SystemClock), Role::User, format!("photo {n} of the launch"));
        store.append_message(&ada, conversation, message.parts(vec![picture.clone()])).await.unwrap();
    }
    let sent = || -> usize { script.last_request().messages.iter().map(|message| message.parts().len()).sum() };

    // What there is room for, and the one that shows that there is no more.
    let reply = small.send(&ada, conversation, "Which photo of the launch?").await.unwrap();
    assert_eq!((sent(), store.read() / SIZE), (2, 3));
    assert_eq!(reply.left_out.map(|left| (left.first, left.last)), Some((1, 14)));

    // 32 MiB of them, whatever there is room for. What was said beside the others is shown.
    let reply = large.send(&ada, conversation, "Which photo of the launch?").await.unwrap();
    assert_eq!((sent(), store.read() / SIZE), (10, 11));
    assert_eq!(reply.left_out, None);
    let text = shown(&script.last_request())[0].clone();
    assert!(text.starts_with("user: photo 0 of the launch\n\n[An attachment was left out"), "{text}");
    assert_eq!(text.matches("[An attachment was left out: there is no room for it.]").count(), 6);
    assert_eq!(reply.degraded, ["images and documents of 6 earlier messages were not shown to the model: no room"]);
}
