//! The words of the user interface, in every language it speaks.
//!
//! A language is a value of [`Text`]: a phrase that is missing in one of them does not compile.

mod en;
mod fr;

use web_bridge::status::Place;

pub(crate) use en::ENGLISH;
pub(crate) use fr::FRENCH;

/// A language of the user interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    French,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::English, Self::French];

    /// The language of a tag such as `fr-CH`, if it is spoken here.
    pub(crate) fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|language| language.tag().eq_ignore_ascii_case(primary))
    }

    /// The first of the user's languages that is spoken here, or English.
    pub(crate) fn choose<'a>(wanted: impl IntoIterator<Item = &'a str>) -> Self {
        wanted
            .into_iter()
            .find_map(Self::from_tag)
            .unwrap_or(Self::English)
    }

    /// BCP 47 tag, as in `<html lang>`.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// The language's own name for itself.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::French => "Français",
        }
    }

    pub(crate) const fn text(self) -> &'static Text {
        match self {
            Self::English => &ENGLISH,
            Self::French => &FRENCH,
        }
    }

    /// A number with this language's decimal sign, at most one decimal.
    pub(crate) fn number(self, value: f64) -> String {
        let tenths = (value * 10.0).round();
        let text = if value >= 100.0 || tenths % 10.0 == 0.0 {
            format!("{value:.0}")
        } else {
            format!("{value:.1}")
        };
        match self {
            Self::English => text,
            Self::French => text.replace('.', ","),
        }
    }

    /// A whole number, its digits in groups of three.
    pub(crate) fn count(self, value: u64) -> String {
        let separator = match self {
            Self::English => ',',
            // A narrow blank that keeps the number together.
            Self::French => '\u{202f}',
        };
        let digits = value.to_string();
        let mut text = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                text.push(separator);
            }
            text.push(digit);
        }
        text
    }

    /// A number of bytes in a unit a person can picture; decimal units, as operating systems and shops use.
    pub(crate) fn bytes(self, bytes: u64) -> String {
        let units = self.text().byte_units;
        let mut value = bytes as f64;
        let mut unit = 0;
        while value >= 999.5 && unit + 1 < units.len() {
            value /= 1000.0;
            unit += 1;
        }
        let value = if unit == 0 { value.round() } else { value };
        format!("{}\u{a0}{}", self.number(value), units[unit])
    }
}

type Phrase = &'static str;

/// Every phrase of the user interface. Fields that need a value are functions.
pub(crate) struct Text {
    pub(crate) byte_units: [Phrase; 5],

    pub(crate) skip: Phrase,
    pub(crate) navigation: Phrase,
    pub(crate) chat: Phrase,
    pub(crate) network: Phrase,
    pub(crate) share: Phrase,
    pub(crate) settings: Phrase,
    pub(crate) update_ready: Phrase,
    pub(crate) update_now: Phrase,

    pub(crate) link_offline: Phrase,
    pub(crate) link_connecting: Phrase,
    pub(crate) link_connected: fn(usize) -> String,

    pub(crate) welcome_title: Phrase,
    pub(crate) welcome_what: Phrase,
    pub(crate) welcome_how: Phrase,
    pub(crate) welcome_mosaic: fn(u32, u32) -> String,
    pub(crate) lend_label: Phrase,
    pub(crate) lend_hint: fn(&str) -> String,
    pub(crate) lend_more: Phrase,
    pub(crate) lend_less: Phrase,
    pub(crate) fragments: fn(u32) -> String,
    pub(crate) quota_free: fn(&str) -> String,
    pub(crate) join: Phrase,
    pub(crate) join_options: Phrase,
    pub(crate) join_lend: fn(&str) -> String,
    pub(crate) join_small_print: Phrase,
    pub(crate) no_swarm_title: Phrase,
    pub(crate) no_swarm_what: Phrase,
    pub(crate) no_swarm_label: Phrase,
    pub(crate) no_swarm_bad: Phrase,
    pub(crate) no_swarm_use: Phrase,
    pub(crate) looking_for_swarm: Phrase,

    pub(crate) joining_title: Phrase,
    pub(crate) step_connect: Phrase,
    pub(crate) step_manifest: Phrase,
    pub(crate) step_small: Phrase,
    pub(crate) step_lent: fn(u32) -> String,
    pub(crate) step_done: Phrase,
    pub(crate) step_now: Phrase,
    pub(crate) step_waiting: Phrase,
    pub(crate) progress_of: fn(&str, &str) -> String,
    pub(crate) resumable: Phrase,
    pub(crate) open_chat: Phrase,
    pub(crate) connect_slow: Phrase,

