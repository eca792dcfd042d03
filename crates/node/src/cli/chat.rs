mod lines;

use super::ask::{self, Computing, Ready, SamplingOptions, Which};
use crate::backend::Tally;
use anyhow::{Context, Result};
use clap::Args;
use inference::Session;
use inference::session::{Event, FinishReason, Generation, Logits};
use inference::template::{Message, Role};
use lines::Lines;
use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use swarm::Queue;

/// Talk with a model, here or in a network
///
/// Type a question and press Enter. Ctrl-C stops an answer, and between answers the program; so does Ctrl-D. The arrow
/// keys bring back what was typed before, Ctrl-R finds it, and /help says what else there is.
/// The conversation stays on this machine; a network sees intermediate values only, from which a determined operator
/// could still reconstruct much of it.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// End an answer after this many tokens
    #[arg(long, value_name = "N", default_value_t = 1024)]
    max_tokens: usize,
    /// Show what a model thinks before it answers, on the standard error output
    #[arg(long)]
    show_thinking: bool,
    /// Do not keep what is typed for the arrow keys of later conversations. What begins with a blank never is
    #[arg(long)]
    no_history: bool,
    #[command(flatten)]
    computing: Computing,
    #[command(flatten)]
    sampling: SamplingOptions,
}

/// Whether an answer is under way, and whether it shall stop.
#[derive(Default)]
struct Flags {
    answering: AtomicBool,
    stop: AtomicBool,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let sampling = self.sampling.sampling()?;
        let mut ready = self.which.open()?;
        if std::io::stderr().is_terminal() {
            ready.backend.on_queue(tell_queue());
        }
        let mut session = ready.backend.session(self.computing.config_for_text())?;
        let generation = Generation {
            sampling,
            max_tokens: self.max_tokens,
            ignore_end: false,
            logits: Logits::None,
        };
        let flags = Arc::new(Flags::default());
        ready.runtime.spawn(heed_ctrl_c(flags.clone()));

        let system = self.system.map(|content| Message {
            role: Role::System,
            content,
        });
        let mut conversation: Vec<_> = system.into_iter().collect();
        let opening = conversation.len();
        let mut lines = Lines::open(!self.no_history)?;
        while let Some(line) = lines.next()? {
            if line.trim().is_empty() {
                continue;
            }
            match Typed::new(&line, lines.is_terminal()) {
                Typed::Question => conversation.push(Message {
                    role: Role::User,
                    content: line,
                }),
                Typed::Again => {
                    // What is before an answer is its question.
                    conversation.pop_if(|last| last.role == Role::Assistant);
                    if conversation.len() <= opening {
                        eprintln!("(nothing was asked yet)");
                        continue;
                    }
                }
                Typed::New => {
                    conversation.truncate(opening);
                    eprintln!("(a new conversation)");
                    continue;
                }
                Typed::Save(file) => {
                    match save(&conversation, Path::new(file)) {
                        Ok(()) => eprintln!("(saved in {file})"),
                        Err(error) => eprintln!("error: {error:#}"),
                    }
                    continue;
                }
                Typed::Help => {
                    eprintln!("{HELP}");
                    continue;
                }
                Typed::Quit => break,
            }
            flags.answering.store(true, Ordering::SeqCst);
            let answering = Answering {
                generation,
                show_thinking: self.show_thinking,
                stop: &flags.stop,
            };
            let answer = answering.run(&ready, &mut session, &conversation);
            flags.answering.store(false, Ordering::SeqCst);
            flags.stop.store(false, Ordering::SeqCst);
            match answer {
                Ok(content) => conversation.push(Message {
                    role: Role::Assistant,
                    content,
                }),
                Err(error) => {
                    // The conversation goes on: perhaps somebody who was missing comes back.
                    eprintln!("\nerror: {error:#}");
                    conversation.pop();
                }
            }
        }
        ready.runtime.shutdown_background();
        Ok(())
    }
}

const HELP: &str = "\
/new        start a new conversation
/again      have the last question answered again
/save FILE  write the conversation into a file, as Markdown
/quit       leave, as Ctrl-D does
Ctrl-C stops an answer. The arrow keys and Ctrl-R bring back what was typed before.";

/// What somebody means by a line.
#[derive(Debug, PartialEq, Eq)]
enum Typed<'a> {
    Question,
    New,
    Again,
    Save(&'a str),
    Help,
    Quit,
}

impl<'a> Typed<'a> {
    /// Only people give commands; what comes through a pipe is asked as it is.
    fn new(line: &'a str, typed: bool) -> Self {
        let Some(command) = line.trim().strip_prefix('/').filter(|_| typed) else {
            return Self::Question;
        };
        match command.split_once(' ').unwrap_or((command, "")) {
            ("new", "") => Self::New,
            ("again", "") => Self::Again,
            ("save", file) if !file.trim().is_empty() => Self::Save(file.trim()),
            ("quit" | "exit", "") => Self::Quit,
            _ => Self::Help,
        }
    }
}

