use std::ops::Range;

use super::{Error, Event, FinishReason, Logits, Session};
use crate::{
    compute::{Operation, Request, Response},
    executor::{Inputs, norm_rows},
    thinking::Part,
    tokenizer::Token,
};

/// Where the tokens being read are.
#[derive(Debug)]
pub(super) enum Feed {
    /// Nothing to do.
    Idle,
    /// Their embeddings are asked for.
    Embedding {
        positions: Range<usize>,
        hidden: Vec<f32>,
        missing: usize,
    },
    /// They are with the executor.
    Layers { positions: Range<usize> },
    /// Their logits are asked for.
    Head {
        /// Position of the first row.
        first: usize,
        logits: Vec<f32>,
        missing: usize,
    },
}

/// What an answer is for.
#[derive(Debug)]
pub(super) enum Task {
    /// The rows of these tokens of the batch.
    Embedding { rows: Vec<usize> },
    /// These logits of each row.
    Head { columns: Range<usize> },
}

impl Session {
    /// Sends the next tokens on their way.
    pub(super) fn feed_next(&mut self) -> Result<(), Error> {
        let start = self.layers.position();
        let end = self.tokens.len().min(start + self.config.batch);
        let tokens = &self.tokens[start..end];
        let width = self.model.hyperparameters().n_embd;
        let mut missing = 0;
        for part in &self.model.layout().embedding {
            let ours = |&(_, token): &(usize, &Token)| part.rows.contains(&(*token as usize));
            let (rows, tokens): (Vec<usize>, Vec<Token>) =
                tokens.iter().enumerate().filter(ours).unzip();
            if rows.is_empty() {
                continue;
            }
            let request = Request {
                fragment: part.address.fragment,
                part: part.address.part,
                operation: Operation::Embed(tokens),
                arithmetic: self.config.arithmetic,
                input: None,
            };
            self.requests.push(request, width, Task::Embedding { rows });
            missing += 1;
        }
        self.feed = Feed::Embedding {
            positions: start..end,
            hidden: vec![0.0; (end - start) * width],
            missing,
        };
        Ok(())
    }

    /// An answer about the embedding or the output head.
    pub(super) fn handle_own(&mut self, task: Task, response: Response) -> Result<(), Error> {
        let width = response.width;
        let rows = response.values.chunks_exact(width.max(1));
        match (task, &mut self.feed) {
            (
                Task::Embedding { rows: places },
                Feed::Embedding {
                    positions,
                    hidden,
                    missing,
                },
            ) => {
                for (place, row) in places.into_iter().zip(rows) {
                    hidden[place * width..][..width].copy_from_slice(row);
                }
                *missing -= 1;
                if *missing == 0 {
                    let (positions, hidden) = (positions.clone(), std::mem::take(hidden));
                    let wanted = self.wanted(&positions).len();
                    self.feed = Feed::Layers { positions };
                    self.layers.begin(hidden, wanted)?;
                    return self.hear_layers();
                }
            }
            (
                Task::Head { columns },
                Feed::Head {
                    logits, missing, ..
                },
            ) => {
                let vocabulary = self.model.hyperparameters().n_vocab;
                for (logits, row) in logits.chunks_exact_mut(vocabulary).zip(rows) {
                    logits[columns.clone()].copy_from_slice(row);
                }
                *missing -= 1;
                if *missing == 0 {
                    self.handle_logits()?;
                }
            }
            // Requests are dropped with the state they belong to.
            (Task::Embedding { .. } | Task::Head { .. }, _) => {}
        }
        Ok(())
    }

    /// Of which of these tokens the logits are needed.
    fn wanted(&self, positions: &Range<usize>) -> Range<usize> {
        let end = positions.end;
        match self.generation.logits {
            Logits::All => positions.start.max(self.untold).min(end)..end,
            _ if end == self.tokens.len() && !self.is_complete() => end - 1..end,
            _ => end..end,
        }
    }

