//! What the user chose, kept in this browser for all its tabs.

use serde::{Deserialize, Serialize};
use web_bridge::messages::{Drawing, UseGraphics};

use super::contribution::{Part, When};
use crate::{invite::Swarm, platform::storage};

const KEY: &str = "iap2p.settings";

/// Light, dark, or as the device says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Theme {
    #[default]
    Auto,
    Light,
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// What the user chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Tag of the language, if not the browser's.
    pub(crate) language: Option<String>,
    pub(crate) theme: Theme,
    /// What the user is here for.
    pub(crate) part: Part,
    /// When to contribute.
    pub(crate) when: When,
    /// Kilobytes of fragments to give others a second at most.
    pub(crate) upload: Option<u32>,
    /// Keep the screen on while the page is seen.
    pub(crate) keep_awake: bool,
    /// Fragments to lend, for each tab.
    pub(crate) lend: u32,
    /// Cores that compute for others; all of them unless said otherwise.
    pub(crate) cores: Option<u32>,
    /// When the graphics processor computes. Developers may write `"Always"` into the browser's storage.
    pub(crate) graphics: UseGraphics,
    /// Take the likeliest token every time.
    pub(crate) greedy: bool,
    /// How much is left to chance otherwise.
    pub(crate) temperature: f32,
    /// Consider only the fewest likeliest tokens that reach this probability together; 1 for all.
    pub(crate) top_p: f32,
    /// Consider only so many of the likeliest; 0 for all.
    pub(crate) top_k: u32,
    /// Consider only tokens at least this fraction as likely as the likeliest.
    pub(crate) min_p: f32,
    /// Make tokens said lately this many times less likely; 1 for no penalty.
    pub(crate) repetition_penalty: f32,
    /// The same seed gives the same answer; nothing for another one each time.
    pub(crate) seed: Option<u32>,
    /// What the model is told before a conversation.
    pub(crate) system: String,
    /// Take answers from graphics processors, too.
    pub(crate) approximate: bool,
    /// Longest answer.
    pub(crate) max_tokens: u32,
    /// The network joined last: for visits without an invitation, and without a connection.
    pub(crate) swarm: Option<Swarm>,
    /// Whether the user joined `swarm`, and did not leave it again.
    pub(crate) joined: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: None,
            theme: Theme::Auto,
            part: Part::Both,
            when: When::default(),
            upload: None,
            keep_awake: false,
            lend: 1,
            cores: None,
            graphics: UseGraphics::WhereQuicker,
            greedy: false,
            temperature: 0.7,
            top_p: 1.0,
            top_k: 0,
            // Keeps a small model from stumbling over one very unlikely word.
            min_p: 0.05,
            repetition_penalty: 1.0,
            seed: None,
            system: String::new(),
            approximate: false,
            max_tokens: 256,
            swarm: None,
            joined: false,
        }
    }
}

impl Settings {
    /// The settings kept in this browser; what cannot be read is as if never set.
    pub(crate) fn load() -> Self {
        storage::browser()
            .get(KEY)
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }

    /// How the tokens of an answer are drawn; `chance` is the seed where none is chosen.
    pub(crate) fn drawing(&self, chance: impl FnOnce() -> u64) -> Drawing {
        Drawing {
            temperature: if self.greedy { 0.0 } else { self.temperature },
            max_tokens: self.max_tokens,
            seed: self.seed.map_or_else(chance, u64::from),
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
        }
    }

    /// Bytes of fragments to give others a second at most.
    pub(crate) fn upload_bytes(&self) -> Option<u32> {
        self.upload.map(|kilobytes| kilobytes.saturating_mul(1000))
    }

    pub(crate) fn save(&self) {
        if let Ok(text) = serde_json::to_string(self) {
            storage::browser().set(KEY, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_an_older_version_keep_what_they_say() {
        let settings: Settings =
            serde_json::from_str(r#"{"lend":4,"gone":true}"#).expect("readable");
        assert_eq!(
            settings,
            Settings {
                lend: 4,
                ..Settings::default()
            }
        );
    }
}
