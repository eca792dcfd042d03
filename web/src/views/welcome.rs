//! First visit: what this is, how much to lend, join.

use leptos::prelude::*;

use super::{
    conditions::{PartChoice, Sparing},
    preflight::Preflight,
    privacy::Privacy,
};
use crate::{
    components::{Logo, Mosaic, Stepper},
    platform::quota::{self, Quota},
    start,
    state::{Part, ui},
};

/// Largest size of a fragment, by which storage is reckoned before the manifest is known.
pub(super) const FRAGMENT_BYTES: u64 = 10 << 20;
/// The most one tab lends where the browser does not say what it grants.
const UNKNOWN_QUOTA: u32 = 20;
/// The most one tab lends in any case.
const MOST: u32 = 500;
/// The part of the free storage a tab may take: other tabs want to lend too.
const FAIR_PART: u64 = 2;

/// How many fragments one tab can afford.
pub(super) fn affordable(quota: Option<Quota>, fragments: Option<u32>) -> u32 {
    let by_quota = quota.map_or(UNKNOWN_QUOTA, |quota| {
        u32::try_from(quota.free() / FRAGMENT_BYTES / FAIR_PART).unwrap_or(MOST)
    });
    by_quota
        .clamp(1, MOST)
        .min(fragments.unwrap_or(MOST).max(1))
}

#[component]
pub(crate) fn Welcome() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let fragments = ui
        .swarm
        .with_untracked(|swarm| swarm.as_ref().and_then(|swarm| swarm.fragments));
    let quota = LocalResource::new(quota::estimate);
    let max = Signal::derive(move || affordable(quota.get().flatten(), fragments));
    let lend = Signal::derive(move || ui.settings.with(|settings| settings.lend));
    let shown = Signal::derive(move || {
        ui.settings.with(|settings| match settings.part {
            Part::Use => 0,
            Part::Both | Part::Contribute => settings.lend,
        })
    });
    let contributes = move || ui.settings.with(|settings| settings.part != Part::Use);
    let what = move || match contributes() {
        true => (t.join_lend)(&language.bytes(u64::from(lend.get()) * FRAGMENT_BYTES)),
        false => t.part_use_hint.to_owned(),
    };
    let size = move || (t.lend_hint)(&language.bytes(u64::from(lend.get()) * FRAGMENT_BYTES));
    let free = move || {
        let quota = quota.get().flatten()?;
        Some(format!(
            " · {}",
            (t.quota_free)(&language.bytes(quota.free()))
        ))
    };
    view! {
        <main id="main" tabindex="-1" class="welcome" data-testid="onboarding">
            <div class="welcome-picture"><Mosaic mine=shown all=fragments/></div>
            <div class="welcome-words">
                <p class="brand"><Logo/>"Inference-IA-P2P"</p>
                <h1>{t.welcome_title}</h1>
                <p class="lead">{t.welcome_what}</p>
                <p class="lead">{t.welcome_how}</p>
                // Not validated by the browser: a number that is out of bounds, as every one is until it is known what there is
                // room for, may be in what is folded up, and joining would be refused without a word.
                <form class="panel join" novalidate on:submit=move |event| {
                    event.prevent_default();
                    if let Some(known) = quota.get_untracked() {
                        let most = affordable(known, fragments);
                        ui.set(|settings| settings.lend = settings.lend.min(most));
                    }
                    start::join(ui);
                }>
                    <p role="status" data-testid="join-what">{what}</p>
                    <Show when=contributes><Sparing/></Show>
                    <button type="submit" class="primary" data-testid="onboarding-join">{t.join}</button>
                    <details data-testid="join-options">
                        <summary>{t.join_options}</summary>
                        <div class="options">
                            <PartChoice/>
                            <Show when=contributes>
                                <div class="field">
                                    <label for="lend">{t.lend_label}</label>
                                    <Stepper id="lend" value=lend max min=1 testid="fragment-count" describedby="lend-hint"
                                        change=move |wanted| ui.set(|settings| settings.lend = wanted)/>
                                    <p id="lend-hint" class="quiet">{size}{free}</p>
                                    <p class="visually-hidden" role="status">
                                        {move || fragments.map(|all| (t.welcome_mosaic)(lend.get(), all))}
                                    </p>
                                </div>
                            </Show>
                        </div>
                    </details>
                    <p class="small-print">{t.join_small_print}</p>
                </form>
                <Preflight/>
                <details class="panel"><summary>{t.privacy_title}</summary><Privacy/></details>
            </div>
        </main>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(free: u64) -> Option<Quota> {
        Some(Quota {
            used: 1 << 30,
            granted: (1 << 30) + free,
            persisted: false,
        })
    }

    #[test]
    fn one_can_lend_what_the_browser_affords() {
        assert_eq!(affordable(quota(1 << 30), None), 51);
        assert_eq!(affordable(quota(1 << 30), Some(8)), 8);
        assert_eq!(affordable(quota(u64::from(u32::MAX) << 30), None), MOST);
    }

    #[test]
    fn one_can_always_try_to_lend_one() {
        assert_eq!(affordable(quota(0), None), 1);
        assert_eq!(affordable(None, Some(0)), 1);
        assert_eq!(affordable(None, None), UNKNOWN_QUOTA);
    }
}