    pub(crate) chat_title: Phrase,
    pub(crate) chat_empty: Phrase,
    pub(crate) examples_label: Phrase,
    pub(crate) examples: [Phrase; 4],
    pub(crate) input_label: Phrase,
    pub(crate) input_placeholder: Phrase,
    pub(crate) input_hint: Phrase,
    pub(crate) send: Phrase,
    pub(crate) stop: Phrase,
    pub(crate) new_chat: Phrase,
    pub(crate) you: Phrase,
    pub(crate) model: Phrase,
    pub(crate) thoughts: Phrase,
    pub(crate) thinking: Phrase,
    pub(crate) reading: fn(u32, u32) -> String,
    pub(crate) waiting_for: fn(&str) -> String,
    pub(crate) give_away: Phrase,
    pub(crate) give_away_hint: Phrase,
    pub(crate) giving_away: Phrase,
    pub(crate) elsewhere: Phrase,
    pub(crate) finished_elsewhere: Phrase,
    pub(crate) queued: fn(u32, &str) -> String,
    pub(crate) chat_not_ready: Phrase,
    pub(crate) chat_offline: Phrase,
    pub(crate) speed: fn(&str) -> String,
    pub(crate) devices: fn(u32) -> String,
    /// So many parts of so many were approximate.
    pub(crate) approximate_parts: fn(u64, u64) -> String,
    /// The speed that was predicted, behind the one measured.
    pub(crate) predicted: fn(&str) -> String,
    /// So many times of so many an expert was missing.
    pub(crate) degraded: fn(u64, u64) -> String,
    pub(crate) tokens: fn(u32) -> String,
    pub(crate) first_token: fn(&str) -> String,
    pub(crate) stopped: Phrase,
    pub(crate) cut_short: Phrase,
    pub(crate) retry: Phrase,
    pub(crate) copy: Phrase,
    pub(crate) copied: Phrase,
    pub(crate) copy_code: Phrase,
    pub(crate) edit: Phrase,
    pub(crate) edit_send: Phrase,
    pub(crate) cancel: Phrase,
    pub(crate) save: Phrase,
    pub(crate) seconds: fn(&str) -> String,
    pub(crate) this_device: Phrase,
    pub(crate) route_title: Phrase,
    pub(crate) route_what: Phrase,
    pub(crate) route_device: Phrase,
    pub(crate) route_part: Phrase,
    pub(crate) route_requests: Phrase,
    pub(crate) route_time: Phrase,
    pub(crate) route_here: Phrase,
    pub(crate) route_fragments: Phrase,
    pub(crate) route_layers: fn(u32, u32) -> String,
    pub(crate) conversations: Phrase,
    pub(crate) conversations_search: Phrase,
    pub(crate) conversations_none: Phrase,
    pub(crate) conversations_not_found: Phrase,
    pub(crate) conversations_not_kept: fn(&str) -> String,
    pub(crate) conversation_taken: Phrase,
    pub(crate) unfinished: Phrase,
    pub(crate) rename: Phrase,
    pub(crate) export: Phrase,
    pub(crate) delete: Phrase,
    pub(crate) delete_sure: Phrase,
    pub(crate) sampling_title: Phrase,
    pub(crate) temperature: Phrase,
    pub(crate) temperature_hint: Phrase,
    pub(crate) top_p: Phrase,
    pub(crate) top_k: Phrase,
    pub(crate) min_p: Phrase,
    pub(crate) repetition_penalty: Phrase,
    pub(crate) seed: Phrase,
    pub(crate) system_prompt: Phrase,
    pub(crate) system_prompt_hint: Phrase,

