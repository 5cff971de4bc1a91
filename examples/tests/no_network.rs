//! The quickstart, with no model configured, opens no internet socket: the kernel would kill it if it did.

#![allow(clippy::unwrap_used, reason = "tests")]

#[cfg(target_os = "linux")]
#[path = "support/command.rs"]
mod command;

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the seccomp filter that proves this exists on Linux only: ignored");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::path::Path;
    use std::process::{Command, Output};

    use libtest_mimic::{Arguments, Failed, Trial};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };

    /// What this binary does when it is run again under the filter.
    const CHILD: &str = "IRONCLAW_TEST_CHILD";

    pub(super) fn main() {
        match std::env::var(CHILD).as_deref() {
            Ok("connect") => {
                forbid_internet_sockets();
                let _ = std::net::TcpStream::connect("127.0.0.1:9");
            }
            Ok(data) => {
                forbid_internet_sockets();
                let mut quickstart = crate::command::quickstart();
                quickstart.arg("--data").arg(Path::new(data).join("data")).args(std::env::args().skip(1));
                panic!("{}", quickstart.exec());
            }
            Err(_) => {
                let trials = vec![
                    Trial::test("the_quickstart_opens_no_internet_socket", the_quickstart_opens_none),
                    Trial::test("the_filter_kills_who_does", the_filter_kills_who_does),
                ];
                libtest_mimic::run(&Arguments::from_args(), trials).exit();
            }
        }
    }

    fn the_quickstart_opens_none() -> Result<(), Failed> {
        let data = tempfile::tempdir().unwrap();
        let question = "How are secrets encrypted?";
        for (arguments, expected) in [
            (&[][..], "Sources:"),
            (&["--ask", question][..], "Sources:"),
            (&["--history"][..], question),
            (&["--forget"][..], ""),
        ] {
            let output = under_the_filter(data.path().to_str().unwrap(), arguments);
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{:?}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
            assert!(text.contains(expected), "{arguments:?}: {text}");
        }
        Ok(())
    }

    fn the_filter_kills_who_does() -> Result<(), Failed> {
        let output = under_the_filter("connect", &[]);
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
        Ok(())
    }

    fn under_the_filter(child: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        crate::command::clear(&mut command);
        command.env(CHILD, child).args(arguments).output().unwrap()
    }

    /// Kills the process when it asks for an internet socket; what it starts inherits the filter.
    fn forbid_internet_sockets() {
        let family = |family: i32| {
            let family = u64::from(family.unsigned_abs());
            let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family).unwrap();
            SeccompRule::new(vec![condition]).unwrap()
        };
        let filter = SeccompFilter::new(
            [(libc::SYS_socket, vec![family(libc::AF_INET), family(libc::AF_INET6)])].into(),
            SeccompAction::Allow,
            SeccompAction::KillProcess,
            std::env::consts::ARCH.try_into().unwrap(),
        )
        .unwrap();
        let program: BpfProgram = filter.try_into().unwrap();
        seccompiler::apply_filter_all_threads(&program).unwrap();
    }
}
