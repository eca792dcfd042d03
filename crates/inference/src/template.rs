//! A conversation as the tokens a model was trained on.

use gguf::Metadata;
use minijinja::{Environment, Error as JinjaError, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};

use crate::tokenizer::{self, Encode, Token, Tokenizer};

/// Steps a template may take. A real one needs some thousands; it comes from a stranger's file.
const MAX_STEPS: u64 = 5_000_000;

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

/// Something said in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// By whom.
    pub role: Role,
    /// What.
    pub content: String,
}

/// A day, for the templates that tell the model what day it is. This crate has no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Date {
    /// The year, such as 2026.
    pub year: u16,
    /// 1 for January.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A conversation cannot be put as the model wants it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The template of the file refused or failed.
    #[error("the model's chat template: {0:#}")]
    Template(#[from] JinjaError),
    /// The text has no tokens.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
}

/// How a model wants a conversation to be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatTemplate {
    /// As the file's own template says.
    Jinja(String),
    /// Mistral's V13 format, for files with its tokens and no template.
    Mistral(MistralTokens),
    /// Names and colons, for models that were never taught to converse.
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
                let text = render(source, tokenizer, messages, today)?;
                let options = Encode {
                    parse_special: true,
                    add_special: false,
                };
                tokenizer.encode(&text, options)?
            }
            Self::Mistral(format) => format.encode(tokenizer, messages)?,
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

/// Runs a template as the `transformers` library does, whose conventions files rely on.
fn render(
    source: &str,
    tokenizer: &Tokenizer,
    messages: &[Message],
    today: Option<Date>,
) -> Result<String, JinjaError> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(MAX_STEPS));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| {
        Err::<Value, _>(JinjaError::new(ErrorKind::InvalidOperation, message))
    });
    if let Some(today) = today {
        environment.add_function("strftime_now", move |format: String| today.format(&format));
    }
    let piece = |token: Option<Token>| {
        let piece = token.and_then(|token| tokenizer.vocabulary().piece(token));
        piece.unwrap_or_default().to_owned()
    };
    let values = context! {
        messages,
        add_generation_prompt => true,
        bos_token => piece(tokenizer.vocabulary().bos),
        eos_token => piece(tokenizer.vocabulary().eos),
    };
    environment.render_str(source, values)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Date {
    /// As Python's `strftime`, for the codes that say a day.
    fn format(self, format: &str) -> Result<String, JinjaError> {
        let mut text = String::new();
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            let month = MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied();
            let month = month.unwrap_or_default();
            text += &match rest.next() {
                Some('d') => format!("{:02}", self.day),
                Some('m') => format!("{:02}", self.month),
                Some('Y') => self.year.to_string(),
                Some('y') => format!("{:02}", self.year % 100),
                Some('B') => month.to_owned(),
                Some('b') => month.chars().take(3).collect(),
                Some('%') => "%".to_owned(),
                code => {
                    let message = format!("strftime_now knows no {code:?}");
                    return Err(JinjaError::new(ErrorKind::InvalidOperation, message));
                }
            };
        }
        Ok(text)
    }
}