/// Writes a conversation as Markdown; a file that is there already is kept.
fn save(conversation: &[Message], file: &Path) -> Result<()> {
    let said = conversation.iter().map(|message| {
        format!(
            "**{}**\n\n{}\n",
            message.role.name(),
            message.content.trim()
        )
    });
    let text = said.collect::<Vec<_>>().join("\n");
    let at = || format!("cannot write {}", file.display());
    let mut file = std::fs::File::create_new(file).with_context(at)?;
    file.write_all(text.as_bytes()).with_context(at)
}

/// Says to people who wait what is before them, now and then.
fn tell_queue() -> impl Fn(Queue) + Send {
    const SELDOM: Duration = Duration::from_secs(2);
    let told = Cell::new(None::<Instant>);
    move |queue| {
        if told.get().is_none_or(|told| told.elapsed() >= SELDOM) {
            told.set(Some(Instant::now()));
            eprint!("({}) ", ask::queue_in_words(queue));
        }
    }
}

/// How an answer is had.
struct Answering<'a> {
    generation: Generation,
    show_thinking: bool,
    stop: &'a AtomicBool,
}

impl Answering<'_> {
    /// The answer, without the thoughts before it.
    fn run(
        &self,
        ready: &Ready,
        session: &mut Session,
        conversation: &[Message],
    ) -> Result<String> {
        let tokens = ready
            .backend
            .model()
            .encode_chat(conversation, ask::today())?;
        session.begin(&tokens, self.generation)?;
        let (mut text, mut tally, mut full) = (String::new(), Tally::new(), false);
        let (mut first, mut thoughts) = (None, 0usize);
        ready.backend.run(session, &mut tally, self.stop, |event| {
            match event {
                Event::Thinking { text, .. } => {
                    first.get_or_insert_with(Instant::now);
                    self.think(&text, thoughts == 0)?;
                    thoughts += 1;
                }
                Event::Token { text: more, .. } => {
                    first.get_or_insert_with(Instant::now);
                    if text.is_empty() && thoughts > 0 && !more.is_empty() {
                        self.stop_thinking(thoughts)?;
                    }
                    let mut out = std::io::stdout().lock();
                    out.write_all(more.as_bytes())?;
                    out.flush()?;
                    text.push_str(&more);
                }
                Event::Done(reason) => full = reason == FinishReason::ContextFull,
                Event::Prompt { .. } | Event::Logits { .. } => {}
            }
            Ok(())
        })?;
        writeln!(std::io::stdout())?;
        if full {
            eprintln!("(the conversation is as long as this model can follow; start a new one)");
        }
        if let Some(first) = first {
            let tokens = session.answer().len().saturating_sub(1);
            let speed = tokens as f64 / first.elapsed().as_secs_f64().max(1e-9);
            let who: Vec<_> = tally
                .iter()
                .map(|(peer, requests)| format!("{peer} {requests}"))
                .collect();
            let note = ask::exactness(session.parts());
            let note = note.map_or(String::new(), |note| format!("; {note}"));
            let way = ready.backend.way();
            let way = way.map_or(String::new(), |way| ask::way_in_words(&way));
            let queue = ready.backend.take_queue().map(ask::queue_in_words);
            let queue = queue.map_or(String::new(), |queue| format!("; waited with {queue}"));
            eprintln!(
                "({speed:.1} tokens/s{way}; requests computed: {}{queue}{note})",
                who.join(", ")
            );
        }
        Ok(text)
    }

    /// Thoughts are folded into a word, for people only, unless they are wanted.
    fn think(&self, text: &str, first: bool) -> Result<()> {
        let mut err = std::io::stderr().lock();
        if self.show_thinking {
            write!(err, "{text}")?;
        } else if first && err.is_terminal() {
            write!(err, "(thinking…")?;
        }
        Ok(err.flush()?)
    }

    fn stop_thinking(&self, thoughts: usize) -> Result<()> {
        let mut err = std::io::stderr().lock();
        if self.show_thinking {
            writeln!(err, "\n")?;
        } else if err.is_terminal() {
            writeln!(err, " {thoughts} tokens)")?;
        }
        Ok(err.flush()?)
    }
}

async fn heed_ctrl_c(flags: Arc<Flags>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        // A second time while the first is still unheard, or with nothing to stop: leave.
        if !flags.answering.load(Ordering::SeqCst) || flags.stop.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_stroke_is_a_command_if_somebody_types_it() {
        for (line, meant) in [
            ("Why?", Typed::Question),
            ("/new", Typed::New),
            (" /again ", Typed::Again),
            ("/save talk.md", Typed::Save("talk.md")),
            ("/save", Typed::Help),
            ("/quit", Typed::Quit),
            ("/what", Typed::Help),
        ] {
            assert_eq!(Typed::new(line, true), meant, "{line}");
            assert_eq!(Typed::new(line, false), Typed::Question, "{line}");
        }
    }

    #[test]
    fn a_conversation_is_saved_beside_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("talk.md");
        let said = |role, content: &str| Message {
            role,
            content: content.into(),
        };
        let conversation = [said(Role::User, "Why?"), said(Role::Assistant, "So.\n")];
        save(&conversation, &file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "**user**\n\nWhy?\n\n**assistant**\n\nSo.\n");
        assert!(save(&conversation, &file).is_err(), "it is kept");
    }
}
