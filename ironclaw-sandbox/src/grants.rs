//! What one tool is given beyond nothing.

use std::path::PathBuf;

use ironclaw_core::input::{InputError, Problem, check_name, check_text};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// What one tool is given. The defaults are all closed:
///
/// - **files**: none; [`read_dir`](Self::read_dir) gives one directory, to read
/// - **environment**: empty; [`env`](Self::env) gives one variable
/// - **clock**: stands at 1970-01-01T00:00:00Z; [`clock`](Self::clock) gives the host's
/// - **randomness**: the same numbers in every call; [`random`](Self::random) gives the host's
/// - **network, standard input, arguments, working directory**: none, and no grant for them
///
/// Without randomness, two calls that do the same do it in the same order. The price is that whoever knows a tool can
/// prepare keys that collide in its hash maps, which the call's own limits of fuel and time answer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Grants {
    clock: bool,
    random: bool,
    env: Vec<(String, String)>,
    dirs: Vec<(PathBuf, String)>,
}

impl Grants {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// The host's wall clock and monotonic clock.
    #[must_use]
    pub fn clock(mut self) -> Self {
        self.clock = true;
        self
    }

    /// The operating system's randomness.
    #[must_use]
    pub fn random(mut self) -> Self {
        self.random = true;
        self
    }

    /// One environment variable. No place for a secret: the tool can put it into its answer.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// The files and directories under `host_path`, to read, seen by the tool under `guest_path` (absolute, such as
    /// `/data`). Neither `..` nor a symbolic link leads out of it.
    #[must_use]
    pub fn read_dir(mut self, host_path: impl Into<PathBuf>, guest_path: impl Into<String>) -> Self {
        self.dirs.push((host_path.into(), guest_path.into()));
        self
    }

    /// Whether the host's clock is given.
    pub(crate) fn has_clock(&self) -> bool {
        self.clock
    }

    /// Whether the host's randomness is given.
    pub(crate) fn has_random(&self) -> bool {
        self.random
    }

    /// Refuses what can't be granted. Looks at the disk.
    pub(crate) fn check(&self) -> Result<(), InputError> {
        for (key, value) in &self.env {
            check_name("env key", key, 256)?;
            if key.contains('=') {
                return Err(InputError::new("env key", Problem::Malformed { expected: "a name without `=`" }));
            }
            check_text("env value", value, 64 << 10)?;
        }
        for (host_path, guest_path) in &self.dirs {
            check_name("guest path", guest_path, 4 << 10)?;
            if !guest_path.starts_with('/') {
                return Err(InputError::new("guest path", Problem::Malformed { expected: "an absolute path" }));
            }
            if !host_path.is_dir() {
                return Err(InputError::new("host path", Problem::Malformed { expected: "an existing directory" }));
            }
        }
        Ok(())
    }

    /// Adds the variables and directories to a call's context. Opens the directories.
    pub(crate) fn apply(&self, wasi: &mut WasiCtxBuilder) -> wasmtime::Result<()> {
        for (key, value) in &self.env {
            wasi.env(key, value);
        }
        for (host_path, guest_path) in &self.dirs {
            wasi.preopened_dir(host_path, guest_path, FsPerms::ReadOnly)?;
        }
        Ok(())
    }
}

/// Shows the variables' names, not their values.
impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grants")
            .field("clock", &self.clock)
            .field("random", &self.random)
            .field("env", &self.env.iter().map(|(key, _)| key).collect::<Vec<_>>())
            .field("dirs", &self.dirs)
            .finish()
    }
}
