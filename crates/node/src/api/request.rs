//! What programs ask for, as it comes, and what it means here.

use super::error::Error;
use inference::Sampling;
use inference::template::{Message, Role};
use serde::Deserialize;
use serde_json::Value;

/// More texts to stop at are refused, as they are where the format comes from.
const MOST_STOPS: usize = 4;
/// The most alternatives to a token that are told.
pub(super) const MOST_ALTERNATIVES: usize = 20;

/// One or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// What a chat and a text that is to be gone on with have in common.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Common {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<i64>,
    stop: Option<OneOrMany<String>>,
    // What other servers of this format understand, too.
    top_k: Option<usize>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    // What is not possible here, unless it asks for nothing.
    n: Option<u32>,
    best_of: Option<u32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<Value>,
    tools: Option<Value>,
    functions: Option<Value>,
    response_format: Option<Value>,
    modalities: Option<Vec<String>>,
    suffix: Option<String>,
    echo: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamOptions {
    pub(super) include_usage: bool,
}

/// Whether a setting asks for nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

impl Common {
    pub(super) fn include_usage(&self) -> bool {
        self.stream_options.is_some_and(|it| it.include_usage)
    }

    /// What cannot be done is refused, not left out.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.model.is_empty() {
            return Err(Error::invalid_value(
                "model",
                "Which model? Give its name, as /v1/models says it.",
            ));
        }
        let asks = |value: &Option<Value>| value.as_ref().is_some_and(|it| !is_empty(it));
        let penalty = |value: Option<f32>| value.is_some_and(|it| it != 0.0);
        let not_text = |value: &Option<Value>| {
            let kind = value
                .as_ref()
                .and_then(|it| it.get("type"))
                .and_then(Value::as_str);
            kind.is_some_and(|kind| kind != "text")
        };
        let modalities = self.modalities.iter().flatten();
        for (param, asked, instead) in [
            (
                "n",
                self.n.is_some_and(|n| n != 1),
                "One answer is made to each request: ask several times.",
            ),
            (
                "best_of",
                self.best_of.is_some_and(|n| n != 1),
                "One answer is made to each request.",
            ),
            (
                "presence_penalty",
                penalty(self.presence_penalty),
                "There is repetition_penalty.",
            ),
            (
                "frequency_penalty",
                penalty(self.frequency_penalty),
                "There is repetition_penalty.",
            ),
            (
                "logit_bias",
                asks(&self.logit_bias),
                "Tokens cannot be favoured.",
            ),
            ("tools", asks(&self.tools), "The model calls no tools here."),
            (
                "functions",
                asks(&self.functions),
                "The model calls no functions here.",
            ),
            (
                "response_format",
                not_text(&self.response_format),
                "Answers are text.",
            ),
            (
                "modalities",
                modalities.into_iter().any(|it| it != "text"),
                "Answers are text.",
            ),
            (
                "suffix",
                self.suffix.as_ref().is_some_and(|it| !it.is_empty()),
                "Texts are gone on with at their end.",
            ),
            (
                "echo",
                self.echo == Some(true),
                "The prompt is not said again.",
            ),
        ] {
            if asked {
                return Err(Error::unsupported(
                    param,
                    format!("{param} is not possible here. {instead}"),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn max_tokens(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    pub(super) fn stop(&self) -> Result<Vec<String>, Error> {
        let stop = self
            .stop
            .clone()
            .map(OneOrMany::into_vec)
            .unwrap_or_default();
        match stop.len() > MOST_STOPS {
            true => Err(Error::invalid_value(
                "stop",
                format!("{MOST_STOPS} texts to stop at are possible."),
            )),
            false => Ok(stop),
        }
    }

    /// `chance` is the seed where none is given.
    pub(super) fn sampling(&self, chance: u64) -> Result<Sampling, Error> {
        let sampling = Sampling {
            // The format's own default.
            temperature: self.temperature.unwrap_or(1.0),
            top_p: self.top_p.unwrap_or(1.0),
            top_k: self.top_k.unwrap_or(0),
            min_p: self.min_p.unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            seed: self.seed.map_or(chance, i64::cast_unsigned),
            ..Sampling::default()
        };
        let checked = sampling.validate();
        checked.map_err(|error| Error::invalid(error.to_string()))?;
        Ok(sampling)
    }
}

/// `POST /v1/chat/completions`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Chat {
    #[serde(flatten)]
    pub(super) common: Common,
    messages: Vec<Said>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    top_logprobs: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
struct Said {
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Clone, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

impl Chat {
    /// The conversation.
    pub(super) fn messages(&self) -> Result<Vec<Message>, Error> {
        if self.messages.is_empty() {
            return Err(Error::invalid_value(
                "messages",
                "There is no message to answer.",
            ));
        }
        self.messages.iter().map(Said::message).collect()
    }

    /// How many alternatives to each token are told, if anything is.
    pub(super) fn alternatives(&self) -> Result<Option<usize>, Error> {
        match (self.logprobs.unwrap_or(false), self.top_logprobs) {
            (_, Some(more)) if more > MOST_ALTERNATIVES => Err(Error::invalid_value(
                "top_logprobs",
                format!("{MOST_ALTERNATIVES} alternatives to a token are told at most."),
            )),
            (true, count) => Ok(Some(count.unwrap_or(0))),
            (false, None | Some(0)) => Ok(None),
            (false, Some(_)) => Err(Error::invalid_value(
                "top_logprobs",
                "top_logprobs needs logprobs.",
            )),
        }
    }
}

impl Said {
    fn message(&self) -> Result<Message, Error> {
        let role = match self.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => {
                let message = format!(
                    "Nobody in a conversation is {other:?} here: there are system, user and assistant."
                );
                return Err(Error::invalid_value("messages", message));
            }
        };
        let content = match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                let texts = parts
                    .iter()
                    .map(|part| match (part.kind.as_str(), &part.text) {
                        ("text", Some(text)) => Ok(text.as_str()),
                        (kind, _) => Err(Error::unsupported(
                            "messages",
                            format!("This model reads text, not {kind:?}."),
                        )),
                    });
                texts.collect::<Result<Vec<_>, _>>()?.join("\n")
            }
        };
        Ok(Message { role, content })
    }
}

/// `POST /v1/completions`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Completion {
    #[serde(flatten)]
    pub(super) common: Common,
    prompt: Prompt,
    #[serde(default)]
    logprobs: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    ManyTokens(Vec<Vec<u32>>),
}

/// One text, or the tokens of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    Text(String),
    Tokens(Vec<u32>),
}

