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
            let mut errors = std::io::stderr();
            let _ = write!(errors, "> ").and_then(|()| errors.flush());
            let mut line = Vec::new();
            std::io::stdin().lock().read_until(b'\n', &mut line).map(|_| line)
        })
        .await??;
        let Ok(line) = String::from_utf8(line) else {
            output.note("That line is not UTF-8 text; ask again.");
            continue;
        };
        match line.trim() {
            "" => return Ok(()),
            // One question that fails is no reason to lose the prompt.
            question => match output.answer(host, conversation, question).await {
                Err(failure) if failure.is_output() => return Err(failure),
                Err(failure) => output.note(&failure.to_string()),
                Ok(()) => {}
            },
        }
    }
}
