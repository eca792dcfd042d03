//! Answers that somebody finishes for somebody else, as they travel.
//!
//! A session depends on its tokens and settings alone, so whoever knows them can go on where another stopped, and says the
//! same. A [`Job`] is what has to be known for that, and [`Progress`] is what has come of it.

use fragments::ModelId;
use prost::{Message, Oneof};

use crate::{
    Parts, Sampling,
    compute::{Arithmetic, WireError},
    session::{Event, FinishReason, Generation, Logits},
    tokenizer::Token,
    wire::{ARITHMETICS, WireParts, number},
};

/// An answer to finish.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Of which model.
    pub model: ModelId,
    /// The prompt, and what has been answered so far.
    pub tokens: Vec<Token>,
    /// How many of them are the prompt.
    pub prompt: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The answer, with what was said of it already, ends after so many tokens.
    pub max_tokens: usize,
    /// How products are computed.
    pub arithmetic: Arithmetic,
    /// The share of experts' work that has to be left; see [`Config`](crate::session::Config).
    pub least_experts: f32,
}

impl Job {
    /// The answer's settings for [`Session::resume`](crate::Session::resume).
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation {
            sampling: self.sampling,
            max_tokens: self.max_tokens,
            ignore_end: false,
            logits: Logits::None,
        }
    }
}

/// What has come of a [`Job`] so far, without what was said before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The tokens.
    pub tokens: Vec<Token>,
    /// Their text.
    pub text: String,
    /// What the model thought before it.
    pub thoughts: String,
    /// How exact it is.
    pub parts: Parts,
    /// Nothing follows.
    pub end: Option<End>,
}

/// How a [`Job`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As answers do.
    Finished(FinishReason),
    /// It did not work; for people.
    Failed(String),
}

impl Progress {
    /// Takes note of what a session says.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Token { token, text } => {
                self.tokens.push(*token);
                self.text.push_str(text);
            }
            Event::Thinking { token, text } => {
                self.tokens.push(*token);
                self.thoughts.push_str(text);
            }
            Event::Done(reason) => self.end = Some(End::Finished(*reason)),
            Event::Prompt { .. } | Event::Logits { .. } => {}
        }
    }
}

#[derive(Message)]
struct WireJob {
    #[prost(bytes = "vec", tag = "1")]
    model: Vec<u8>,
    #[prost(uint32, repeated, tag = "2")]
    tokens: Vec<u32>,
    #[prost(uint32, tag = "3")]
    prompt: u32,
    #[prost(uint32, tag = "4")]
    max_tokens: u32,
    #[prost(uint32, tag = "5")]
    arithmetic: u32,
    #[prost(float, tag = "6")]
    least_experts: f32,
    #[prost(message, optional, tag = "7")]
    sampling: Option<WireSampling>,
}

#[derive(Message)]
struct WireSampling {
    #[prost(float, tag = "1")]
    temperature: f32,
    #[prost(uint32, tag = "2")]
    top_k: u32,
    #[prost(float, tag = "3")]
    top_p: f32,
    #[prost(float, tag = "4")]
    min_p: f32,
    #[prost(float, tag = "5")]
    repetition_penalty: f32,
    #[prost(uint32, tag = "6")]
    repetition_window: u32,
    #[prost(fixed64, tag = "7")]
    seed: u64,
}

#[derive(Message)]
struct WireProgress {
    #[prost(uint32, repeated, tag = "1")]
    tokens: Vec<u32>,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(string, tag = "3")]
    thoughts: String,
    #[prost(message, optional, tag = "4")]
    parts: Option<WireParts>,
    #[prost(oneof = "WireEnd", tags = "5, 6")]
    end: Option<WireEnd>,
}

#[derive(Oneof)]
enum WireEnd {
    #[prost(uint32, tag = "5")]
    Finished(u32),
    #[prost(string, tag = "6")]
    Failed(String),
}

const REASONS: [FinishReason; 4] = [
    FinishReason::End,
    FinishReason::Length,
    FinishReason::ContextFull,
    FinishReason::Cancelled,
];

/// Counts that are larger than any text mean no limit.
fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// A job as it travels.
#[must_use]
pub fn encode_job(job: &Job) -> Vec<u8> {
    WireJob {
        model: job.model.0.to_vec(),
        tokens: job.tokens.clone(),
        prompt: count(job.prompt),
        max_tokens: count(job.max_tokens),
        arithmetic: number(&ARITHMETICS, &job.arithmetic),
        least_experts: job.least_experts,
        sampling: Some(WireSampling {
            temperature: job.sampling.temperature,
            top_k: count(job.sampling.top_k),
            top_p: job.sampling.top_p,
            min_p: job.sampling.min_p,
            repetition_penalty: job.sampling.repetition_penalty,
            repetition_window: count(job.sampling.repetition_window),
            seed: job.sampling.seed,
        }),
    }
    .encode_to_vec()
}

