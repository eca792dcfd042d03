//! One answer, made on a thread of its own, piece by piece.

use super::error::Error;
use super::pool::{Slot, Taken};
use super::totals::{Now, Totals};
use crate::backend::{Tally, Unanswered};
use anyhow::bail;
use inference::sampling::Likelihood;
use inference::session::{Event, FinishReason, Generation, Logits};
use inference::stop::{Found, StopSequences};
use inference::tokenizer::{Token, Tokenizer};
use inference::{Sampling, executor, session};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that whoever asked has not taken; then the answer waits.
const PIECES: usize = 64;

/// What is to be answered.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) prompt: Vec<Token>,
    pub(super) sampling: Sampling,
    pub(super) max_tokens: usize,
    pub(super) stop: Vec<String>,
    /// How many alternatives to each token are told, if anything is.
    pub(super) alternatives: Option<usize>,
}

/// Something of an answer.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// What the model thinks before it answers.
    Thought(String),
    /// The answer goes on.
    Text { text: String, tokens: Vec<Chance> },
    /// Nothing follows.
    End { reason: Reason, usage: Usage },
    /// Neither.
    Failed(Error),
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The model ended it, or one of the texts to stop at came.
    Stop,
    /// There are as many tokens as were asked for, or as have room.
    Length,
}

/// Tokens read and said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) prompt: usize,
    pub(super) cached: usize,
    pub(super) answer: usize,
}

/// How likely a token was. Its bytes need not be whole characters.
#[derive(Debug, Clone)]
pub(super) struct Chance {
    pub(super) bytes: Vec<u8>,
    pub(super) log_probability: f32,
    pub(super) alternatives: Vec<(Vec<u8>, f32)>,
}

/// An answer on its way; it is stopped when this is dropped.
pub(super) struct Answer {
    pieces: Receiver<Piece>,
    stop: Arc<AtomicBool>,
}

impl Answer {
    pub(super) async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }
}

/// An answer that is there.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) thoughts: String,
    pub(super) text: String,
    pub(super) tokens: Vec<Chance>,
}

