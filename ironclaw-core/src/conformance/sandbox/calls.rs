use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{SandboxSubject, Scarce, assert_works, scope, tool};
use crate::conformance::check::{Failure, Outcome, Present, at_once};
use crate::conformance::text::{HOSTILE, hostile_json};
use crate::tool::ToolErrorKind;

pub(super) async fn tools_are_described(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    let tools = sandbox.tools();
    let names: BTreeSet<_> = tools.iter().map(|tool| tool.spec().name.clone()).collect();
    assert_eq!(names.len(), tools.len(), "two tools have one name");
    for tool in &tools {
        let spec = tool.spec();
        let name = spec.name.as_str();
        let fits = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        assert!(fits, "{name:?} is no name for a model");
        assert!(!spec.description.is_empty());
        assert_eq!(spec.parameters["type"], json!("object"));
    }
    assert!(names.iter().any(|name| name.as_str() == subject.harness.example().tool));
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn an_example_is_answered(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    for _ in 0..3 {
        assert_works(subject, &*sandbox).await?;
    }
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn refused_arguments(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    let example = subject.harness.example();
    let refused = tool(&*sandbox, example.tool)?.call(&scope(example.tool)?, example.refused).await;
    let kind = refused.map_err(|error| error.kind().clone());
    assert!(matches!(kind, Err(ToolErrorKind::InvalidArguments | ToolErrorKind::Failed)), "{kind:?}");
    assert_works(subject, &*sandbox).await?;
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn what_is_no_object_is_refused(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    let example = subject.harness.example();
    for arguments in [Value::Null, json!([]), json!("text"), json!(1)] {
        let refused = tool(&*sandbox, example.tool)?.call(&scope(example.tool)?, arguments).await;
        let kind = refused.map_err(|error| error.kind().clone());
        assert_eq!(kind, Err(ToolErrorKind::InvalidArguments));
    }
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn usage_is_told(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    let example = subject.harness.example();
    let output = tool(&*sandbox, example.tool)?.call(&scope(example.tool)?, example.arguments).await?;
    let usage = output.usage.present()?;
    assert_eq!(usage.component.len(), 64);
    assert!(usage.component.bytes().all(|b| b.is_ascii_hexdigit()));
    assert!(usage.fuel > 0 && usage.duration_us > 0, "{usage:?}");
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn many_at_once(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    let example = subject.harness.example();
    let results = at_once(16, |_| {
        let (sandbox, example) = (sandbox.clone(), example.clone());
        async move {
            let called = tool(&*sandbox, example.tool)?;
            match called.call(&scope(example.tool)?, example.arguments).await {
                Ok(output) => assert_eq!(output.value, example.answer),
                // It may be too many at once; anything else is a failure.
                Err(error) => assert_eq!(*error.kind(), ToolErrorKind::Busy, "{error}"),
            }
            Ok::<_, Failure>(())
        }
    })
    .await?;
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    assert_works(subject, &*sandbox).await?;
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn any_text_in_arguments(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    let example = subject.harness.example();
    let called = tool(&*sandbox, example.tool)?;
    let mut many: Vec<Value> = HOSTILE.iter().map(|text| json!({ (*text): text })).collect();
    many.extend([hostile_json("arguments"), json!({"a\0b": "\0"}), json!({"x": "y".repeat(1 << 20)})]);
    let deep = (0..100).fold(json!(0), |inner, _| json!({ "a": inner }));
    many.push(deep);
    for arguments in many {
        // An answer or a refusal, never a crash.
        if let Err(error) = called.call(&scope(example.tool)?, arguments).await {
            let kind = error.kind();
            assert!(matches!(kind, ToolErrorKind::InvalidArguments | ToolErrorKind::Failed), "{error}");
        }
    }
    assert_works(subject, &*sandbox).await?;
    sandbox.close().await?;
    Ok(())
}
