//! Questions from a terminal until the end of input.

use std::io::{BufRead, Write};

use ironclaw_core::id::ConversationId;

use crate::failure::Failure;
use crate::host::Host;
use crate::output::Output;

pub(crate) async fn prompt(host: &Host, conversation: ConversationId, output: &Output) -> Result<(), Failure> {
    output.note("Ask something. An empty line or Ctrl-D ends.");
    loop {
        let line = tokio::task::spawn_blocking(|| {
            eprint!("> ");
            std::io::stderr().flush()?;
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        })
        .await??;
        match line.trim() {
            "" => return Ok(()),
            // One question that fails is no reason to lose the prompt.
            question => {
                if let Err(failure) = output.answer(host, conversation, question).await {
                    output.note(&failure.to_string());
                }
            }
        }
    }
}
