//! The tools as a model calls them.

use std::sync::Arc;

use ironclaw_core::id::{HoldId, OperatorName, TenantId, UserId};
use ironclaw_core::maintenance::SystemChange;
use ironclaw_core::model::access::UserStatus;
use ironclaw_core::model::privacy::Hold;
use ironclaw_core::tool::{ToolError, ToolErrorKind};
use ironclaw_core::{Clock, Maintenance, Memory, Scope, Store, SystemClock, Tool};
use ironclaw_memory::{HashEmbedder, HybridMemory};
use ironclaw_store::LibsqlStore;
use serde_json::{Value, json};

use crate::common::{ada, bob, hybrid, path};

fn tool(memory: &HybridMemory, name: &str) -> Arc<dyn Tool> {
    memory.tools().into_iter().find(|tool| tool.spec().name.as_str() == name).unwrap()
}

async fn call_as(scope: &Scope, memory: &HybridMemory, name: &str, arguments: Value) -> Result<Value, ToolError> {
    tool(memory, name).call(scope, arguments).await.map(|output| output.value)
}

async fn call(memory: &HybridMemory, name: &str, arguments: Value) -> Value {
    call_as(&ada(), memory, name, arguments).await.unwrap()
}

#[tokio::test]
async fn an_agent_writes_finds_lists_and_reads() {
    let memory = hybrid().await;
    let text = "We launch in March, from the harbour.";
    let written = call(&memory, "memory_write", json!({"path": "notes/launch.md", "content": text})).await;
    assert_eq!(written, json!({"path": "notes/launch.md", "size": text.len(), "changed": true}));
    let again = call(&memory, "memory_write", json!({"path": "notes/launch.md", "content": text})).await;
    assert_eq!(again["changed"], false);

    let found = call(&memory, "memory_search", json!({"query": "When do we launch?", "limit": 3})).await;
    let best = &found["passages"][0];
    assert_eq!((best["path"].as_str(), best["text"].as_str()), (Some("notes/launch.md"), Some(text)));
    assert_eq!(found.get("degraded"), None);

    let listed = call(&memory, "memory_list", json!({"prefix": "notes"})).await;
    assert_eq!(listed["files"][0]["path"], "notes/launch.md");
    assert_eq!(listed["files"].as_array().unwrap().len(), 1);

    let read = call(&memory, "memory_read", json!({"path": "notes/launch.md"})).await;
    assert_eq!(read, json!({"path": "notes/launch.md", "size": text.len(), "offset": 0, "text": text}));

    let other = call_as(&bob(), &memory, "memory_read", json!({"path": "notes/launch.md"})).await.unwrap_err();
    assert_eq!(other.kind(), &ToolErrorKind::Failed);
}

#[tokio::test]
async fn a_long_text_is_read_in_bounded_pieces() {
    let memory = hybrid().await;
    let text = "漢字とかな👩‍👩‍👧 and more. ".repeat(2_000);
    memory.write(&ada(), &path("long.txt"), text.as_bytes(), Value::Null).await.unwrap();
    let (mut all, mut offset) = (String::new(), Some(0));
    while let Some(at) = offset {
        let page = call(&memory, "memory_read", json!({"path": "long.txt", "offset": at, "max_bytes": 1_000})).await;
        assert_eq!(page["offset"], at);
        let piece = page["text"].as_str().unwrap();
        assert!(piece.len() <= 1_000 && !piece.is_empty());
        all.push_str(piece);
        offset = page.get("next_offset").map(|next| next.as_u64().unwrap());
    }
    assert_eq!(all, text);
    let inside = call(&memory, "memory_read", json!({"path": "long.txt", "offset": 1})).await;
    assert_eq!(inside["offset"], 3, "moved to the next character");
    let beyond = call(&memory, "memory_read", json!({"path": "long.txt", "offset": 10_000_000})).await;
    assert_eq!((beyond["text"].as_str(), beyond.get("next_offset")), (Some(""), None));
}

#[tokio::test]
async fn bytes_are_said_to_be_no_text() {
    let memory = hybrid().await;
    memory.write(&ada(), &path("p.png"), b"\x89PNG\xff\xfe", Value::Null).await.unwrap();
    let read = call(&memory, "memory_read", json!({"path": "p.png"})).await;
    assert_eq!((read["binary"].as_bool(), read.get("text")), (Some(true), None));
}

#[tokio::test]
async fn writing_keeps_what_the_host_attached() {
    let memory = hybrid().await;
    memory.write(&ada(), &path("a.txt"), b"one", json!({"tag": "x"})).await.unwrap();
    call(&memory, "memory_write", json!({"path": "a.txt", "content": "two"})).await;
    assert_eq!(memory.entry(&ada(), &path("a.txt")).await.unwrap().unwrap().metadata, json!({"tag": "x"}));
}

