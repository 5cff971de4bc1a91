//! Building a sandbox: limits, components, grants.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use ironclaw_core::sandbox::{SandboxError, SandboxErrorKind};

use crate::component::Source;
use crate::gate::Gate;
use crate::grants::Grants;
use crate::limits::SandboxLimits;
use crate::sandbox::WasmSandbox;
use crate::shared::{GuestThreads, Shared};
use crate::ticker::Ticker;
use crate::tool::WasmTool;
use crate::{engine, wit};

/// Builds a [`WasmSandbox`]. Its defaults are closed: no tools, [`SandboxLimits::default`], and each tool with exactly
/// the [`Grants`] it is added with.
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct SandboxBuilder {
    limits: SandboxLimits,
    tools: Vec<(Source, Grants)>,
}

impl SandboxBuilder {
    /// What each component and call may take.
    pub fn limits(mut self, limits: SandboxLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds the component in this file, with these grants.
    pub fn tool(mut self, path: impl Into<PathBuf>, grants: Grants) -> Self {
        self.tools.push((Source::Path(path.into()), grants));
        self
    }

    /// Adds the component with these bytes, with these grants.
    pub fn tool_bytes(mut self, bytes: impl Into<Cow<'static, [u8]>>, grants: Grants) -> Self {
        self.tools.push((Source::Bytes(bytes.into()), grants));
        self
    }

    /// Reads, compiles and starts every component once, to ask what it is. All of it happens on threads of the
    /// sandbox's own; dropping the future stops after the component that is being compiled.
    ///
    /// # Errors
    /// The first thing that is wrong: [`InvalidConfiguration`](SandboxErrorKind::InvalidConfiguration) for a limit or
    /// grant, [`Unreadable`](SandboxErrorKind::Unreadable), [`TooLarge`](SandboxErrorKind::TooLarge),
    /// [`InvalidComponent`](SandboxErrorKind::InvalidComponent),
    /// [`UnsupportedInterface`](SandboxErrorKind::UnsupportedInterface),
    /// [`InvalidDescription`](SandboxErrorKind::InvalidDescription) or
    /// [`DuplicateTool`](SandboxErrorKind::DuplicateTool) for a component, [`Engine`](SandboxErrorKind::Engine) when
    /// the host lacks threads or address space.
    pub async fn build(self) -> Result<WasmSandbox, SandboxError> {
        self.limits.check()?;
        let threads = GuestThreads::start().map_err(|e| engine_failure("no threads").with_source(e))?;
        let limits = self.limits.clone();
        let (linker, ticker) = threads
            .spawn_blocking(move || {
                let engine = engine::start(&limits)
                    .map_err(|e| engine_failure("the engine does not start").with_source(format!("{e:#}")))?;
                let linker = wit::linker(&engine)
                    .map_err(|e| engine_failure("the interfaces can't be linked").with_source(format!("{e:#}")))?;
                let ticker = Ticker::start(&engine).map_err(|e| engine_failure("no thread").with_source(e))?;
                Ok::<_, SandboxError>((linker, ticker))
            })
            .await
            .map_err(|e| engine_failure("starting the engine").with_source(e))??;
        let gate = Arc::new(Gate::new(&self.limits));
        let shared = Arc::new(Shared { gate, ticker, threads });
        let linker = Arc::new(linker);
        let mut tools = Vec::with_capacity(self.tools.len());
        let mut names = HashSet::new();
        for (source, grants) in self.tools {
            let (its_linker, its_shared, limits) = (Arc::clone(&linker), Arc::clone(&shared), self.limits.clone());
            let (source, program) = shared
                .threads
                .spawn_blocking(move || {
                    let program = source.load(&its_linker, grants, limits)?;
                    Ok::<_, SandboxError>((source, program))
                })
                .await
                .map_err(|e| engine_failure("compiling").with_source(e))??;
            let (source, program, spec) = shared
                .threads
                .spawn(async move {
                    let _running = its_shared.ticker.run();
                    let spec = source.describe(&program).await?;
                    Ok::<_, SandboxError>((source, program, spec))
                })
                .await
                .map_err(|e| engine_failure("describing").with_source(e))??;
            if !names.insert(spec.name.clone()) {
                let what = format!("the name `{}` is taken", spec.name);
                return Err(source.error(SandboxErrorKind::DuplicateTool, what));
            }
            tracing::debug!(tool = %spec.name, component = %program.sha256, "loaded a tool");
            tools.push(Arc::new(WasmTool { spec, program: Arc::new(program), shared: Arc::clone(&shared) }));
        }
        Ok(WasmSandbox::new(tools, shared))
    }
}

fn engine_failure(what: &'static str) -> SandboxError {
    SandboxError::new(SandboxErrorKind::Engine, "build", what)
}

impl WasmSandbox {
    /// A sandbox without tools, under the default limits.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder::default()
    }
}
