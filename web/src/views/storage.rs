//! What this browser stores, and for how long.

use leptos::{either::Either, prelude::*};
use web_bridge::messages::ToEngine;

use crate::{
    i18n::Language,
    platform::quota::{self, Quota},
    state::ui,
};

#[component]
pub(crate) fn StoragePanel() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let stored = Memo::new(move |_| ui.status.with(|status| status.stored));
    let quota = LocalResource::new(move || {
        // Another fragment stored or deleted changes the figures.
        stored.track();
        quota::estimate()
    });
    let refused = RwSignal::new(false);
    let keep = move |_| {
        // The browser wants the request to come straight from the click.
        let granted = quota::persist();
        leptos::task::spawn_local(async move {
            refused.set(!granted.await);
            quota.refetch();
        });
    };
    let kept = move || quota.get().flatten().is_some_and(|quota| quota.persisted);
    view! {
        <section class="panel">
            <h3>{t.storage_title}</h3>
            <p>{move || quota.get().map(|quota| used(language, quota))}</p>
            {move || if kept() {
                Either::Left(view! { <p class="quiet">{t.storage_kept}</p> })
            } else {
                Either::Right(view! {
                    <button type="button" data-testid="persist" aria-describedby="keep-hint" on:click=keep>{t.storage_keep}</button>
                    <p id="keep-hint" class="quiet" aria-live="polite">
                        {move || if refused.get() { t.storage_keep_refused } else { t.storage_keep_hint }}
                    </p>
                })
            }}
            <button type="button" data-testid="tidy" aria-describedby="tidy-hint" on:click=move |_| ui.tell(&ToEngine::Tidy)>
                {t.storage_tidy}
            </button>
            <p id="tidy-hint" class="quiet">{t.storage_tidy_hint}</p>
        </section>
    }
}

fn used(language: Language, quota: Option<Quota>) -> String {
    let t = language.text();
    quota.map_or_else(
        || t.storage_unknown.into(),
        |quota| (t.storage_used)(&language.bytes(quota.used), &language.bytes(quota.granted)),
    )
}