#[tokio::test]
async fn listings_go_on_with_a_cursor() {
    let memory = hybrid().await;
    for n in 0..5 {
        memory.write(&ada(), &path(&format!("{n}.txt")), b"x", Value::Null).await.unwrap();
    }
    let first = call(&memory, "memory_list", json!({"limit": 3})).await;
    assert_eq!(first["files"].as_array().unwrap().len(), 3);
    let rest = call(&memory, "memory_list", json!({"limit": 3, "cursor": first["next_cursor"]})).await;
    assert_eq!(rest["files"].as_array().unwrap().len(), 2);
    assert_eq!(rest.get("next_cursor"), None);
}

#[tokio::test]
async fn wrong_arguments_are_refused_by_name() {
    let memory = hybrid().await;
    let cases = [
        ("memory_search", json!({}), "`query` is missing"),
        ("memory_search", json!({"query": 1}), "`query` must be a string"),
        ("memory_search", json!({"query": " "}), "query: must not be empty"),
        ("memory_search", json!({"query": "private words", "limit": 21}), "`limit` must be"),
        ("memory_search", json!({"query": "private words", "limit": -1}), "`limit` must be"),
        ("memory_search", json!({"query": "private words", "filter": "x"}), "not known"),
        ("memory_search", json!("private words"), "must be an object"),
        ("memory_read", json!({"path": "../private"}), "`path` is no path"),
        ("memory_read", json!({"path": "/etc/private"}), "`path` is no path"),
        ("memory_read", json!({"path": "a", "offset": 1.5}), "`offset` must be"),
        ("memory_write", json!({"path": "a"}), "`content` is missing"),
        ("memory_write", json!({"path": "a", "content": "private".repeat(200_000)}), "`content` must have"),
        ("memory_list", json!({"cursor": 7}), "`cursor` must be"),
    ];
    for (name, arguments, expected) in cases {
        let error = call_as(&ada(), &memory, name, arguments).await.unwrap_err();
        assert_eq!(error.kind(), &ToolErrorKind::InvalidArguments, "{name}: {error}");
        assert!(error.to_string().contains(expected), "{name}: {error}");
        assert!(!error.to_string().contains("private"), "{name}: {error}");
    }
    assert_eq!(memory.entry(&ada(), &path("a")).await.unwrap(), None);
}

#[tokio::test]
async fn schemas_state_what_is_taken() {
    let tools = hybrid().await.tools();
    let names: Vec<&str> = tools.iter().map(|tool| tool.spec().name.as_str()).collect();
    assert_eq!(names, ["memory_search", "memory_read", "memory_write", "memory_list"]);
    for tool in &tools {
        let parameters = &tool.spec().parameters;
        assert_eq!(parameters["type"], "object");
        assert_eq!(parameters["additionalProperties"], false);
        for required in parameters["required"].as_array().unwrap() {
            assert!(parameters["properties"].get(required.as_str().unwrap()).is_some());
        }
        assert!(tool.spec().description.len() > 100);
    }
}

#[tokio::test]
async fn what_a_search_cuts_or_leaves_out_is_said() {
    let mut options = ironclaw_memory::Options::default();
    options.chunk_bytes = 8_000;
    let memory = hybrid().await.with_options(options).unwrap();
    memory.write(&ada(), &path("a.txt"), "The harbour is old. ".repeat(300).as_bytes(), Value::Null).await.unwrap();
    let words: Vec<String> = (0..40).map(|n| format!("word{n}")).collect();
    let query = format!("harbour {}", words.join(" "));
    let found = call(&memory, "memory_search", json!({"query": query})).await;
    let said: Vec<&str> = found["degraded"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("left out: word31") && said[1].contains("only the first 4096 bytes"), "{said:?}");
}

#[tokio::test]
async fn what_the_store_refuses_is_no_outage() {
    let store = LibsqlStore::in_memory().await.unwrap();
    let memory = HybridMemory::new(store.clone(), HashEmbedder::default());
    let write = async |text: &str| {
        call_as(&ada(), &memory, "memory_write", json!({"path": "a.md", "content": text})).await.map_err(|error| {
            assert!(!error.to_string().contains("court"), "{error}");
            (error.kind().clone(), error.context().to_owned())
        })
    };
    write("One.").await.unwrap();
    let operator = store.maintenance(OperatorName::parse("root").unwrap());
    let (id, tenant, owner) = (HoldId::make(&SystemClock), TenantId::default_tenant(), UserId::parse("ada").unwrap());
    let hold = Hold::new(id, tenant.clone(), owner.clone(), "court", SystemClock.now());
    operator.apply_system(SystemChange::PlaceHold { hold }).await.unwrap();
    let (kind, said) = write("Two.").await.unwrap_err();
    assert_eq!(kind, ToolErrorKind::Denied);
    assert!(said.contains("legal hold"), "{said}");

    let suspended = SystemChange::PutUser { tenant, owner, status: UserStatus::Suspended, roles: Vec::new() };
    operator.apply_system(suspended).await.unwrap();
    let (kind, said) = write("Two.").await.unwrap_err();
    assert_eq!(kind, ToolErrorKind::Denied);
    assert!(said.contains("suspended"), "{said}");

    store.close().await.unwrap();
    let (kind, said) = write("Two.").await.unwrap_err();
    assert_eq!(kind, ToolErrorKind::Failed);
    assert!(said.contains("closed"), "{said}");
}