impl Answer {
    /// Waits for all of it.
    pub(super) async fn whole(mut self) -> Result<(Made, Reason, Usage), Error> {
        let mut made = Made::default();
        loop {
            match self.next().await {
                Some(Piece::Thought(text)) => made.thoughts += &text,
                Some(Piece::Text { text, tokens }) => {
                    made.text += &text;
                    made.tokens.extend(tokens);
                }
                Some(Piece::End { reason, usage }) => return Ok((made, reason, usage)),
                Some(Piece::Failed(error)) => return Err(error),
                None => return Err(Error::unavailable("This node is stopping.".into())),
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Starts it.
pub(super) fn start(mut taken: Taken, question: Question) -> Result<Answer, Error> {
    let generation = Generation {
        sampling: question.sampling,
        max_tokens: question.max_tokens,
        ignore_end: false,
        logits: match question.alternatives {
            Some(_) => Logits::Chosen,
            None => Logits::None,
        },
    };
    let slot = taken.slot();
    let slot = slot.ok_or_else(|| Error::internal("There is no session.".into()))?;
    let begun = slot.session.begin(&question.prompt, generation);
    begun.map_err(|error| match error {
        session::Error::Executor(executor::Error::ContextFull { wanted, limit }) => {
            Error::too_long(limit, wanted)
        }
        error => Error::invalid(error.to_string()),
    })?;
    let (sender, pieces) = channel(PIECES);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    tokio::task::spawn_blocking(move || make(taken, question, &sender, &stopped));
    Ok(Answer { pieces, stop })
}

fn make(mut taken: Taken, question: Question, sender: &Sender<Piece>, stop: &AtomicBool) {
    let totals = taken.totals();
    let _now = Now::new(&totals.answering);
    let (cached, asked) = (taken.cached, taken.asked);
    Totals::add(&totals.prompt_tokens, question.prompt.len());
    Totals::add(&totals.cached_tokens, cached);
    let Some(Slot { backend, session }) = taken.slot() else {
        return;
    };
    let model = session.model().clone();
    let mut growing = Growing {
        tokenizer: model.tokenizer(),
        alternatives: question.alternatives,
        logits: Vec::new(),
        stop: StopSequences::new(question.stop),
        chances: VecDeque::new(),
        pushed: 0,
        released: 0,
        end: None,
    };
    let mut begun = false;
    let made = backend.run(session, &mut Tally::new(), stop, |event| {
        if matches!(event, Event::Token { .. } | Event::Thinking { .. }) && !begun {
            begun = true;
            totals.first_token(asked.elapsed());
        }
        if let Some(piece) = growing.hear(event)
            && sender.blocking_send(piece).is_err()
        {
            bail!(Gone);
        }
        if growing.end.is_some() {
            stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    });
    // One token may say something of the thoughts and of the answer.
    let tokens = session.answer().len();
    Totals::add(&totals.answer_tokens, tokens);
    totals.whole_answer(asked.elapsed());
    let usage = Usage {
        prompt: question.prompt.len(),
        cached,
        answer: tokens,
    };
    // Before it is said that it is over, so that whoever asks next finds the session at rest.
    drop(taken);
    let last = match (made, growing.end) {
        (Err(error), _) if error.is::<Gone>() => {
            Totals::add(&totals.stopped, 1);
            return;
        }
        (Err(error), _) => {
            Totals::add(&totals.failed, 1);
            let message = format!("{error:#}");
            Piece::Failed(match error.is::<Unanswered>() {
                true => Error::unavailable(message),
                false => Error::internal(message),
            })
        }
        (Ok(()), None) => {
            Totals::add(&totals.stopped, 1);
            return;
        }
        (Ok(()), Some(reason)) => {
            Totals::add(&totals.answered, 1);
            Piece::End { reason, usage }
        }
    };
    // Whoever does not wait for it need not be told.
    let _ = sender.blocking_send(last);
}

/// Whoever asked does not wait any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody waits for the answer")]
struct Gone;

/// An answer while it is made.
struct Growing<'a> {
    tokenizer: &'a Tokenizer,
    alternatives: Option<usize>,
    /// Those from which the next token is chosen.
    logits: Vec<f32>,
    stop: StopSequences,
    /// Tokens whose text is not certain yet, each with where it starts.
    chances: VecDeque<(usize, Chance)>,
    /// Bytes of text that the model has said.
    pushed: usize,
    /// Bytes that are certain.
    released: usize,
    end: Option<Reason>,
}

impl Growing<'_> {
    fn hear(&mut self, event: Event) -> Option<Piece> {
        if self.end.is_some() {
            return None;
        }
        match event {
            Event::Prompt { .. } => None,
            Event::Logits { values, .. } => {
                self.logits = values;
                None
            }
            Event::Thinking { text, .. } => (!text.is_empty()).then_some(Piece::Thought(text)),
            Event::Token { token, text } => {
                let chance = self.chance(token);
                self.chances
                    .extend(chance.map(|chance| (self.pushed, chance)));
                self.pushed += text.len();
                match self.stop.push(&text) {
                    Found::Not(text) => self.release(text),
                    Found::At(text) => {
                        self.end = Some(Reason::Stop);
                        self.release(text)
                    }
                }
            }
            Event::Done(reason) => {
                self.end = match reason {
                    FinishReason::End => Some(Reason::Stop),
                    FinishReason::Length | FinishReason::ContextFull => Some(Reason::Length),
                    FinishReason::Cancelled => None,
                };
                let rest = self.stop.finish();
                let piece = self.release(rest);
                let left: Vec<_> = self.chances.drain(..).map(|(_, chance)| chance).collect();
                match piece {
                    Some(Piece::Text { text, mut tokens }) => {
                        tokens.extend(left);
                        Some(Piece::Text { text, tokens })
                    }
                    _ if !left.is_empty() => Some(Piece::Text {
                        text: String::new(),
                        tokens: left,
                    }),
                    piece => piece,
                }
            }
        }
    }

    /// What is certain is told, with the tokens that it begins with.
    fn release(&mut self, text: String) -> Option<Piece> {
        self.released += text.len();
        let mut tokens = Vec::new();
        while let Some((_, chance)) = self
            .chances
            .pop_front_if(|(start, _)| *start < self.released)
        {
            tokens.push(chance);
        }
        (!text.is_empty() || !tokens.is_empty()).then_some(Piece::Text { text, tokens })
    }

    fn chance(&self, token: Token) -> Option<Chance> {
        let count = self.alternatives?;
        if self.tokenizer.vocabulary().is_end(token) {
            return None;
        }
        let likelihood = Likelihood::of(token, &self.logits, count)?;
        let bytes = |token: Token| {
            let mut bytes = Vec::new();
            self.tokenizer.bytes(token, &mut bytes);
            bytes
        };
        let alternatives = likelihood.likeliest.into_iter();
        Some(Chance {
            bytes: bytes(token),
            log_probability: likelihood.chosen,
            alternatives: alternatives
                .map(|(token, log)| (bytes(token), log))
                .collect(),
        })
    }
}
