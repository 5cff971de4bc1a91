//! The file of passwords, which the driver passes over without a word if others may read it too.

use std::path::PathBuf;

use ironclaw_core::store::{StoreError, StoreErrorKind};

/// Says so of a URL without a password that the server refused.
pub(super) fn explain(url: &str, error: StoreError) -> StoreError {
    if *error.kind() != StoreErrorKind::Credentials || has_password(url) || std::env::var_os("PGPASSWORD").is_some() {
        return error;
    }
    let Some(path) = exposed() else {
        return error;
    };
    let path = path.display();
    let context = format!("{}; {path} was not read, as others may read it too: chmod 600 {path}", error.context());
    StoreError::new(StoreErrorKind::Credentials, error.operation(), context).with_source(error)
}

fn has_password(url: &str) -> bool {
    let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
    let address = address.split_once("://").map_or(address, |(_, address)| address);
    let is_named = address.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    is_named || parameters.split('&').any(|parameter| parameter.starts_with("password="))
}

/// The first of the files in which a password is looked for that others may read.
#[cfg(target_os = "linux")]
fn exposed() -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;

    let named = std::env::var_os("PGPASSFILE").map(PathBuf::from);
    let usual = std::env::home_dir().map(|home| home.join(".pgpass"));
    let is_exposed = |path: &PathBuf| path.metadata().is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
    named.into_iter().chain(usual).find(is_exposed)
}

/// Elsewhere the driver does not look at who may read it.
#[cfg(not(target_os = "linux"))]
fn exposed() -> Option<PathBuf> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_url_has_a_password() {
        for url in ["postgres://ada:secret@host/db", "postgres://ada@host/db?sslmode=disable&password=secret"] {
            assert!(has_password(url), "{url}");
        }
        for url in ["postgres://ada@host:5432/db", "postgres://host:5432/db", "postgres://ada@[::1]:5432/db?user=a"] {
            assert!(!has_password(url), "{url}");
        }
    }
}
