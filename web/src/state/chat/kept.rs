//! What is kept of a conversation: in this tab, so that a reload does not lose it, and for whichever tab comes later.

use serde::{Deserialize, Serialize};
use web_bridge::{
    messages::{Drawing, Speaker},
    status::Ending,
};

use crate::platform::storage;

/// The conversation that this tab shows.
pub(super) const KEY: &str = "iap2p.chat";
/// Its name in the archive.
pub(super) const KEY_ID: &str = "iap2p.conversation";
/// The answer on its way, apart from the conversation because it is kept with every token.
pub(super) const KEY_ANSWER: &str = "iap2p.answer";
/// A conversation whose last answer another device finishes: for whichever tab is opened next.
pub(super) const KEY_ELSEWHERE: &str = "iap2p.elsewhere";

/// An answer on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answering {
    pub(super) drawing: Drawing,
    pub(super) approximate: bool,
    /// What the model was told before the conversation.
    #[serde(default)]
    pub(super) system: String,
    /// Its tokens so far, and what they say.
    pub(super) tokens: Vec<u32>,
    pub(super) text: String,
    pub(super) thoughts: String,
    /// If another device finishes it.
    #[serde(default)]
    pub(super) job: Option<Job>,
}

/// An answer that another device finishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) name: [u8; 16],
    pub(super) model: String,
    /// How many tokens were said before, and how long their texts are.
    pub(super) tokens: usize,
    pub(super) text: usize,
    pub(super) thoughts: usize,
}

/// A conversation, with the answer that is on its way if there is one.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Conversation {
    /// Its name in the archive, once something was said.
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(rename = "conversation")]
    pub(super) messages: Vec<Kept>,
    pub(super) answering: Option<Answering>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) speaker: Speaker,
    pub(super) text: String,
    #[serde(default)]
    pub(super) thoughts: String,
    pub(super) ending: Option<Ending>,
}

impl Kept {
    pub(super) fn new(speaker: Speaker, text: String) -> Self {
        Self {
            speaker,
            text,
            thoughts: String::new(),
            ending: None,
        }
    }
}

impl Conversation {
    /// That of this tab before it was loaded anew; or else one with this model whose last answer another device finishes;
    /// or else a new one.
    pub(super) fn of_tab(model: Option<&str>) -> Self {
        Self::before_reload()
            .or_else(|| Self::elsewhere(model))
            .unwrap_or_default()
    }

    fn before_reload() -> Option<Self> {
        let tab = storage::tab();
        let messages = tab.get(KEY)?;
        let answering = tab.get(KEY_ANSWER);
        Some(Self {
            id: tab.get(KEY_ID),
            messages: serde_json::from_str(&messages).ok()?,
            answering: answering.and_then(|text| serde_json::from_str(&text).ok()),
        })
    }

    /// The one that was given away by a tab of this browser.
    fn elsewhere(model: Option<&str>) -> Option<Self> {
        let found: Self = serde_json::from_str(&storage::browser().get(KEY_ELSEWHERE)?).ok()?;
        let job = found.answering.as_ref()?.job.as_ref()?;
        (Some(job.model.as_str()) == model).then_some(found)
    }

    /// As the archive has it.
    pub(super) fn from_archive(id: String, text: &str) -> Option<Self> {
        let found: Self = serde_json::from_str(text).ok()?;
        Some(Self {
            id: Some(id),
            ..found
        })
    }

    pub(super) fn to_text(&self) -> String {
        // Strings and numbers, and no map whose keys are not strings.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The texts in a conversation of the archive, for whoever searches.
pub(in crate::state) fn texts(body: &str) -> impl Iterator<Item = String> {
    let found: Conversation = serde_json::from_str(body).unwrap_or_default();
    found.messages.into_iter().map(|kept| kept.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_of_an_older_version_is_read() {
        let text = r#"{"conversation":[{"speaker":"User","text":"Hi","ending":null}],"answering":
            {"drawing":{"temperature":0,"max_tokens":9,"seed":1},"approximate":false,"tokens":[1],"text":"","thoughts":""}}"#;
        let found = Conversation::from_archive("a".into(), text).expect("readable");
        assert_eq!(found.messages[0].text, "Hi");
        let answering = found.answering.expect("an answer");
        assert_eq!((answering.tokens.len(), answering.drawing.top_p), (1, 1.0));
        assert!(answering.job.is_none() && answering.system.is_empty());
        assert_eq!(texts(text).collect::<Vec<_>>(), ["Hi"]);
        assert_eq!(texts("nonsense").count(), 0);
    }
}
