use ironclaw_core::ExtractiveLlm;
use ironclaw_core::llm::LlmMessage;
use ironclaw_core::model::jobs::ToolOutcome;
use ironclaw_core::tool::{FnTool, Tool, ToolError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{Script, Step, World};

#[derive(Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct WeatherArgs {
    /// The city, in English.
    city: String,
    days: Option<u8>,
}

async fn weather(args: WeatherArgs, scope: ironclaw_core::Scope) -> Result<Value, ToolError> {
    match args.city.as_str() {
        "Graz" => Ok(json!({"celsius": 21, "days": args.days, "for": scope.person().as_str()})),
        _ => Err(ToolError::failed("no such city is known")),
    }
}

fn tool() -> FnTool {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    FnTool::with_schema("weather", "The weather of a city.", schema, weather).unwrap()
}

#[tokio::test]
async fn a_function_is_called_and_answers() {
    let world = World::with(ExtractiveLlm::new(), |builder| builder.tool(tool())).await;
    let reply = world.send("/weather {\"city\": \"Graz\"}").await.unwrap();
    let outcome = &reply.tool_calls[0].outcome;
    assert_eq!(outcome, &ToolOutcome::Success(json!({"celsius": 21, "days": null, "for": "ada"})));
}

#[tokio::test]
async fn a_text_is_shown_as_it_is() {
    let greet = |_: Value, scope: ironclaw_core::Scope| async move { Ok(format!("Hello, {}!", scope.person())) };
    let greet = FnTool::with_schema("greet", "Greets.", json!({"type": "object"}), greet).unwrap();
    let script = Script::new([Step::Call(vec![("greet", json!({}))]), Step::Say("Done.")]);
    let world = World::with(script.clone(), |builder| builder.tool(greet)).await;
    world.send("greet me").await.unwrap();
    let last = script.last_request().messages.pop().unwrap();
    assert!(matches!(&last, LlmMessage::Tool { content, .. } if content == "Hello, ada!"), "{last:?}");
}

#[tokio::test]
async fn what_does_not_fit_and_what_fails_goes_back_to_the_model() {
    for (arguments, code, said) in [
        (json!({}), "invalid_arguments", "missing field `city`; see the tool's schema"),
        (json!({"city": "Graz", "days": "all"}), "invalid_arguments", "`days`: expected u8"),
        (json!({"city": "Atlantis"}), "failed", "no such city is known"),
    ] {
        let script = Script::new([Step::Call(vec![("weather", arguments)]), Step::Say("I see.")]);
        let world = World::with(script.clone(), |builder| builder.tool(tool())).await;
        let reply = world.send("how is it?").await.unwrap();
        let outcome = &reply.tool_calls[0].outcome;
        assert!(matches!(outcome, ToolOutcome::Failure { code: found, .. } if found == code), "{outcome:?}");
        let last = script.last_request().messages.pop().unwrap();
        assert!(
            matches!(&last, LlmMessage::Tool { is_error: true, content, .. } if content.contains(said)),
            "{last:?}"
        );
    }
}

#[tokio::test]
async fn a_function_without_arguments_is_called() {
    let now = |(), _| async move { Ok("noon") };
    let now = FnTool::with_schema("now", "The time.", json!({"type": "object"}), now).unwrap();
    let script = Script::new([Step::Call(vec![("now", json!({}))]), Step::Say("done")]);
    let world = World::with(script.clone(), |builder| builder.tool(now)).await;
    world.send("When?").await.unwrap();
    assert_eq!(script.last_request().messages.last().unwrap().text(), "noon");
}

#[cfg(feature = "schemars")]
#[test]
fn the_schema_is_that_of_the_type() {
    let tool = FnTool::new("weather", "The weather of a city.", weather).unwrap();
    let expected = json!({
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city, in English."},
            "days": {"type": ["integer", "null"], "format": "uint8", "minimum": 0, "maximum": 255},
        },
        "required": ["city"],
    });
    assert_eq!(tool.spec().parameters, expected);

    let nothing = FnTool::new("now", "The time.", |(), _| async move { Ok("noon") }).unwrap();
    assert_eq!(nothing.spec().parameters, json!({"type": "object"}));

    let number = FnTool::new("number", "A number.", |n: u8, _| async move { Ok(n) }).unwrap_err();
    assert_eq!(number.field(), "tool parameters");
}

#[test]
fn what_no_model_takes_is_refused_when_it_is_made() {
    let make = |name: &str, description: &str, schema: Value| {
        FnTool::with_schema(name, description, schema, weather).map(drop).map_err(|error| error.field())
    };
    let object = json!({"type": "object"});
    assert_eq!(make("weather", "Weather.", object.clone()), Ok(()));
    for name in ["", "the weather", &"w".repeat(65)] {
        assert_eq!(make(name, "Weather.", object.clone()), Err("tool"), "{name:?}");
    }
    assert_eq!(make("weather", " ", object.clone()), Err("tool description"));
    assert_eq!(make("weather", "a\0b", object), Err("tool description"));
    assert_eq!(make("weather", "Weather.", json!({"type": "string"})), Err("tool parameters"));
}
