use std::future::Future;

use async_trait::async_trait;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::arguments::read;
use super::{Tool, ToolError, ToolErrorKind, ToolOutput, ToolSpec};
use crate::id::ToolName;
use crate::input::{InputError, JSON_DEPTH, Problem, check_json, check_text, parsed};
use crate::scope::Scope;

/// A tool of the host's own that is one function: `|arguments: Args, scope| async move { … }`. What it needs besides, it takes
/// along and clones: `move |arguments: Args, _| { let db = db.clone(); async move { … } }`.
///
/// It takes the arguments as a type of yours and the scope that acts, whose owner is the user and whose last principal is
/// this tool, and answers with anything that serialises: a text is shown to the model as it is, everything else as JSON.
/// Arguments that don't fit the type never reach it: the model is told
/// [`InvalidArguments`](ToolErrorKind::InvalidArguments), which argument and what it must be, and may call again. For what
/// goes wrong inside there is [`ToolError::failed`], whose text the model reads.
///
/// With the feature `schemars` the schema is derived from the type ([`FnTool::new`]); the doc comments of its fields become
/// their descriptions.
///
#[cfg_attr(feature = "schemars", doc = "```")]
#[cfg_attr(not(feature = "schemars"), doc = "```text")]
/// use ironclaw_core::prelude::*;
/// use ironclaw_store::LibsqlStore;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, schemars::JsonSchema)]
/// struct WeatherArgs {
///     /// The city, in English.
///     city: String,
/// }
///
/// #[derive(Serialize)]
/// struct Weather {
///     celsius: f32,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let weather = FnTool::new("weather", "The weather of a city now.", |args: WeatherArgs, _scope| async move {
///     match args.city.as_str() {
///         "Graz" => Ok(Weather { celsius: 21.5 }), // ask your service here
///         _ => Err(ToolError::failed("no such city is known")),
///     }
/// })?;
///
/// let store = LibsqlStore::in_memory().await?;
/// let agent = Agent::builder().store(store).tool(weather).llm(ExtractiveLlm::new()).build()?;
/// let ada = Scope::user("ada")?;
/// let conversation = agent.start_conversation(&ada).await?;
/// let reply = agent.send(&ada, conversation, r#"/weather {"city": "Graz"}"#).await?;
/// assert!(reply.text.contains("21.5"));
/// # Ok(())
/// # }
/// ```
pub struct FnTool {
    spec: ToolSpec,
    run: Box<Run>,
}

type Run = dyn Fn(Value, Scope) -> BoxFuture<'static, Result<ToolOutput, ToolError>> + Send + Sync;

/// The longest description, and the largest schema, in bytes: both are in every request to the model.
const DESCRIPTION_BYTES: usize = 64 << 10;

impl FnTool {
    /// A tool of this name, whose arguments' schema is derived from their type: a struct, for models give arguments as an
    /// object, or `()` for a tool that takes none.
    ///
    /// # Errors
    /// As [`with_schema`](Self::with_schema): on `tool parameters` if the type is neither.
    #[cfg(feature = "schemars")]
    pub fn new<A, T, F>(
        name: impl TryInto<ToolName, Error: Into<InputError>>,
        description: impl Into<String>,
        run: impl Fn(A, Scope) -> F + Send + Sync + 'static,
    ) -> Result<Self, InputError>
    where
        A: DeserializeOwned + schemars::JsonSchema + 'static,
        T: Serialize,
        F: Future<Output = Result<T, ToolError>> + Send + 'static,
    {
        // Not every service's models follow references, and each request carries the schema: as small and flat as can be.
        let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
            settings.meta_schema = None;
            settings.inline_subschemas = true;
        });
        let mut schema = settings.into_generator().into_root_schema_for::<A>();
        schema.remove("title");
        // Of a type of nothing, for which an object is read that has nothing in it.
        if schema.get("type") == Some(&Value::from("null")) {
            schema.insert("type".to_owned(), Value::from("object"));
        }
        Self::with_schema(name, description, schema.to_value(), run)
    }

    /// A tool of this name with a JSON Schema of your own for the arguments; `A` may be [`serde_json::Value`].
    ///
    /// # Errors
    /// A name that is none, or not of at most 64 of `a-z A-Z 0-9 _ -`, what models' services take; a `tool description`
    /// that is empty, or larger than 64 KiB; `tool parameters` that are no JSON Schema with `"type": "object"`, or larger
    /// than 64 KiB.
    pub fn with_schema<A, T, F>(
        name: impl TryInto<ToolName, Error: Into<InputError>>,
        description: impl Into<String>,
        parameters: Value,
        run: impl Fn(A, Scope) -> F + Send + Sync + 'static,
    ) -> Result<Self, InputError>
    where
        A: DeserializeOwned + 'static,
        T: Serialize,
        F: Future<Output = Result<T, ToolError>> + Send + 'static,
    {
        let (name, description): (ToolName, String) = (parsed(name)?, description.into());
        let is_known = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        if name.as_str().len() > ToolSpec::NAME_BYTES || !name.as_str().bytes().all(is_known) {
            return Err(InputError::new("tool", Problem::Malformed { expected: "at most 64 of a-z A-Z 0-9 _ -" }));
        }
        if description.trim().is_empty() {
            return Err(InputError::new("tool description", Problem::Empty));
        }
        check_text("tool description", &description, DESCRIPTION_BYTES)?;
        if parameters.get("type") != Some(&Value::from("object")) {
            let expected = "a JSON Schema with \"type\": \"object\", as that of a struct is";
            return Err(InputError::new("tool parameters", Problem::Malformed { expected }));
        }
        check_json("tool parameters", &parameters, DESCRIPTION_BYTES, JSON_DEPTH)?;
        let run = move |arguments, scope| -> BoxFuture<'static, Result<ToolOutput, ToolError>> {
            let ran = match read(arguments) {
                Ok(arguments) => run(arguments, scope),
                Err(refused) => return Box::pin(std::future::ready(Err(refused))),
            };
            Box::pin(async move {
                let answer = serde_json::to_value(ran.await?).map_err(|_| {
                    ToolError::new(ToolErrorKind::MalformedOutput, "call", "the answer can't be written as JSON")
                })?;
                Ok(ToolOutput::new(answer))
            })
        };
        let spec = ToolSpec { name, description, parameters, result: None };
        Ok(Self { spec, run: Box::new(run) })
    }
}

#[async_trait]
impl Tool for FnTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, scope: &Scope, arguments: Value) -> Result<ToolOutput, ToolError> {
        (self.run)(arguments, scope.clone()).await
    }
}

impl std::fmt::Debug for FnTool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FnTool").field("spec", &self.spec).finish_non_exhaustive()
    }
}
