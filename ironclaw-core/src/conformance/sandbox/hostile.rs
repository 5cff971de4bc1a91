use serde_json::{Value, json};

use super::{SandboxSubject, Scarce, assert_works, attempt, scope, tool};
use crate::conformance::check::Outcome;
use crate::tool::ToolErrorKind;

/// Tries this, expects one of these errors, and looks whether the sandbox works on.
async fn ends(subject: &SandboxSubject, scarce: Scarce, what: Value, expected: &[ToolErrorKind]) -> Outcome {
    let sandbox = subject.harness.open(scarce).await?;
    for _ in 0..2 {
        match attempt(&*sandbox, what.clone()).await? {
            Err(kind) => assert!(expected.contains(&kind), "{what}: {kind:?} is not among {expected:?}"),
            Ok(output) => panic!("{what} ended well: {}", output.value.to_string().len()),
        }
    }
    assert_works(subject, &*sandbox).await?;
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn every_call_meets_a_fresh_instance(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.harness.open(Scarce::Nothing).await?;
    for _ in 0..3 {
        let output = attempt(&*sandbox, json!({"do": "count"})).await?;
        assert_eq!(output.map(|output| output.value), Ok(json!(1)));
    }
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn time_ends(subject: &SandboxSubject) -> Outcome {
    ends(subject, Scarce::Time, json!({"do": "loop"}), &[ToolErrorKind::Timeout]).await?;
    // Waiting in a call of the host is no way around it.
    ends(subject, Scarce::Time, json!({"do": "sleep", "seconds": 3_600}), &[ToolErrorKind::Timeout]).await
}

pub(super) async fn fuel_ends(subject: &SandboxSubject) -> Outcome {
    ends(subject, Scarce::Fuel, json!({"do": "loop"}), &[ToolErrorKind::OutOfFuel]).await
}

pub(super) async fn memory_ends(subject: &SandboxSubject) -> Outcome {
    ends(subject, Scarce::Nothing, json!({"do": "memory"}), &[ToolErrorKind::OutOfMemory]).await
}

pub(super) async fn recursion_ends(subject: &SandboxSubject) -> Outcome {
    ends(subject, Scarce::Nothing, json!({"do": "recursion"}), &[ToolErrorKind::StackOverflow]).await
}

pub(super) async fn output_ends(subject: &SandboxSubject) -> Outcome {
    let what = json!({"do": "output", "bytes": 32 << 20});
    ends(subject, Scarce::Nothing, what, &[ToolErrorKind::OutputTooLarge]).await
}

pub(super) async fn log_ends(subject: &SandboxSubject) -> Outcome {
    let what = json!({"do": "log", "lines": 1_000_000, "characters": 100});
    ends(subject, Scarce::Nothing, what, &[ToolErrorKind::LogTooLarge]).await
}

pub(super) async fn a_crash_is_told(subject: &SandboxSubject) -> Outcome {
    ends(subject, Scarce::Nothing, json!({"do": "panic"}), &[ToolErrorKind::Trapped]).await?;
    ends(subject, Scarce::Nothing, json!({"do": "exit"}), &[ToolErrorKind::Trapped, ToolErrorKind::Failed]).await
}

pub(super) async fn a_failure_is_told(subject: &SandboxSubject) -> Outcome {
    ends(subject, Scarce::Nothing, json!({"do": "fail", "bytes": 100}), &[ToolErrorKind::Failed]).await?;
    // A tool that fails at length does not fill the caller's log.
    let sandbox = subject.harness.open(Scarce::Nothing).await?;
    let call = tool(&*sandbox, "hostile")?.call(&scope("hostile")?, json!({"do": "fail", "bytes": 8 << 20})).await;
    match call {
        Err(error) => assert!(error.to_string().len() <= 1 << 20, "an error of {} bytes", error.to_string().len()),
        Ok(output) => panic!("a failure is no answer: {output:?}"),
    }
    sandbox.close().await?;
    Ok(())
}

/// Tries this, and expects that nothing of it was given.
async fn denied(subject: &SandboxSubject, what: Value) -> Outcome {
    let sandbox = subject.harness.open(Scarce::Nothing).await?;
    let output = match attempt(&*sandbox, what.clone()).await? {
        Ok(output) => output.value,
        // Refused altogether.
        Err(_) => return Ok(()),
    };
    let Value::Object(tried) = output else { panic!("{what}: {output}") };
    assert!(!tried.is_empty());
    for (which, result) in tried {
        assert!(result.get("error").is_some() && result.get("got").is_none(), "{what}: {which} gave {result}");
    }
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn no_files(subject: &SandboxSubject) -> Outcome {
    let own = std::env::current_exe()?.display().to_string();
    for path in ["/etc/hostname", "/", ".", "..", "/proc/self/environ", "new-file", own.as_str()] {
        denied(subject, json!({"do": "files", "path": path})).await?;
    }
    Ok(())
}

pub(super) async fn no_network(subject: &SandboxSubject) -> Outcome {
    // Somebody listens there, so that only the sandbox can be why nothing is reached.
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    denied(subject, json!({"do": "network", "address": listener.local_addr()?.to_string()})).await?;
    let reached = listener.accept().map_err(|error| error.kind());
    assert_eq!(reached.err(), Some(std::io::ErrorKind::WouldBlock), "the listener was reached");
    Ok(())
}

pub(super) async fn no_environment(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.harness.open(Scarce::Nothing).await?;
    match attempt(&*sandbox, json!({"do": "environment"})).await? {
        Ok(output) => {
            assert_eq!(output.value["variables"], json!([]));
            let arguments = output.value["arguments"].as_array().map(Vec::len);
            assert!(arguments.is_none_or(|count| count == 0), "{}", output.value);
        }
        Err(kind) => assert_eq!(kind, ToolErrorKind::Denied),
    }
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn others_go_on(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.harness.open(Scarce::Time).await?;
    let running = sandbox.clone();
    let spinning = tokio::spawn(async move { attempt(&*running, json!({"do": "loop"})).await });
    for _ in 0..5 {
        assert_works(subject, &*sandbox).await?;
    }
    assert_eq!(spinning.await??.map(drop), Err(ToolErrorKind::Timeout));
    sandbox.close().await?;
    Ok(())
}
