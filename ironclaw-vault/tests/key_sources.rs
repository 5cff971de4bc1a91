//! Every key source through the trait, without a store.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

use ironclaw_core::SecretValue;
use ironclaw_core::model::secrets::{Algorithm, WrappedKey};
use ironclaw_core::vault::{KeyErrorKind, KeySource, RootKeyBytes};
use ironclaw_vault::{EnvironmentKey, KeyFile, Passphrase, PassphraseCost};

const DIGITS: &str = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";

fn root() -> RootKeyBytes {
    RootKeyBytes::new(&std::array::from_fn(|i| 0xa0 + i as u8))
}

fn cheap(passphrase: &str) -> Passphrase {
    let cost = PassphraseCost::new(8 << 10, 1, 1).unwrap();
    Passphrase::new(SecretValue::from(passphrase)).unwrap().cost(cost)
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

async fn unwrap_kind(source: &dyn KeySource, wrapped: &WrappedKey, associated: &[u8]) -> KeyErrorKind {
    source.unwrap(wrapped, associated).await.unwrap_err().kind().clone()
}

/// What each source must do, and must refuse.
async fn check(source: &dyn KeySource, another: &dyn KeySource) {
    source.create().await.unwrap();
    another.create().await.unwrap();
    let wrapped = source.wrap(&root(), b"place").await.unwrap();
    assert_eq!(source.unwrap(&wrapped, b"place").await.unwrap().expose(), root().expose());
    assert_ne!(source.wrap(&root(), b"place").await.unwrap(), wrapped);

    assert_eq!(unwrap_kind(another, &wrapped, b"place").await, KeyErrorKind::WrongKey);
    assert_eq!(unwrap_kind(source, &wrapped, b"plate").await, KeyErrorKind::WrongKey);
    for change in [
        |w: &mut WrappedKey| w.ciphertext[0] ^= 1,
        |w: &mut WrappedKey| w.ciphertext.truncate(47),
        |w: &mut WrappedKey| w.nonce[0] ^= 1,
        |w: &mut WrappedKey| w.nonce.clear(),
        |w: &mut WrappedKey| *w.parameters.last_mut().unwrap() ^= 1,
        |w: &mut WrappedKey| w.algorithm = Algorithm::XChaCha20Poly1305,
    ] {
        let mut changed = wrapped.clone();
        change(&mut changed);
        assert_eq!(unwrap_kind(source, &changed, b"place").await, KeyErrorKind::WrongKey);
    }
    let mut newer = wrapped.clone();
    newer.format = 2;
    assert_eq!(unwrap_kind(source, &newer, b"place").await, KeyErrorKind::UnsupportedFormat);
    let short = wrapped.parameters(Vec::new());
    assert_eq!(unwrap_kind(source, &short, b"place").await, KeyErrorKind::UnsupportedFormat);
}

#[tokio::test]
async fn key_file() {
    let directory = tempfile::tempdir().unwrap();
    check(&KeyFile::at(directory.path().join("a")), &KeyFile::at(directory.path().join("b"))).await;
}

#[tokio::test]
async fn environment() {
    let another = EnvironmentKey::from_hex(&DIGITS.replace('8', "7")).unwrap();
    check(&EnvironmentKey::from_hex(DIGITS).unwrap(), &another).await;
}

#[tokio::test]
async fn passphrase() {
    check(&cheap("correct horse"), &cheap("battery staple")).await;
}

#[tokio::test]
async fn a_missing_key_file_is_missing_and_none_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.key");
    let file = KeyFile::at(&path);
    let error = file.wrap(&root(), b"place").await.unwrap_err();
    assert_eq!(error.kind(), &KeyErrorKind::Missing);
    assert!(error.to_string().contains("agent.key"), "{error}");
    assert!(!path.exists());
    assert_eq!(KeyFile::at(directory.path().join("no/k")).create().await.unwrap_err().kind(), &KeyErrorKind::Io);
}

#[tokio::test]
async fn a_key_file_is_made_once_and_only_for_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.key");
    KeyFile::at(&path).create().await.unwrap();
    let text = std::fs::read(&path).unwrap();
    KeyFile::at(&path).create().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), text);
    #[cfg(unix)]
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_files_made_at_once_are_one_key() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.key");
        let makers: Vec<_> = (0..8)
            .map(|_| {
                let file = KeyFile::at(&path);
                tokio::spawn(async move {
                    file.create().await.unwrap();
                    file.wrap(&root(), b"place").await.unwrap()
                })
            })
            .collect();
        for maker in makers {
            let wrapped = maker.await.unwrap();
            let unwrapped = KeyFile::at(&path).unwrap(&wrapped, b"place").await.unwrap();
            assert_eq!(unwrapped.expose(), root().expose());
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside the key");
    }
}

