//! What this device can do for the network, and what to do where something is missing.

use leptos::prelude::*;

use crate::{
    engine,
    i18n::Text,
    platform::device::{self, Abilities},
    state::ui,
};

/// Something a device has or lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Check {
    name: &'static str,
    good: bool,
    /// Without it one cannot take part at all.
    needed: bool,
    /// What it means, or what to do.
    words: &'static str,
}

fn checks(t: &'static Text, able: Abilities) -> [Check; 5] {
    let check = |name, good, needed, there, missing| Check {
        name,
        good,
        needed,
        words: if good { there } else { missing },
    };
    [
        check(
            t.able_secure,
            able.secure,
            true,
            t.able_secure_good,
            t.able_secure_bad,
        ),
        check(
            t.able_storage,
            able.storage,
            true,
            t.able_storage_good,
            t.able_storage_bad,
        ),
        check(
            t.able_webrtc,
            able.webrtc,
            false,
            t.able_webrtc_good,
            t.able_webrtc_bad,
        ),
        check(
            t.able_simd,
            able.relaxed_simd,
            false,
            t.able_simd_good,
            t.able_simd_bad,
        ),
        check(
            t.able_graphics,
            able.graphics,
            false,
            t.able_graphics_good,
            t.able_graphics_bad,
        ),
    ]
}

/// Folded away while nothing that is needed is missing.
#[component]
pub(super) fn Preflight() -> impl IntoView {
    let t = ui().t();
    let checks = checks(t, device::abilities(engine::has_relaxed_simd()));
    let lacking = checks.iter().any(|check| check.needed && !check.good);
    let row = |check: Check| {
        let state = match (check.good, check.needed) {
            (true, _) => "good",
            (false, true) => "bad",
            (false, false) => "fair",
        };
        let word = match check.good {
            true => t.able_yes,
            false => t.able_no,
        };
        view! {
            <li data-state=state>
                <span class="able-mark" aria-hidden="true"></span>
                <span><strong>{check.name}</strong>" – "{word}". "<span class="quiet">{check.words}</span></span>
            </li>
        }
    };
    view! {
        <details class="panel" data-testid="preflight" data-lacking=lacking.to_string() open=lacking>
            <summary>{if lacking { t.able_title_bad } else { t.able_title }}</summary>
            <ul class="able">{checks.map(row).into_iter().collect_view()}</ul>
        </details>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::ENGLISH;

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let able = Abilities {
            relaxed_simd: false,
            graphics: true,
            storage: true,
            webrtc: true,
            secure: false,
        };
        let checks = checks(&ENGLISH, able);
        let lacking: Vec<_> = checks
            .iter()
            .filter(|it| it.needed && !it.good)
            .map(|it| it.words)
            .collect();
        assert_eq!(lacking, [ENGLISH.able_secure_bad]);
        assert_eq!(checks[3].words, ENGLISH.able_simd_bad);
    }
}
