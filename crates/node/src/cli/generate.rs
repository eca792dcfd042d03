use super::ask::{self, Computing, Ran, SamplingOptions, Share, Which};
use crate::backend::Tally;
use anyhow::{Result, bail};
use clap::Args;
use inference::session::{Event, FinishReason, Generation, Logits};
use inference::template::{Message, Role};
use inference::tokenizer::{Encode, Token};
use serde::Serialize;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Continue a text, here or in a network
///
/// The prompt is taken as it is and continued; with --chat it is a question put the way the model was trained for.
/// Without sampling options the likeliest token is always taken, and the answer is the same wherever it is computed.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    /// The text to continue
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// End after this many tokens
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_tokens: usize,
    /// Put the prompt as a question, as the model's chat template says
    #[arg(long)]
    chat: bool,
    /// Take the prompt as it is (this is the default)
    #[arg(long, conflicts_with = "chat")]
    raw: bool,
    /// Go on after a token that ends the answer
    #[arg(long)]
    ignore_end: bool,
    /// Print token ids, text and who computed as one JSON object
    #[arg(long)]
    json: bool,
    /// The same, and before it one JSON object per line for each token, as soon as it is there
    #[arg(long, conflicts_with = "json")]
    json_events: bool,
    #[command(flatten)]
    computing: Computing,
    #[command(flatten)]
    sampling: SamplingOptions,
}

#[derive(Serialize)]
struct Report {
    model: String,
    prompt_tokens: Vec<u32>,
    tokens: Vec<u32>,
    text: String,
    finish: &'static str,
    computed_by: Vec<Share>,
    /// Answers to requests that the text is made of.
    parts: u64,
    /// Those of them that were approximate; none unless --approximate allows it.
    approximate_parts: u64,
    /// How often a token was to have an expert's work.
    experts: u64,
    /// How often it did without, because nobody had that expert any more.
    missing_experts: u64,
    /// Requests sent to a second node because the first was late.
    hedged: u64,
    /// Requests sent elsewhere because a node left, erred or lied.
    resent: u64,
    /// Requests of others that were before one of these at most, and about how long they took: nothing if nobody had to
    /// wait.
    queued_behind: Option<u32>,
    queued_seconds: Option<f64>,
    /// Who ran which layers in the end; all of them here, if nothing is said.
    way: Vec<Ran>,
    /// How often a token waits for somebody on that way, one time after the other.
    waits: Option<usize>,
    /// What a token was predicted to take on it, at last.
    predicted_seconds_per_token: Option<f64>,
    seconds: f64,
    tokens_per_second: f64,
}

/// One token of the answer.
#[derive(Serialize)]
struct Said<'a> {
    token: Token,
    /// What is complete with it; often nothing.
    text: &'a str,
    /// Since the prompt was given.
    seconds: f64,
    /// What it was predicted to take, since the one before.
    predicted_seconds: Option<f64>,
    /// The others who run layers for the next one.
    runners: Vec<String>,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let sampling = self.sampling.sampling()?;
        let ready = self.which.open()?;
        let backend = &ready.backend;
        let prompt = if self.chat {
            let question = Message {
                role: Role::User,
                content: self.prompt.clone(),
            };
            backend.model().encode_chat(&[question], ask::today())?
        } else {
            let options = Encode {
                add_special: true,
                parse_special: false,
            };
            backend.model().tokenizer().encode(&self.prompt, options)?
        };
        if prompt.is_empty() {
            bail!("the prompt is empty, and this model's texts begin with no token of their own");
        }
        let generation = Generation {
            sampling,
            max_tokens: self.max_tokens,
            ignore_end: self.ignore_end,
            logits: Logits::None,
        };
        let mut session = backend.session(self.computing.config_for_text())?;
        session.begin(&prompt, generation)?;

        let (mut tally, mut text, mut finish) = (Tally::new(), String::new(), None);
        let started = Instant::now();
        let mut first_token = None;
        backend.run(&mut session, &mut tally, &AtomicBool::new(false), |event| {
            match event {
                Event::Thinking { token, text: more } | Event::Token { token, text: more } => {
                    first_token.get_or_insert_with(Instant::now);
                    let mut out = std::io::stdout().lock();
                    if self.json_events {
                        let way = backend.way();
                        let said = Said {
                            token,
                            text: &more,
                            seconds: started.elapsed().as_secs_f64(),
                            predicted_seconds: way.as_ref().map(|way| way.time.as_secs_f64()),
                            runners: way.iter().flat_map(ask::runners).collect(),
                        };
                        writeln!(out, "{}", serde_json::to_string(&said)?)?;
                    } else if !self.json {
                        out.write_all(more.as_bytes())?;
                        out.flush()?;
                    }
                    text.push_str(&more);
                }
                Event::Done(reason) => finish = Some(reason),
                Event::Prompt { .. } | Event::Logits { .. } => {}
            }
            Ok(())
        })?;
        let tokens = session.answer().to_vec();
        let speed = first_token.map_or(0.0, |first: Instant| {
            (tokens.len().saturating_sub(1)) as f64 / first.elapsed().as_secs_f64().max(1e-9)
        });
        let (way, queue) = (backend.way(), backend.take_queue());
        let mut out = std::io::stdout().lock();
        if self.json || self.json_events {
            let parts = session.parts();
            let totals = ready.runtime.block_on(backend.totals()).unwrap_or_default();
            let report = Report {
                model: backend.model().id().to_string(),
                prompt_tokens: prompt,
                tokens,
                text,
                finish: finish_name(finish),
                computed_by: ask::shares(&tally),
                parts: parts.total,
                approximate_parts: parts.approximate,
                experts: parts.experts,
                missing_experts: parts.left_out,
                hedged: totals.hedged,
                resent: totals.resent,
                queued_behind: queue.map(|queue| queue.before),
                queued_seconds: queue.map(|queue| queue.wait.as_secs_f64()),
                way: way.iter().flat_map(ask::ran).collect(),
                waits: way.as_ref().map(|way| way.waits),
                predicted_seconds_per_token: way.as_ref().map(|way| way.time.as_secs_f64()),
                seconds: started.elapsed().as_secs_f64(),
                tokens_per_second: speed,
            };
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        } else {
            writeln!(out)?;
            if let Some(note) = ask::exactness(session.parts()) {
                eprintln!("({note})");
            }
            if let Some(queue) = queue {
                eprintln!("(waited with {})", ask::queue_in_words(queue));
            }
        }
        ready.runtime.shutdown_background();
        Ok(())
    }
}

fn finish_name(reason: Option<FinishReason>) -> &'static str {
    match reason {
        Some(FinishReason::End) => "end",
        Some(FinishReason::Length) => "length",
        Some(FinishReason::ContextFull) => "context-full",
        Some(FinishReason::Cancelled) | None => "cancelled",
    }
}
