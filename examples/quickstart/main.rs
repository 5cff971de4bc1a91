//! A host in one folder: an agent that answers from your files, remembers, keeps a secret and runs a sandboxed tool.
//!
//! `cargo run --release --example quickstart -- --help` lists the options; `docs/quickstart.md` explains them.

mod failure;
mod find;
mod forget;
mod host;
mod ingest;
mod models;
mod output;
mod prompt;
mod sources;
mod worker;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::failure::Failure;
use crate::host::{Folder, Host};
use crate::output::Output;
use crate::sources::Sources;

/// What is asked of the documentation when nothing else is.
const QUESTION: &str = "How do legal holds work?";

/// The agent's documents when no others are named: the book of this repository.
const DOCUMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

#[derive(Debug, Parser)]
#[command(name = "quickstart", about = "An agent that answers from your own files, in one local folder")]
struct Options {
    /// The folder that holds everything; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "ironclaw-data")]
    data: PathBuf,

    /// Whose data it is [default: the name you are logged in by]
    #[arg(long, value_name = "ID")]
    user: Option<String>,

    /// A file or folder to answer from, instead of the documentation; again for more
    #[arg(long, value_name = "PATH")]
    ingest: Vec<PathBuf>,

    /// Read hidden files and folders of the named folders as well
    #[arg(long, requires = "ingest")]
    hidden: bool,

    /// Read what .gitignore and .ignore files name as well
    #[arg(long, requires = "ingest")]
    no_ignore: bool,

    /// A question to answer before exiting; again for more
    #[arg(long, value_name = "TEXT")]
    ask: Vec<String>,

    /// Print one JSON object per answer on standard output, and nothing else there
    #[arg(long)]
    json: bool,

    /// Print past conversations and exit
    #[arg(long, conflicts_with_all = ["ask", "ingest", "forget"])]
    history: bool,

    /// Delete the user's conversations, jobs and files, and every byte of them from the database's files
    #[arg(long, conflicts_with_all = ["ask", "ingest"])]
    forget: bool,

    /// Forget the stored model settings and keys, and take them from the environment again
    #[arg(long, conflicts_with_all = ["history", "forget"])]
    reset_models: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_quiet() => ExitCode::SUCCESS,
        Err(failure) => {
            Output::new(false).note(&format!("quickstart: {failure}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    let (output, user) = (Output::new(options.json), options.user.as_deref());
    let past = options.history || options.forget;
    let folder = match past {
        true => Folder::open(&options.data, user).await?,
        false => Folder::make(&options.data, user).await?,
    };
    let done = match past {
        true if options.forget => forget::forget(&folder, &output).await,
        true => output.history(&folder).await,
        false => serve(&options, &folder, &output).await,
    };
    let closed = folder.close().await;
    done.and(closed)
}

async fn serve(options: &Options, folder: &Folder, output: &Output) -> Result<(), Failure> {
    let host = Host::start(folder, &options.data, options.reset_models, output).await?;
    let done = act(options, &host, output).await;
    let closed = host.close().await;
    done.and(closed)
}

async fn act(options: &Options, host: &Host, output: &Output) -> Result<(), Failure> {
    let sources = read_documents(options, host, output).await?;
    let conversation = host.conversation().await?;
    if !options.ask.is_empty() {
        for question in &options.ask {
            output.ask(host, conversation, question).await?;
        }
        return Ok(());
    }
    let is_tour = sources.folders.iter().all(|source| source.default);
    if is_tour {
        output.ask(host, conversation, QUESTION).await?;
        output.ask(host, conversation, &host.tool_question()).await?;
    }
    match std::io::stdin().is_terminal() {
        true => prompt::prompt(host, conversation, output).await,
        false if is_tour => Ok(()),
        false => {
            output.note("Nothing was asked: --ask \"…\" asks a question, and so does a terminal.");
            Ok(())
        }
    }
}

/// Mirrors the named folders, or those of earlier runs, or the documentation.
async fn read_documents(options: &Options, host: &Host, output: &Output) -> Result<Sources, Failure> {
    let mut sources = Sources::load(&host.store, &host.scope).await?;
    if !options.ingest.is_empty() {
        for path in &options.ingest {
            sources.add_named(path, options.hidden, options.no_ignore)?;
        }
        for source in sources.take_default() {
            ingest::remove(&host.memory, &host.scope, &source).await?;
        }
    } else if sources.folders.is_empty() {
        sources.add_default(DOCUMENTS.as_ref())?;
    }
    // Known before it is filled, so that an interrupted run is finished by the next one.
    sources.save(&host.store, &host.scope).await?;
    for source in &sources.folders {
        if !source.path.exists() {
            output.note(&format!("{} is not there any more; what was read from it stays", source.path.display()));
            continue;
        }
        let report = ingest::ingest(&host.memory, &host.scope, source, &options.data).await?;
        output.ingested(source, &report);
    }
    Ok(sources)
}