    /// Tokens came through all layers.
    pub(super) fn handle_hidden(&mut self, hidden: Vec<f32>) -> Result<(), Error> {
        let Feed::Layers { positions } = &self.feed else {
            return Ok(());
        };
        let positions = positions.clone();
        let total = self.answer;
        if positions.start < total {
            let read = positions.end.min(total);
            self.events.push_back(Event::Prompt { read, total });
        }
        let at_end = positions.end == self.tokens.len();
        let wanted = self.wanted(&positions);
        if wanted.is_empty() {
            if at_end {
                self.finish(FinishReason::Length);
                return Ok(());
            }
            return self.feed_next();
        }
        let h = self.model.hyperparameters();
        let (width, vocabulary) = (h.n_embd, h.n_vocab);
        let rows = &hidden[hidden.len() - wanted.len() * width..];
        let normed = norm_rows(rows, &self.small.output_norm, h.eps)?;
        let mut inputs = Inputs::new(self.config.arithmetic, normed);
        let parts = &self.model.layout().head;
        for part in parts {
            let request = Request {
                fragment: part.address.fragment,
                part: part.address.part,
                operation: Operation::Logits,
                arithmetic: self.config.arithmetic,
                input: Some(inputs.get(part.encoding, width)?),
            };
            let columns = part.rows.clone();
            self.requests
                .push(request, columns.len(), Task::Head { columns });
        }
        self.feed = Feed::Head {
            first: wanted.start,
            logits: vec![0.0; wanted.len() * vocabulary],
            missing: parts.len(),
        };
        Ok(())
    }

    /// The logits of the tokens read last are complete.
    fn handle_logits(&mut self) -> Result<(), Error> {
        let Feed::Head { first, logits, .. } = std::mem::replace(&mut self.feed, Feed::Idle) else {
            return Ok(());
        };
        let vocabulary = self.model.hyperparameters().n_vocab;
        let last = logits.len().saturating_sub(vocabulary);
        let chosen = match self.layers.position() == self.tokens.len() && !self.is_complete() {
            true => self
                .generation
                .sampling
                .choose(&logits[last..], &self.tokens),
            false => None,
        };
        self.untold = first + logits.len() / vocabulary;
        if self.generation.logits != Logits::None {
            for (position, values) in (first..).zip(logits.chunks_exact(vocabulary)) {
                let values = values.to_vec();
                self.events.push_back(Event::Logits { position, values });
            }
        }
        match chosen {
            Some(token) => self.say(token),
            None if self.layers.position() < self.tokens.len() => self.feed_next(),
            None => {
                self.finish(FinishReason::Length);
                Ok(())
            }
        }
    }

    /// The answer goes on with this token.
    fn say(&mut self, token: Token) -> Result<(), Error> {
        self.tokens.push(token);
        let tokenizer = self.model.tokenizer();
        let text = self.detokenizer.push(tokenizer, token);
        let is_end = tokenizer.vocabulary().is_end(token) && !self.generation.ignore_end;
        let end = if is_end {
            Some(FinishReason::End)
        } else if self.is_complete() {
            Some(FinishReason::Length)
        } else if self.tokens.len() >= self.layers.context() {
            Some(FinishReason::ContextFull)
        } else {
            None
        };
        let before = self.splitter.part();
        let mut said = self.splitter.push(token, &text);
        if end.is_some() {
            said.extend(self.leftover(token));
        }
        if said.is_empty() {
            // Every token is told of. Marks belong to the thoughts.
            let part = match before {
                Part::Thinking => before,
                Part::Answer => self.splitter.part(),
            };
            said.push((part, String::new()));
        }
        self.tell(token, said);
        match end {
            Some(reason) => self.finish(reason),
            None => self.feed_next()?,
        }
        Ok(())
    }

    /// Whether the answer is as long as was asked for.
    fn is_complete(&self) -> bool {
        self.answer().len() >= self.generation.max_tokens
    }
}
