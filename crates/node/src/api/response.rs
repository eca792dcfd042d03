//! Answers as programs expect them.

use super::answer::{Chance, Reason, Usage};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// A model that can be asked.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Model {
    pub(super) id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl Model {
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            object: "model",
            created: now(),
            owned_by: "iap2p",
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    object: &'static str,
    data: Vec<T>,
}

impl<T> List<T> {
    pub(super) fn new(data: Vec<T>) -> Self {
        Self {
            object: "list",
            data,
        }
    }
}

/// An answer, or a piece of one.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Whole<C> {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    /// Which weights answered: the same with the same seed means the same text.
    system_fingerprint: String,
    choices: Vec<C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageTold>,
}

/// What is the same in all pieces of an answer.
#[derive(Debug, Clone)]
pub(super) struct Head {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    fingerprint: String,
}

impl Head {
    /// For a new answer of a kind whose names begin with `kind`.
    pub(super) fn new(kind: &str, object: &'static str, model: &Model, fingerprint: &str) -> Self {
        Self {
            id: format!("{kind}-{:032x}", rand::random::<u128>()),
            object,
            created: now(),
            model: model.id.clone(),
            fingerprint: fingerprint.to_owned(),
        }
    }

    fn whole<C>(&self, choices: Vec<C>, usage: Option<Usage>) -> Whole<C> {
        Whole {
            id: self.id.clone(),
            object: self.object,
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: self.fingerprint.clone(),
            choices,
            usage: usage.map(Into::into),
        }
    }

    /// A piece of a stream.
    pub(super) fn with<C>(&self, choice: C) -> Whole<C> {
        self.whole(vec![choice], None)
    }

    /// The last piece of a stream, if that is wanted.
    pub(super) fn usage<C>(&self, usage: Usage) -> Whole<C> {
        self.whole(Vec::new(), Some(usage))
    }

    /// All at once.
    pub(super) fn complete<C>(&self, choice: C, usage: Usage) -> Whole<C> {
        self.whole(vec![choice], Some(usage))
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |it| it.as_secs())
}

#[derive(Debug, Clone, Copy, Serialize)]
struct UsageTold {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: Details,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Details {
    cached_tokens: usize,
}

impl From<Usage> for UsageTold {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt,
            completion_tokens: usage.answer,
            total_tokens: usage.prompt + usage.answer,
            prompt_tokens_details: Details {
                cached_tokens: usage.cached,
            },
        }
    }
}

impl Reason {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// A whole message of a chat.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ChatChoice {
    pub(super) index: u32,
    pub(super) message: Message,
    pub(super) logprobs: Option<ChatLogprobs>,
    pub(super) finish_reason: &'static str,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Message {
    pub(super) role: &'static str,
    pub(super) content: String,
    pub(super) refusal: Option<String>,
    /// What the model thought before; as other servers of this format name it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) reasoning_content: String,
}

/// A piece of one.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct ChatDelta {
    pub(super) index: u32,
    pub(super) delta: Delta,
    pub(super) logprobs: Option<ChatLogprobs>,
    pub(super) finish_reason: Option<&'static str>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct ChatLogprobs {
    content: Vec<ChatToken>,
    refusal: Option<Vec<ChatToken>>,
}

#[derive(Debug, Clone, Serialize)]
struct ChatToken {
    #[serde(flatten)]
    token: TokenTold,
    top_logprobs: Vec<TokenTold>,
}

#[derive(Debug, Clone, Serialize)]
struct TokenTold {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl TokenTold {
    fn new(bytes: &[u8], logprob: f32) -> Self {
        Self {
            token: String::from_utf8_lossy(bytes).into_owned(),
            logprob,
            bytes: bytes.to_vec(),
        }
    }
}

impl ChatLogprobs {
    pub(super) fn new(chances: &[Chance]) -> Self {
        let token = |chance: &Chance| ChatToken {
            token: TokenTold::new(&chance.bytes, chance.log_probability),
            top_logprobs: chance
                .alternatives
                .iter()
                .map(|(bytes, log)| TokenTold::new(bytes, *log))
                .collect(),
        };
        Self {
            content: chances.iter().map(token).collect(),
            refusal: None,
        }
    }
}

/// A text, or a piece of one, that goes on with a prompt.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TextChoice {
    pub(super) index: u32,
    pub(super) text: String,
    pub(super) logprobs: Option<TextLogprobs>,
    pub(super) finish_reason: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<BTreeMap<String, f32>>,
    text_offset: Vec<usize>,
}

impl TextLogprobs {
    /// `offset` is how much text there was before, in characters; it is moved on.
    pub(super) fn new(chances: &[Chance], offset: &mut usize) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let tokens: Vec<_> = chances.iter().map(|it| text(&it.bytes)).collect();
        let offsets = tokens.iter().map(|token| {
            let here = *offset;
            *offset += token.chars().count();
            here
        });
        Self {
            text_offset: offsets.collect(),
            token_logprobs: chances.iter().map(|it| it.log_probability).collect(),
            top_logprobs: chances
                .iter()
                .map(|it| {
                    it.alternatives
                        .iter()
                        .map(|(bytes, log)| (text(bytes), *log))
                        .collect()
                })
                .collect(),
            tokens,
        }
    }
}
