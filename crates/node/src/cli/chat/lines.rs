//! What is typed: in a terminal with everything that editing a line takes, and with what was typed in earlier
//! conversations; otherwise line by line.

use crate::key::default_folder;
use anyhow::{Context, Result};
use rustyline::DefaultEditor;
use rustyline::config::Config;
use rustyline::error::ReadlineError;
use std::io::{IsTerminal, Lines as StdLines, StdinLock, Write};
use std::path::PathBuf;

/// Lines kept from one conversation to the next.
const KEPT: usize = 1000;

pub(super) enum Lines {
    Terminal(Box<Terminal>),
    Piped(StdLines<StdinLock<'static>>),
}

/// Somebody types.
pub(super) struct Terminal {
    editor: DefaultEditor,
    /// Where what was typed is kept.
    history: Option<PathBuf>,
}

impl Lines {
    /// From the standard input; with `keep`, lines are kept for later conversations.
    pub(super) fn open(keep: bool) -> Result<Self> {
        if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
            return Ok(Self::Piped(std::io::stdin().lines()));
        }
        let config = Config::builder()
            .max_history_size(KEPT)?
            .history_ignore_space(true)
            .auto_add_history(false)
            .build();
        let mut editor =
            DefaultEditor::with_config(config).context("cannot read from this terminal")?;
        let history = keep.then(|| default_folder().map(|folder| folder.join("chat-history")));
        let history = history.transpose()?;
        if let Some(folder) = history.as_ref().and_then(|file| file.parent()) {
            std::fs::create_dir_all(folder)?;
        }
        if let Some(file) = &history {
            // There is none the first time.
            let _ = editor.load_history(file);
        }
        Ok(Self::Terminal(Box::new(Terminal { editor, history })))
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next one; nothing when there is an end to it.
    pub(super) fn next(&mut self) -> Result<Option<String>> {
        match self {
            Self::Terminal(terminal) => terminal.next(),
            Self::Piped(lines) => {
                if std::io::stdin().is_terminal() {
                    let mut err = std::io::stderr().lock();
                    write!(err, "> ")?;
                    err.flush()?;
                }
                Ok(lines.next().transpose()?)
            }
        }
    }
}

impl Terminal {
    fn next(&mut self) -> Result<Option<String>> {
        match self.editor.readline("> ") {
            Ok(line) => {
                if !line.trim().is_empty() && self.editor.add_history_entry(&line)? {
                    self.keep();
                }
                Ok(Some(line))
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(error) => Err(error).context("cannot read from this terminal"),
        }
    }

    fn keep(&mut self) {
        let Some(file) = &self.history else { return };
        // It is readable for this account alone.
        if let Err(error) = self.editor.append_history(file) {
            tracing::warn!("what was typed is not kept: {error:#}");
        }
    }
}
