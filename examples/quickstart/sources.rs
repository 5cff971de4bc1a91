//! Which folders the workspace mirrors: each has a name, the first part of its files' paths in the workspace.

use std::path::{Path, PathBuf};

use ironclaw_core::id::SettingKey;
use ironclaw_core::model::workspace::WorkspacePath;
use ironclaw_core::{Scope, Store, StoreExt};
use ironclaw_store::LibsqlStore;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;

/// The mirrored folders, kept as a setting of the user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sources {
    pub(crate) folders: Vec<Source>,
}

/// A folder, or one file of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// The first part of its files' paths in the workspace.
    pub(crate) name: String,
    /// What was named on the command line, made absolute.
    pub(crate) path: PathBuf,
    /// Whether nobody named it: the default documents.
    pub(crate) default: bool,
    /// Whether hidden files are read as well, and those that a `.gitignore` or `.ignore` names.
    #[serde(default)]
    pub(crate) hidden: bool,
    #[serde(default)]
    pub(crate) ignored: bool,
}

impl Source {
    /// The folder that paths are relative to.
    pub(crate) fn root(&self) -> &Path {
        match self.path.is_dir() {
            true => &self.path,
            false => self.path.parent().unwrap_or(&self.path),
        }
    }

    /// What its files in the workspace are marked with: others below its name are the agent's own.
    pub(crate) fn mark(&self) -> Value {
        json!({ "source": self.path.to_string_lossy() })
    }
}

impl Sources {
    fn key() -> Result<SettingKey, Failure> {
        Ok(SettingKey::parse("quickstart.sources")?)
    }

    /// The folders of earlier runs.
    pub(crate) async fn load(store: &LibsqlStore, scope: &Scope) -> Result<Self, Failure> {
        match store.settings().setting(scope, &Self::key()?).await? {
            Some(setting) => Ok(serde_json::from_value(setting.value)?),
            None => Ok(Self::default()),
        }
    }

    pub(crate) async fn save(&self, store: &LibsqlStore, scope: &Scope) -> Result<(), Failure> {
        store.put_setting(scope, Self::key()?, serde_json::to_value(self)?).await?;
        Ok(())
    }

    /// Adds the documents that are read when nobody names any.
    pub(crate) fn add_default(&mut self, path: &Path) -> Result<(), Failure> {
        self.add(path, true, false, false)
    }

    /// Adds a folder or file under a name of its own; one that is there already keeps its name. What is left out of it is
    /// as it is asked for now.
    pub(crate) fn add_named(&mut self, path: &Path, hidden: bool, ignored: bool) -> Result<(), Failure> {
        self.add(path, false, hidden, ignored)
    }

    fn add(&mut self, path: &Path, default: bool, hidden: bool, ignored: bool) -> Result<(), Failure> {
        let path = std::path::absolute(path)?;
        if !path.exists() {
            return Err(Failure::new(format!("{}: no such file or folder", path.display())));
        }
        let path = path.canonicalize()?;
        if let Some(known) = self.folders.iter_mut().find(|source| source.path == path) {
            // Naming the default documents makes them the user's own choice.
            known.default &= default;
            (known.hidden, known.ignored) = (hidden, ignored);
            return Ok(());
        }
        let mut source = Source { name: String::new(), path, default, hidden, ignored };
        let base = source.root().file_name().map_or_else(|| "files".into(), |name| name.to_string_lossy());
        let base = match WorkspacePath::parse(base.as_ref()) {
            Ok(_) => base.into_owned(),
            Err(_) => "files".to_owned(),
        };
        source.name = (1..)
            .map(|n| if n == 1 { base.clone() } else { format!("{base}-{n}") })
            .find(|name| self.folders.iter().all(|other| &other.name != name))
            .unwrap_or(base);
        self.folders.push(source);
        Ok(())
    }

    /// Takes the default documents out and gives them back, to be deleted from the workspace.
    pub(crate) fn take_default(&mut self) -> Vec<Source> {
        let (default, named) = std::mem::take(&mut self.folders).into_iter().partition(|source| source.default);
        self.folders = named;
        default
    }
}

/// A workspace path relative to its folder, as the user knows it.
pub(crate) fn relative(path: &WorkspacePath) -> &str {
    path.as_str().split_once('/').map_or(path.as_str(), |(_, rest)| rest)
}
