//! What the user chose, kept in this browser for all its tabs.

use serde::{Deserialize, Serialize};
use web_bridge::messages::UseGraphics;

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
    /// Fragments to lend, for each tab.
    pub(crate) lend: u32,
    /// Cores that compute for others; all of them unless said otherwise.
    pub(crate) cores: Option<u32>,
    /// When the graphics processor computes. Developers may write `"Always"` into the browser's storage.
    pub(crate) graphics: UseGraphics,
    /// Take the likeliest token every time.
    pub(crate) greedy: bool,
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
            lend: 1,
            cores: None,
            graphics: UseGraphics::WhereQuicker,
            greedy: false,
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
