//! From a component's bytes to a program that is ready to run, and its description.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use ironclaw_core::input::{JSON_DEPTH, check_json, check_size, check_text};
use ironclaw_core::sandbox::{SandboxError, SandboxErrorKind};
use ironclaw_core::tool::ToolSpec;
use serde_json::Value;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, Linker};

use crate::call::Program;
use crate::grants::Grants;
use crate::limits::SandboxLimits;
use crate::state::CallState;
use crate::wit::{Described, Description, TOOL};

/// The longest description and the largest schema.
const DESCRIPTION_BYTES: usize = 64 << 10;
/// How every binary of WebAssembly starts, and what follows in a module that is no component.
const MAGIC: &[u8] = b"\0asm";
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Where a component comes from.
#[derive(Debug)]
pub(crate) enum Source {
    Path(PathBuf),
    Bytes(Cow<'static, [u8]>),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Bytes(bytes) => write!(f, "a component of {} bytes", bytes.len()),
        }
    }
}

impl Source {
    /// Reads, compiles and links the component. Takes a while and blocks.
    pub(crate) fn load(
        &self,
        linker: &Linker<CallState>,
        grants: Grants,
        limits: SandboxLimits,
    ) -> Result<Program, SandboxError> {
        grants.check().map_err(|e| self.error(SandboxErrorKind::InvalidConfiguration, format!("grants: {e}")))?;
        let bytes = self.read(limits.component_bytes)?;
        if !bytes.starts_with(MAGIC) {
            let what = if bytes.is_empty() { "it is empty" } else { "it is no WebAssembly" };
            return Err(self.error(SandboxErrorKind::InvalidComponent, what));
        }
        if bytes.starts_with(CORE_MODULE) {
            let what = "it is a core module, not a component; build it for wasm32-wasip2";
            return Err(self.error(SandboxErrorKind::InvalidComponent, what));
        }
        let component = Component::from_binary(linker.engine(), &bytes)
            .map_err(|e| self.error(SandboxErrorKind::InvalidComponent, "").with_source(format!("{e:#}")))?;
        let export = |name| {
            let interface = component.get_export_index(None, TOOL)?;
            component.get_export_index(Some(&interface), name)
        };
        let (Some(describe), Some(call)) = (export("describe"), export("call")) else {
            let what = format!("it does not export {TOOL}; it exports {}", exports(&component));
            return Err(self.error(SandboxErrorKind::UnsupportedInterface, what));
        };
        // The engine's message names what is not linked.
        let instance = linker
            .instantiate_pre(&component)
            .map_err(|e| self.error(SandboxErrorKind::UnsupportedInterface, format!("{e:#}")))?;
        Ok(Program { instance, describe, call, grants, limits, sha256: hex(&Sha256::digest(&bytes)) })
    }

    /// Asks the program what it is, and refuses an answer that no model could be told.
    pub(crate) async fn describe(&self, program: &Program) -> Result<ToolSpec, SandboxError> {
        program
            .probe()
            .await
            .map_err(|e| self.error(SandboxErrorKind::InvalidComponent, "it can't be started").with_source(e))?
            .map_err(|e| self.error(SandboxErrorKind::UnsupportedInterface, format!("{TOOL}: {e:#}")))?;
        let outcome = program.run::<(), Described>(&program.describe, ()).await.map_err(|e| {
            self.error(SandboxErrorKind::InvalidDescription, "it does not describe itself").with_source(e)
        })?;
        spec(outcome.result.0).map_err(|what| self.error(SandboxErrorKind::InvalidDescription, what))
    }

    pub(crate) fn error(&self, kind: SandboxErrorKind, what: impl std::fmt::Display) -> SandboxError {
        let context = match what.to_string() {
            what if what.is_empty() => self.to_string(),
            what => format!("{self}: {what}"),
        };
        SandboxError::new(kind, "build", context)
    }

    /// The bytes; of a file never more than the limit, whatever its size is said to be.
    fn read(&self, limit: usize) -> Result<Cow<'_, [u8]>, SandboxError> {
        let bytes = match self {
            Self::Bytes(bytes) => Cow::Borrowed(bytes.as_ref()),
            Self::Path(path) => {
                let unreadable = |e: std::io::Error| self.error(SandboxErrorKind::Unreadable, "").with_source(e);
                let mut bytes = Vec::new();
                let file = File::open(path).map_err(unreadable)?;
                file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
                Cow::Owned(bytes)
            }
        };
        if bytes.len() > limit {
            let what = format!("component_bytes: more than the limit of {limit} bytes");
            return Err(self.error(SandboxErrorKind::TooLarge, what));
        }
        Ok(bytes)
    }
}

/// The names of what a component exports.
fn exports(component: &Component) -> String {
    let names: Vec<_> =
        component.component_type().exports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn spec(description: Description) -> Result<ToolSpec, String> {
    let Description { name, description, parameters_schema, result_schema } = description;
    let is_known = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || name.len() > ToolSpec::NAME_BYTES || !name.bytes().all(is_known) {
        return Err(format!("name: expected 1 to {} of a-z A-Z 0-9 _ -", ToolSpec::NAME_BYTES));
    }
    if description.trim().is_empty() {
        return Err("description: must not be empty".to_owned());
    }
    check_text("description", &description, DESCRIPTION_BYTES).map_err(|e| e.to_string())?;
    let parameters = schema("parameters-schema", &parameters_schema)?;
    if parameters.get("type") != Some(&Value::from("object")) {
        return Err("parameters-schema: expected a JSON Schema with \"type\": \"object\"".to_owned());
    }
    let result = result_schema.map(|text| schema("result-schema", &text)).transpose()?;
    let name = name.parse().map_err(|e: ironclaw_core::InputError| e.to_string())?;
    Ok(ToolSpec::new(name, description, parameters).result(result))
}

/// A JSON Schema that is an object; what is in it is the model's to understand.
fn schema(field: &'static str, text: &str) -> Result<Value, String> {
    check_size(field, text.len(), DESCRIPTION_BYTES, "bytes").map_err(|e| e.to_string())?;
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => {
            check_json(field, &value, DESCRIPTION_BYTES, JSON_DEPTH).map_err(|e| e.to_string())?;
            Ok(value)
        }
        Ok(_) => Err(format!("{field}: expected a JSON object")),
        Err(error) => Err(format!("{field}: {error}")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