/// Reads what [`encode_job`] wrote; the bytes may come from anybody. Whether the model has the tokens, and whether the
/// sampling makes sense, [`Session::resume`](crate::Session::resume) says.
///
/// # Errors
/// If it is no job.
pub fn decode_job(bytes: &[u8]) -> Result<Job, WireError> {
    let wire = WireJob::decode(bytes)?;
    let model = wire.model[..].try_into();
    let prompt = wire.prompt as usize;
    if prompt > wire.tokens.len() {
        return Err(WireError::Range("the length of the prompt"));
    }
    if !(0.0..=1.0).contains(&wire.least_experts) {
        return Err(WireError::Range("the least share of experts"));
    }
    let arithmetic = ARITHMETICS.get(wire.arithmetic as usize);
    let sampling = wire.sampling.unwrap_or_default();
    Ok(Job {
        model: ModelId(model.map_err(|_| WireError::Range("the model's name"))?),
        tokens: wire.tokens,
        prompt,
        sampling: Sampling {
            temperature: sampling.temperature,
            top_k: sampling.top_k as usize,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            repetition_penalty: sampling.repetition_penalty,
            repetition_window: sampling.repetition_window as usize,
            seed: sampling.seed,
        },
        max_tokens: wire.max_tokens as usize,
        arithmetic: *arithmetic.ok_or(WireError::Range("the arithmetic"))?,
        least_experts: wire.least_experts,
    })
}

/// What has come of a job as it travels.
#[must_use]
pub fn encode_progress(progress: &Progress) -> Vec<u8> {
    WireProgress {
        tokens: progress.tokens.clone(),
        text: progress.text.clone(),
        thoughts: progress.thoughts.clone(),
        parts: Some(progress.parts.into()),
        end: progress.end.as_ref().map(|end| match end {
            End::Finished(reason) => WireEnd::Finished(number(&REASONS, reason)),
            End::Failed(why) => WireEnd::Failed(why.clone()),
        }),
    }
    .encode_to_vec()
}

/// Reads what [`encode_progress`] wrote; the bytes may come from anybody. No bytes are no progress yet.
///
/// # Errors
/// If it is no progress.
pub fn decode_progress(bytes: &[u8]) -> Result<Progress, WireError> {
    let wire = WireProgress::decode(bytes)?;
    let parts = wire.parts.unwrap_or_default();
    let end = wire.end.map(|end| match end {
        WireEnd::Finished(reason) => {
            let reason = REASONS.get(reason as usize);
            let reason = reason.ok_or(WireError::Range("the reason of the end"));
            reason.map(|reason| End::Finished(*reason))
        }
        WireEnd::Failed(why) => Ok(End::Failed(why)),
    });
    Ok(Progress {
        tokens: wire.tokens,
        text: wire.text,
        thoughts: wire.thoughts,
        parts: parts.into(),
        end: end.transpose()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job() -> Job {
        Job {
            model: ModelId([7; 32]),
            tokens: vec![1, 2, 300_000],
            prompt: 2,
            sampling: Sampling {
                temperature: 0.7,
                min_p: 0.05,
                seed: u64::MAX,
                ..Sampling::default()
            },
            max_tokens: 500,
            arithmetic: Arithmetic::Approximate,
            least_experts: 0.9,
        }
    }

    fn progress() -> Progress {
        let mut progress = Progress::default();
        let event = |token, text: &str| Event::Token {
            token,
            text: text.into(),
        };
        progress.hear(&Event::Prompt { read: 1, total: 2 });
        progress.hear(&Event::Thinking {
            token: 3,
            text: "hm".into(),
        });
        progress.hear(&event(4, "é"));
        progress.hear(&event(5, ""));
        progress.hear(&Event::Done(FinishReason::Length));
        progress
    }

    #[test]
    fn what_was_sent_arrives() {
        assert_eq!(decode_job(&encode_job(&job())).unwrap(), job());
        let progress = progress();
        let told = decode_progress(&encode_progress(&progress)).unwrap();
        assert_eq!(told, progress);
        assert_eq!((told.text.as_str(), told.thoughts.as_str()), ("é", "hm"));
        assert_eq!(told.tokens, [3, 4, 5]);
        let failed = Progress {
            end: Some(End::Failed("no".into())),
            ..progress
        };
        assert_eq!(decode_progress(&encode_progress(&failed)).unwrap(), failed);
        assert_eq!(decode_progress(&[]).unwrap(), Progress::default());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let longer = Job { prompt: 4, ..job() };
        assert!(decode_job(&encode_job(&longer)).is_err());
        let more = Job {
            least_experts: f32::NAN,
            ..job()
        };
        assert!(decode_job(&encode_job(&more)).is_err());
        assert!(decode_job(&[]).is_err(), "of no model");
    }

    proptest! {
        #[test]
        fn nothing_that_a_stranger_says_is_more_than_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in 0_usize..100,
            to: u8,
        ) {
            let _ = (decode_job(&bytes), decode_progress(&bytes));
            for mut bytes in [encode_job(&job()), encode_progress(&progress())] {
                let length = bytes.len();
                bytes[at % length] = to;
                let _ = (decode_job(&bytes), decode_progress(&bytes));
            }
        }
    }
}
