//! What operators of a shared PostgreSQL store do: `docs/postgres.md` and `docs/postgres-operations.md` use it.
//!
//! `DATABASE_URL` says where, and as which role of the server. `OPERATOR` is the name under which the audit trail keeps
//! what is done. What a command finds goes to standard output, and how it failed to standard error, with the status 1.

use std::env;
use std::io::Write;

use ironclaw_core::change::ConversationOp;
use ironclaw_core::id::ConversationId;
use ironclaw_core::{AgentStore, Apply, Change, Maintenance, PageRequest, Report, Scope, Store, SystemClock};
use ironclaw_store::{PostgresMaintenance, PostgresStore};

const USAGE: &str = "agents-db COMMAND

as an owner of the schema:
  migrate           bring the schema up to date
as an operator:
  daily OPERATOR    delete what retention no longer keeps, make and drop indexes, check everything
  check OPERATOR    check everything, and say what is wrong
  index OPERATOR    make the indexes over vectors that are missing, and drop those that are not needed any more
  scrub OPERATOR    rewrite the tables that hold deleted bytes; writers of each wait meanwhile
  heads OPERATOR    verify every chain of the audit trail, and print its end, to be kept elsewhere
as the application, to try it:
  write TITLE       begin a conversation of the user ada
  list              list the conversations of the user ada";

#[tokio::main]
async fn main() -> Result<(), Report> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["migrate"] => Ok(PostgresStore::migrate(&url()?).await?),
        [command @ ("daily" | "check" | "index" | "scrub" | "heads"), operator] => {
            let maintenance = PostgresMaintenance::connect(&url()?, operator).await?;
            let done = operate(command, &maintenance).await;
            maintenance.close().await;
            done
        }
        ["write", title] => write(title).await,
        ["list"] => list().await,
        _ => Err(Report::new(USAGE)),
    }
}

fn url() -> Result<String, Report> {
    env::var("DATABASE_URL").map_err(|_| Report::new("DATABASE_URL is not set: postgres://ROLE@HOST/DATABASE?…"))
}

async fn operate(command: &str, maintenance: &PostgresMaintenance) -> Result<(), Report> {
    match command {
        "index" => index(maintenance).await,
        "scrub" => scrub(maintenance).await,
        "heads" => heads(maintenance).await,
        "check" => check(maintenance).await,
        _ => {
            say(&format!("{} conversations, jobs and files deleted", maintenance.apply_retention().await?));
            index(maintenance).await?;
            check(maintenance).await
        }
    }
}

/// Prints a line. Whoever reads them may stop before the last.
fn say(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(1);
    }
}

async fn index(maintenance: &PostgresMaintenance) -> Result<(), Report> {
    let indexes = maintenance.index_vectors().await?;
    say(&format!("{} indexes made, {} kept", indexes.made, indexes.kept));
    indexes.dropped.iter().for_each(|dropped| say(&format!("dropped {dropped}")));
    Ok(())
}

/// The chains of the audit trail are among what is checked.
async fn check(maintenance: &PostgresMaintenance) -> Result<(), Report> {
    let findings = maintenance.check_integrity().await?;
    findings.iter().for_each(|finding| say(finding));
    match findings.len() {
        0 => Ok(()),
        wrong => Err(Report::new(format!("findings of the check: {wrong}"))),
    }
}

async fn scrub(maintenance: &PostgresMaintenance) -> Result<(), Report> {
    let pending = maintenance.scrub().await?.pending;
    pending.iter().for_each(|table| say(table));
    match pending.len() {
        0 => Ok(()),
        left => Err(Report::new(format!("tables that are left: {left}; scrub again"))),
    }
}

/// As a line of CSV for each chain: stream, sequence, hash.
async fn heads(maintenance: &PostgresMaintenance) -> Result<(), Report> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for head in maintenance.verify_audit().await?.iter().filter(|head| head.sequence > 0) {
        say(&format!("{},{},{}", hex(&head.stream.0), head.sequence, hex(&head.hash)));
    }
    Ok(())
}

fn ada() -> Result<Scope, Report> {
    Ok(Scope::user("ada")?)
}

async fn write(title: &str) -> Result<(), Report> {
    let store = PostgresStore::connect(&url()?).await?;
    let (id, title) = (ConversationId::make(&SystemClock), title.to_owned());
    store.apply(&ada()?, Change::new().with(ConversationOp::Create { id, title })).await?;
    Ok(store.close().await?)
}

async fn list() -> Result<(), Report> {
    let store = PostgresStore::connect(&url()?).await?;
    for conversation in store.conversations().conversations(&ada()?, &PageRequest::default()).await?.items {
        say(&conversation.title);
    }
    Ok(store.close().await?)
}