impl Completion {
    /// The format gives so many where nothing is said.
    pub(super) const MAX_TOKENS: usize = 16;

    pub(super) fn start(&self) -> Result<Start, Error> {
        let several = || {
            Error::unsupported(
                "prompt",
                "One text is gone on with at a time: ask several times.",
            )
        };
        match &self.prompt {
            Prompt::Text(text) => Ok(Start::Text(text.clone())),
            Prompt::Tokens(tokens) => Ok(Start::Tokens(tokens.clone())),
            Prompt::Texts(texts) => match texts.as_slice() {
                [text] => Ok(Start::Text(text.clone())),
                _ => Err(several()),
            },
            Prompt::ManyTokens(texts) => match texts.as_slice() {
                [tokens] => Ok(Start::Tokens(tokens.clone())),
                _ => Err(several()),
            },
        }
    }

    pub(super) fn alternatives(&self) -> Result<Option<usize>, Error> {
        match self.logprobs {
            Some(more) if more > MOST_ALTERNATIVES => Err(Error::invalid_value(
                "logprobs",
                format!("{MOST_ALTERNATIVES} alternatives to a token are told at most."),
            )),
            count => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chat(more: Value) -> Chat {
        let mut whole = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] });
        let fields = whole.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn what_is_asked_for_is_understood() {
        let asked = chat(json!({
            "messages": [
                { "role": "developer", "content": "Be brief." },
                { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
                { "role": "assistant", "content": null },
            ],
            "stop": "END", "seed": -1, "temperature": 0, "max_completion_tokens": 7, "max_tokens": 9,
            "logprobs": true, "top_logprobs": 3, "tools": [], "n": 1, "presence_penalty": 0, "user": "me",
            "stream_options": { "include_usage": true },
        }));
        asked.common.check().unwrap();
        let messages = asked.messages().unwrap();
        let said: Vec<_> = messages
            .iter()
            .map(|it| (it.role, it.content.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                (Role::System, "Be brief."),
                (Role::User, "a\nb"),
                (Role::Assistant, "")
            ]
        );
        assert_eq!(asked.common.stop().unwrap(), ["END"]);
        assert_eq!(asked.common.max_tokens(), Some(7));
        assert_eq!(asked.alternatives().unwrap(), Some(3));
        assert!(asked.common.include_usage());
        let sampling = asked.common.sampling(5).unwrap();
        assert_eq!((sampling.temperature, sampling.seed), (0.0, u64::MAX));
        let sampling = chat(json!({})).common.sampling(5).unwrap();
        assert_eq!((sampling.temperature, sampling.seed), (1.0, 5));
    }

    #[test]
    fn what_is_not_possible_is_refused_by_its_name() {
        for (more, param) in [
            (json!({ "n": 2 }), "n"),
            (json!({ "tools": [{}] }), "tools"),
            (
                json!({ "response_format": { "type": "json_object" } }),
                "response_format",
            ),
            (json!({ "frequency_penalty": 0.5 }), "frequency_penalty"),
            (json!({ "modalities": ["text", "audio"] }), "modalities"),
            (json!({ "model": "" }), "model"),
        ] {
            let error = chat(more).common.check().unwrap_err();
            assert!(
                error
                    .in_stream()
                    .contains(&format!("\"param\":\"{param}\"")),
                "{error:?}"
            );
        }
        let image =
            chat(json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }));
        assert!(
            image
                .messages()
                .unwrap_err()
                .in_stream()
                .contains("image_url")
        );
        assert!(chat(json!({ "messages": [] })).messages().is_err());
        assert!(
            chat(json!({ "messages": [{ "role": "tool" }] }))
                .messages()
                .is_err()
        );
        assert!(chat(json!({ "top_logprobs": 2 })).alternatives().is_err());
        assert!(
            chat(json!({ "stop": ["a", "b", "c", "d", "e"] }))
                .common
                .stop()
                .is_err()
        );
        assert!(chat(json!({ "top_p": 2 })).common.sampling(0).is_err());
    }

    #[test]
    fn a_prompt_is_text_or_tokens() {
        let start = |prompt: Value| {
            let asked: Completion =
                serde_json::from_value(json!({ "model": "m", "prompt": prompt })).unwrap();
            asked.start().ok()
        };
        let text = Some(Start::Text("a".into()));
        assert_eq!(start(json!("a")), text);
        assert_eq!(start(json!(["a"])), text);
        assert_eq!(start(json!([1, 2])), Some(Start::Tokens(vec![1, 2])));
        assert_eq!(start(json!([[1, 2]])), Some(Start::Tokens(vec![1, 2])));
        assert_eq!(start(json!(["a", "b"])), None);
    }
}