    pub(crate) dashboard_title: Phrase,
    pub(crate) coverage_title: Phrase,
    pub(crate) coverage_all: fn(u32) -> String,
    pub(crate) coverage_missing: fn(u32, u32) -> String,
    pub(crate) coverage_single: fn(u32) -> String,
    pub(crate) coverage_unknown: Phrase,
    pub(crate) legend_none: Phrase,
    pub(crate) legend_one: Phrase,
    pub(crate) legend_mine: Phrase,
    pub(crate) peers_title: Phrase,
    pub(crate) peers_none: Phrase,
    pub(crate) peer_direct: Phrase,
    pub(crate) peer_relayed: Phrase,
    pub(crate) peer_answered: Phrase,
    pub(crate) peer_asked: Phrase,
    pub(crate) peer_round_trip: fn(u32) -> String,
    pub(crate) peer_traffic: fn(&str, &str) -> String,
    pub(crate) peer_entry: Phrase,
    pub(crate) peer_seed: fn(u32) -> String,
    pub(crate) mine_title: Phrase,
    pub(crate) mine_none: Phrase,
    pub(crate) answered_label: Phrase,
    pub(crate) asked_label: Phrase,
    pub(crate) held_label: Phrase,
    pub(crate) stored_label: Phrase,
    pub(crate) fragment_name: fn(u32) -> String,
    pub(crate) place: fn(Place) -> String,
    pub(crate) contribute: Phrase,
    pub(crate) contribute_title: Phrase,
    pub(crate) contributing: fn(u32) -> String,
    pub(crate) contributing_not_wanted: Phrase,
    pub(crate) contributing_paused: Phrase,
    pub(crate) contributing_hours: fn(u32, u32) -> String,
    pub(crate) contributing_battery: Phrase,
    pub(crate) contributing_metered: Phrase,
    pub(crate) contributing_rate: fn(&str) -> String,
    pub(crate) pause: Phrase,
    pub(crate) resume: Phrase,
    pub(crate) thanks_title: Phrase,
    pub(crate) thanks_none: Phrase,
    pub(crate) thanks: fn(&str, u32) -> String,
    pub(crate) sent_label: Phrase,
    pub(crate) days_title: Phrase,
    pub(crate) day: Phrase,
    pub(crate) upload_label: Phrase,
    pub(crate) upload_unlimited: Phrase,
    pub(crate) upload_limit: fn(&str) -> String,
    pub(crate) upload_hint: Phrase,
    pub(crate) when_title: Phrase,
    pub(crate) part_title: Phrase,
    pub(crate) part_both: Phrase,
    pub(crate) part_both_hint: Phrase,
    pub(crate) part_use: Phrase,
    pub(crate) part_use_hint: Phrase,
    pub(crate) part_contribute: Phrase,
    pub(crate) part_contribute_hint: Phrase,
    pub(crate) only_charging: Phrase,
    pub(crate) only_unmetered: Phrase,
    pub(crate) only_hours: Phrase,
    pub(crate) hours_from: Phrase,
    pub(crate) hours_to: Phrase,
    pub(crate) unseen: fn(&str, &str) -> String,
    pub(crate) unseen_never: Phrase,
    pub(crate) awake: Phrase,
    pub(crate) tone: Phrase,
    pub(crate) tone_hint: Phrase,
    pub(crate) able_title: Phrase,
    pub(crate) able_title_bad: Phrase,
    pub(crate) able_yes: Phrase,
    pub(crate) able_no: Phrase,
    pub(crate) able_secure: Phrase,
    pub(crate) able_secure_good: Phrase,
    pub(crate) able_secure_bad: Phrase,
    pub(crate) able_storage: Phrase,
    pub(crate) able_storage_good: Phrase,
    pub(crate) able_storage_bad: Phrase,
    pub(crate) able_webrtc: Phrase,
    pub(crate) able_webrtc_good: Phrase,
    pub(crate) able_webrtc_bad: Phrase,
    pub(crate) able_simd: Phrase,
    pub(crate) able_simd_good: Phrase,
    pub(crate) able_simd_bad: Phrase,
    pub(crate) able_graphics: Phrase,
    pub(crate) able_graphics_good: Phrase,
    pub(crate) able_graphics_bad: Phrase,
    pub(crate) as_table: Phrase,
    pub(crate) coverage_row: Phrase,
    pub(crate) coverage_fragments: Phrase,
    pub(crate) coverage_holders: Phrase,
    pub(crate) row_embedding: Phrase,
    pub(crate) row_layer: fn(u32) -> String,
    pub(crate) row_output: Phrase,
    pub(crate) row_other: Phrase,
    pub(crate) legend_few: Phrase,
    pub(crate) legend_many: Phrase,
    pub(crate) map_title: Phrase,
    pub(crate) map_words: fn(u32) -> String,
    pub(crate) map_hint: Phrase,
    pub(crate) charts_title: Phrase,
    pub(crate) chart_work: Phrase,
    pub(crate) chart_work_words: fn(&str, &str) -> String,
    pub(crate) chart_bytes: Phrase,
    pub(crate) chart_bytes_words: fn(&str, &str) -> String,
    pub(crate) chart_times: Phrase,
    pub(crate) chart_times_none: Phrase,
    pub(crate) chart_a_second: fn(&str) -> String,
    pub(crate) online_label: Phrase,
    pub(crate) lacking_label: Phrase,