#[tokio::test]
async fn what_a_crash_left_behind_is_in_nobodys_way() {
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join(".ironclaw-key-0123456789abcdef.tmp");
    std::fs::write(&left, "ironclaw-key-1:80").unwrap();
    let file = KeyFile::at(directory.path().join("agent.key"));
    file.create().await.unwrap();
    let wrapped = file.wrap(&root(), b"place").await.unwrap();
    assert_eq!(file.unwrap(&wrapped, b"place").await.unwrap().expose(), root().expose());
    assert_eq!(std::fs::read(&left).unwrap(), b"ironclaw-key-1:80");
}

#[tokio::test]
async fn what_is_no_key_file_is_malformed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.key");
    let file = KeyFile::at(&path);
    for text in ["", "hunter2", &DIGITS[1..], &"x".repeat(100_000)] {
        write(&path, text, 0o600);
        let error = file.wrap(&root(), b"").await.unwrap_err();
        assert_eq!(error.kind(), &KeyErrorKind::Malformed);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    write(&path, "ironclaw-key-2:x", 0o600);
    assert_eq!(file.wrap(&root(), b"").await.unwrap_err().kind(), &KeyErrorKind::UnsupportedFormat);
    let error = KeyFile::at(directory.path()).wrap(&root(), b"").await.unwrap_err();
    assert_eq!(error.kind(), &KeyErrorKind::Malformed);
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_file_that_others_can_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.key");
    let file = KeyFile::at(&path);
    let key = format!("ironclaw-key-1:{DIGITS}");
    for mode in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o777] {
        write(&path, &key, mode);
        let error = file.wrap(&root(), b"").await.unwrap_err();
        assert_eq!(error.kind(), &KeyErrorKind::InsecurePermissions, "{mode:o}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    for mode in [0o600, 0o400] {
        write(&path, &key, mode);
        assert!(file.wrap(&root(), b"").await.is_ok(), "{mode:o}");
    }
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = KeyFile::at(&link).wrap(&root(), b"").await.unwrap_err();
    assert_eq!(error.kind(), &KeyErrorKind::InsecurePermissions);
}

#[test]
fn passphrases_and_costs_out_of_bounds_are_refused() {
    for passphrase in [String::new(), "x".repeat((64 << 10) + 1)] {
        let error = Passphrase::new(SecretValue::from(passphrase)).unwrap_err();
        assert_eq!(error.kind(), &KeyErrorKind::Malformed);
    }
    let mib = 1 << 10;
    for (memory, passes, lanes) in
        [(7 * mib, 1, 1), (2048 * mib, 1, 1), (64 * mib, 0, 1), (64 * mib, 17, 1), (64 * mib, 1, 0), (64 * mib, 1, 17)]
    {
        assert_eq!(PassphraseCost::new(memory, passes, lanes).unwrap_err().kind(), &KeyErrorKind::Malformed);
    }
    assert_eq!(PassphraseCost::default(), PassphraseCost::new(64 * mib, 3, 1).unwrap());
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_that_others_put_there_or_may_replace_is_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    const NOBODY: u32 = 65_534;
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("keys");
    std::fs::create_dir(&folder).unwrap();
    let set = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o700);
    let file = KeyFile::at(folder.join("agent.key"));
    file.create().await.unwrap();
    assert_eq!(file.path().metadata().unwrap().nlink(), 1, "the key has one name");
    let wrapped = file.wrap(&root(), b"place").await.unwrap();
    for (mode, is_ours) in [(0o755, true), (0o777, false), (0o1777, true), (0o775, true)] {
        set(mode);
        let opened = file.unwrap(&wrapped, b"place").await.map(drop).map_err(|error| error.kind().clone());
        let expected = if is_ours { Ok(()) } else { Err(KeyErrorKind::InsecurePermissions) };
        assert_eq!(opened, expected, "{mode:o}");
    }
    // Only root can give a file away; without that right the rule is tested by itself.
    set(0o700);
    if chown(file.path(), Some(NOBODY), None).is_ok() {
        assert_eq!(unwrap_kind(&file, &wrapped, b"place").await, KeyErrorKind::InsecurePermissions);
        chown(file.path(), Some(0), None).unwrap();
        chown(&folder, Some(NOBODY), None).unwrap();
        assert_eq!(unwrap_kind(&file, &wrapped, b"place").await, KeyErrorKind::InsecurePermissions);
    }
}

