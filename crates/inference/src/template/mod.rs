//! A conversation as the tokens a model was trained on.

mod date;
mod jinja;

use gguf::Metadata;
use serde::{Deserialize, Serialize};

use crate::tokenizer::{self, Encode, Token, Tokenizer};
pub use date::Date;
pub use jinja::{Context, render};

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whoever set the conversation up.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// As templates name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Something said in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// By whom.
    pub role: Role,
    /// What.
    pub content: String,
}

/// A conversation cannot be put as the model wants it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The template of the file does not want this conversation, and says why.
    #[error("the model's chat template refuses this conversation: {0}")]
    Refused(String),
    /// The template of the file is no template, or failed.
    #[error("the model's chat template cannot be used: {0:#}")]
    Template(#[source] minijinja::Error),
    /// The text has no tokens.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
}

/// How a model wants a conversation to be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatTemplate {
    /// As the file's own template says.
    Jinja(String),
    /// Mistral's V13 format, for files with its tokens (`[INST]`) and no template.
    Mistral(MistralTokens),
    /// ChatML, for files with its tokens (`<|im_start|>`) and no template.
    ChatMl,
    /// Names and colons, for models that were never taught to converse: no template, and none of these tokens.
    Plain,
}

/// The control tokens of Mistral's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MistralTokens {
    instruction: [Token; 2],
    /// Older vocabularies have none: what the system says then opens the first instruction.
    system: Option<[Token; 2]>,
    end: Option<Token>,
}

impl ChatTemplate {
    /// The format of a file's model.
    pub fn new(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Self, gguf::MetadataError> {
        if let Some(source) = metadata.optional::<&str>("tokenizer.chat_template")? {
            return Ok(Self::Jinja(source.to_owned()));
        }
        let vocabulary = tokenizer.vocabulary();
        let pair = |open, close| Some([vocabulary.special(open)?, vocabulary.special(close)?]);
        Ok(match pair("[INST]", "[/INST]") {
            Some(instruction) => Self::Mistral(MistralTokens {
                instruction,
                system: pair("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
                end: vocabulary.eos,
            }),
            None if pair("<|im_start|>", "<|im_end|>").is_some() => Self::ChatMl,
            None => Self::Plain,
        })
    }

    /// The tokens after which the model says the assistant's next message.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        today: Option<Date>,
    ) -> Result<Vec<Token>, Error> {
        let bos = tokenizer.vocabulary().bos.filter(|_| tokenizer.adds_bos());
        let mut tokens = match self {
            Self::Jinja(source) => {
                let piece = |token: Option<Token>| {
                    let piece = token.and_then(|token| tokenizer.vocabulary().piece(token));
                    piece.unwrap_or_default().to_owned()
                };
                let context = Context {
                    bos: piece(tokenizer.vocabulary().bos),
                    eos: piece(tokenizer.vocabulary().eos),
                    today,
                };
                tokenizer.encode(&render(source, messages, &context)?, WITH_SPECIAL)?
            }
            Self::Mistral(format) => format.encode(tokenizer, messages)?,
            Self::ChatMl => chat_ml(tokenizer, messages)?,
            Self::Plain => tokenizer.encode(&plain(messages), Encode::default())?,
        };
        // Templates may or may not write it.
        if let Some(bos) = bos.filter(|bos| tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }
}

impl MistralTokens {
    fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
    ) -> Result<Vec<Token>, tokenizer::Error> {
        let mut tokens = Vec::new();
        let mut before = String::new();
        for Message { role, content } in messages {
            let put = |tokens: &mut Vec<Token>, text: &str| {
                tokens.extend(tokenizer.encode(text, Encode::default())?);
                Ok::<_, tokenizer::Error>(())
            };
            match (role, self.system) {
                (Role::System, Some([open, close])) => {
                    tokens.push(open);
                    put(&mut tokens, content)?;
                    tokens.push(close);
                }
                (Role::System, None) => before = format!("{content}\n\n"),
                (Role::User, _) => {
                    let [open, close] = self.instruction;
                    tokens.push(open);
                    put(&mut tokens, &(std::mem::take(&mut before) + content))?;
                    tokens.push(close);
                }
                (Role::Assistant, _) => {
                    put(&mut tokens, content)?;
                    tokens.extend(self.end);
                }
            }
        }
        Ok(tokens)
    }
}

/// For what is not what somebody typed.
const WITH_SPECIAL: Encode = Encode {
    parse_special: true,
    add_special: false,
};

fn chat_ml(tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<Token>, tokenizer::Error> {
    let mut tokens = Vec::new();
    for Message { role, content } in messages {
        let start = format!("<|im_start|>{}\n", role.name());
        tokens.extend(tokenizer.encode(&start, WITH_SPECIAL)?);
        tokens.extend(tokenizer.encode(content, Encode::default())?);
        tokens.extend(tokenizer.encode("<|im_end|>\n", WITH_SPECIAL)?);
    }
    tokens.extend(tokenizer.encode("<|im_start|>assistant\n", WITH_SPECIAL)?);
    Ok(tokens)
}

fn plain(messages: &[Message]) -> String {
    let mut text = String::new();
    for Message { role, content } in messages {
        text += &match role {
            Role::System => format!("{content}\n\n"),
            Role::User => format!("User: {content}\n"),
            Role::Assistant => format!("Assistant: {content}\n"),
        };
    }
    text + "Assistant:"
}
