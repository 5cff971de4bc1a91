use serde_json::{Value, json};

use super::{SandboxSubject, Scarce, assert_works, attempt, scope, tool};
use crate::conformance::check::Outcome;
use crate::tool::ToolErrorKind;

/// Tries each of these twice, expects one of its errors, and looks whether the sandbox works on.
async fn ends(subject: &SandboxSubject, scarce: Scarce, attempts: &[(Value, &[ToolErrorKind])]) -> Outcome {
    let sandbox = subject.fresh(scarce).await?;
    for (what, expected) in attempts {
        for _ in 0..2 {
            match attempt(&*sandbox, what.clone()).await? {
                Err(kind) => assert!(expected.contains(&kind), "{what}: {kind:?} is not among {expected:?}"),
                Ok(output) => panic!("{what} ended well, with {} bytes", output.value.to_string().len()),
            }
        }
        assert_works(subject, &*sandbox).await?;
    }
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn every_call_meets_a_fresh_instance(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    for _ in 0..3 {
        let output = attempt(&*sandbox, json!({"do": "count"})).await?;
        assert_eq!(output.map(|output| output.value), Ok(json!(1)));
    }
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn time_ends(subject: &SandboxSubject) -> Outcome {
    let waiting = json!({"do": "sleep", "seconds": 3_600});
    let timeout: &[ToolErrorKind] = &[ToolErrorKind::Timeout];
    // Waiting in a call of the host is no way around it.
    ends(subject, Scarce::Time, &[(json!({"do": "loop"}), timeout), (waiting, timeout)]).await
}

pub(super) async fn fuel_ends(subject: &SandboxSubject) -> Outcome {
    ends(subject, Scarce::Fuel, &[(json!({"do": "loop"}), &[ToolErrorKind::OutOfFuel])]).await
}

pub(super) async fn what_it_takes_ends(subject: &SandboxSubject) -> Outcome {
    let attempts: [(Value, &[ToolErrorKind]); 4] = [
        (json!({"do": "memory"}), &[ToolErrorKind::OutOfMemory]),
        (json!({"do": "recursion"}), &[ToolErrorKind::StackOverflow]),
        (json!({"do": "output", "bytes": 32 << 20}), &[ToolErrorKind::OutputTooLarge]),
        (json!({"do": "log", "lines": 1_000_000, "characters": 100}), &[ToolErrorKind::LogTooLarge]),
    ];
    ends(subject, Scarce::Nothing, &attempts).await
}

pub(super) async fn its_own_end_is_told(subject: &SandboxSubject) -> Outcome {
    let attempts: [(Value, &[ToolErrorKind]); 3] = [
        (json!({"do": "panic"}), &[ToolErrorKind::Trapped]),
        (json!({"do": "exit"}), &[ToolErrorKind::Trapped, ToolErrorKind::Failed]),
        (json!({"do": "fail", "bytes": 100}), &[ToolErrorKind::Failed]),
    ];
    ends(subject, Scarce::Nothing, &attempts).await?;
    // A tool that fails at length does not fill the caller's log.
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    let call = tool(&*sandbox, "hostile")?.call(&scope("hostile")?, json!({"do": "fail", "bytes": 8 << 20})).await;
    match call {
        Err(error) => assert!(error.to_string().len() <= 1 << 20, "an error of {} bytes", error.to_string().len()),
        Ok(output) => panic!("a failure is no answer: {output:?}"),
    }
    sandbox.close().await?;
    Ok(())
}

/// Tries each of these, and expects that nothing of it was given.
async fn denied(subject: &SandboxSubject, attempts: Vec<Value>) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
    for what in attempts {
        let output = match attempt(&*sandbox, what.clone()).await? {
            Ok(output) => output.value,
            Err(kind) => {
                assert_eq!(kind, ToolErrorKind::Denied, "{what}");
                continue;
            }
        };
        let Value::Object(tried) = output else { panic!("{what}: {output}") };
        assert!(!tried.is_empty());
        for (which, result) in tried {
            assert!(result.get("error").is_some() && result.get("got").is_none(), "{what}: {which} gave {result}");
        }
    }
    sandbox.close().await?;
    Ok(())
}

pub(super) async fn no_files(subject: &SandboxSubject) -> Outcome {
    let own = std::env::current_exe()?.display().to_string();
    let paths = ["/etc/hostname", "/", ".", "..", "/proc/self/environ", "new-file", own.as_str()];
    denied(subject, paths.iter().map(|path| json!({"do": "files", "path": path})).collect()).await
}

pub(super) async fn no_network(subject: &SandboxSubject) -> Outcome {
    // Somebody listens there, so that only the sandbox can be why nothing is reached.
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    denied(subject, vec![json!({"do": "network", "address": listener.local_addr()?.to_string()})]).await?;
    let reached = listener.accept().map_err(|error| error.kind());
    assert_eq!(reached.err(), Some(std::io::ErrorKind::WouldBlock), "the listener was reached");
    Ok(())
}

pub(super) async fn no_environment(subject: &SandboxSubject) -> Outcome {
    let sandbox = subject.fresh(Scarce::Nothing).await?;
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
    let sandbox = subject.fresh(Scarce::Time).await?;
    let running = sandbox.clone();
    let spinning = tokio::spawn(async move { attempt(&*running, json!({"do": "loop"})).await });
    for _ in 0..5 {
        assert_works(subject, &*sandbox).await?;
    }
    assert_eq!(spinning.await??.map(drop), Err(ToolErrorKind::Timeout));
    sandbox.close().await?;
    Ok(())
}
