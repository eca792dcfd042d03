use super::ask::{self, Computing, Ready, SamplingOptions, Which};
use crate::backend::Tally;
use anyhow::Result;
use clap::Args;
use inference::Session;
use inference::session::{Event, FinishReason, Generation, Logits};
use inference::template::{Message, Role};
use std::cell::Cell;
use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use swarm::Queue;

/// Talk with a model, here or in a network
///
/// Type a question and press Enter. Ctrl-C stops an answer, and between answers the program; so does Ctrl-D.
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
        let mut lines = std::io::stdin().lock().lines();
        loop {
            prompt()?;
            let Some(line) = lines.next() else { break };
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            conversation.push(Message {
                role: Role::User,
                content: line,
            });
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

/// Shown to people only, on the standard error output, so that answers can be piped.
fn prompt() -> Result<()> {
    if std::io::stdin().is_terminal() {
        let mut err = std::io::stderr().lock();
        write!(err, "> ")?;
        err.flush()?;
    }
    Ok(())
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