    pub(crate) share_title: Phrase,
    pub(crate) share_what: Phrase,
    pub(crate) share_link_label: Phrase,
    pub(crate) share_qr: Phrase,
    pub(crate) share_send: Phrase,
    pub(crate) share_text: Phrase,
    pub(crate) share_none: Phrase,
    pub(crate) share_private: Phrase,
    pub(crate) share_loopback: Phrase,
    pub(crate) scan: Phrase,
    pub(crate) scan_stop: Phrase,
    pub(crate) scan_title: Phrase,
    pub(crate) scan_what: Phrase,
    pub(crate) scan_view: Phrase,
    pub(crate) scan_other: Phrase,
    pub(crate) scan_refused: Phrase,

    pub(crate) settings_title: Phrase,
    pub(crate) language: Phrase,
    pub(crate) theme: Phrase,
    pub(crate) theme_auto: Phrase,
    pub(crate) theme_light: Phrase,
    pub(crate) theme_dark: Phrase,
    pub(crate) lending_title: Phrase,
    pub(crate) lending_hint: Phrase,
    pub(crate) storage_title: Phrase,
    pub(crate) storage_used: fn(&str, &str) -> String,
    pub(crate) storage_unknown: Phrase,
    pub(crate) storage_kept: Phrase,
    pub(crate) storage_keep: Phrase,
    pub(crate) storage_keep_hint: Phrase,
    pub(crate) storage_keep_refused: Phrase,
    pub(crate) storage_tidy: Phrase,
    pub(crate) storage_tidy_hint: Phrase,
    pub(crate) answers_title: Phrase,
    pub(crate) greedy: Phrase,
    pub(crate) greedy_hint: Phrase,
    pub(crate) approximate: Phrase,
    pub(crate) approximate_hint: Phrase,
    pub(crate) max_tokens: Phrase,
    pub(crate) cores_label: Phrase,
    pub(crate) cores_hint: Phrase,
    pub(crate) graphics: Phrase,
    pub(crate) graphics_hint: Phrase,
    /// By its name, which may be empty.
    pub(crate) graphics_found: fn(&str) -> String,
    pub(crate) graphics_off: Phrase,
    pub(crate) graphics_idle: Phrase,
    pub(crate) graphics_compared: Phrase,
    pub(crate) graphics_in_use: Phrase,
    pub(crate) graphics_slower: Phrase,
    pub(crate) graphics_failed: fn(&str) -> String,
    pub(crate) leave: Phrase,
    pub(crate) leave_hint: Phrase,
    pub(crate) privacy_title: Phrase,
    pub(crate) privacy: [Phrase; 4],
    pub(crate) background_title: Phrase,
    pub(crate) background: Phrase,
    pub(crate) about_title: Phrase,
    pub(crate) about: Phrase,
    pub(crate) about_peer: Phrase,
    pub(crate) about_model: Phrase,

    pub(crate) offline_title: Phrase,
    pub(crate) offline_what: fn(u32) -> String,
    pub(crate) problem_missing: fn(usize, &str) -> String,
    pub(crate) problem_missing_more: fn(usize) -> String,
    pub(crate) problem_missing_todo: Phrase,
    pub(crate) problem_quota: Phrase,
    pub(crate) problem_storage: Phrase,
    pub(crate) problem_unsupported: Phrase,
    pub(crate) problem_too_long: fn(u32, u32) -> String,
    pub(crate) problem_not_ready: Phrase,
    pub(crate) problem_other: Phrase,
    pub(crate) problem_start: Phrase,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_language_that_is_spoken_here_wins() {
        assert_eq!(Language::choose(["de-AT", "fr-CH", "en"]), Language::French);
        assert_eq!(Language::choose(["EN-us"]), Language::English);
        assert_eq!(Language::choose(["de"]), Language::English);
        assert_eq!(Language::choose(["frr"]), Language::English);
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(Language::English.count(999), "999");
        assert_eq!(Language::English.count(1_234_567), "1,234,567");
        assert_eq!(Language::French.count(12_345), "12\u{202f}345");
    }

    #[test]
    fn sizes_read_as_a_person_would_say_them() {
        assert_eq!(Language::English.bytes(0), "0\u{a0}B");
        assert_eq!(Language::English.bytes(10_485_760), "10.5\u{a0}MB");
        assert_eq!(Language::French.bytes(10_485_760), "10,5\u{a0}Mo");
        assert_eq!(Language::French.bytes(999_900), "1\u{a0}Mo");
        assert_eq!(Language::English.bytes(14_300_000_000), "14.3\u{a0}GB");
    }
}