#[tokio::test]
async fn a_hostile_row_can_not_ask_for_more_than_is_accepted() {
    let source = cheap("correct horse");
    let wrapped = source.wrap(&root(), b"place").await.unwrap();
    for (at, value) in [(0, 100 << 20), (0, 0), (4, u32::MAX), (4, 0), (8, u32::MAX), (8, 0)] {
        let mut hostile = wrapped.clone();
        hostile.parameters[at..at + 4].copy_from_slice(&u32::to_be_bytes(value));
        assert_eq!(unwrap_kind(&source, &hostile, b"place").await, KeyErrorKind::UnsupportedFormat, "{at} {value}");
    }
}

#[tokio::test]
async fn the_cost_is_that_of_the_wrapping() {
    let wrapped = cheap("correct horse").wrap(&root(), b"place").await.unwrap();
    let dearer = cheap("correct horse").cost(PassphraseCost::new(9 << 10, 2, 1).unwrap());
    assert!(dearer.unwrap(&wrapped, b"place").await.is_ok());
}

/// Computed by an independent implementation (Python's `cryptography`): what was wrapped once opens for ever.
#[tokio::test]
async fn frozen_vectors() {
    let salt = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";
    let wrapped = |parameters: &str, ciphertext: &str| {
        WrappedKey::new(1, Algorithm::Aes256Gcm, unhex("404142434445464748494a4b"), unhex(ciphertext))
            .parameters(unhex(parameters))
    };
    let place = |kind: &str| {
        let fields = [&b"ironclaw-vault/1/vault"[..], &[1; 16], b"default", &1_u32.to_be_bytes(), kind.as_bytes()];
        fields.iter().flat_map(|f| [&u32::try_from(f.len()).unwrap().to_be_bytes()[..], f].concat()).collect::<Vec<_>>()
    };

    let environment = EnvironmentKey::from_hex(DIGITS).unwrap();
    let row = wrapped(
        salt,
        "583154f622593397dabcc417b6365379b7374e806f3194e99fd845d00c8cd1ec69de73257ba5cbe4fc7c5f069528f13b",
    );
    assert_eq!(environment.unwrap(&row, &place("environment")).await.unwrap().expose(), root().expose());

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.key");
    write(&path, &format!("ironclaw-key-1:{DIGITS}\n"), 0o600);
    let row = wrapped(
        salt,
        "583154f622593397dabcc417b6365379b7374e806f3194e99fd845d00c8cd1ecbe6441afb175e27a3ea30fad7bc88fdd",
    );
    assert_eq!(KeyFile::at(&path).unwrap(&row, &place("key-file")).await.unwrap().expose(), root().expose());

    let row = wrapped(
        &format!("000020000000000200000001606162636465666768696a6b6c6d6e6f{salt}"),
        "2cc0cd91da4d5fb9d904130c8c1c2e65eb6a1d189ed44cc5eec0f46d7607f9871fd60693834f2bc67d18758fb0a2b282",
    );
    let passphrase = cheap("correct horse battery staple");
    assert_eq!(passphrase.unwrap(&row, &place("passphrase")).await.unwrap().expose(), root().expose());
}

#[test]
fn nothing_prints_a_key() {
    let sources = format!("{:?} {:?} {:?}", EnvironmentKey::from_hex(DIGITS), cheap("correct horse"), root());
    for secret in [DIGITS, "correct horse", "80, 81", "128, 129", "160, 161"] {
        assert!(!sources.contains(secret), "{sources}");
    }
}

/// The variable can't be set in this process safely: a child process has it.
#[test]
fn the_variable_is_read() {
    for (value, expected) in [
        (Some(DIGITS), "read: ok"),
        (Some("beef"), "read: malformed key"),
        (Some(""), "read: malformed key"),
        (None, "read: no key"),
    ] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "child_reads_the_variable", "--include-ignored", "--nocapture"]);
        child.env_remove(EnvironmentKey::VARIABLE);
        child.envs(value.map(|value| (EnvironmentKey::VARIABLE, value)));
        let output = String::from_utf8(child.output().unwrap().stdout).unwrap();
        assert!(output.contains(expected), "{value:?}: {output}");
    }
}

#[test]
#[ignore = "run by the_variable_is_read"]
fn child_reads_the_variable() {
    match EnvironmentKey::from_env() {
        Ok(_) => println!("read: ok"),
        Err(error) => println!("read: {}", error.kind()),
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    // Taken away first: a file of mode 0400 can't be written again.
    drop(std::fs::remove_file(path));
    std::fs::write(path, text).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    #[cfg(not(unix))]
    let _ = mode;
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}
