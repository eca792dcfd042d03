//! What this device does for others: whether, how much, when, and what has come of it.

use leptos::prelude::*;
use web_bridge::messages::ToEngine;

use super::{
    conditions::Conditions, graphics::GraphicsField, joining::Progress, storage::StoragePanel,
    welcome::affordable,
};
use crate::{
    components::{Check, DayChart, Stepper},
    engine,
    i18n::{Language, Text},
    platform::{dates, device, quota},
    start,
    state::{Contributing, Ui, ui},
};

/// Days in the picture.
const DAYS: usize = 30;
/// The limits of uploads that are offered, in kilobytes a second.
const UPLOADS: [u32; 5] = [100, 250, 500, 1000, 5000];

#[component]
pub(crate) fn Contribute() -> impl IntoView {
    let t = ui().t();
    view! {
        <section class="view view-contribute" aria-labelledby="contribute-title">
            <div class="view-head"><h2 id="contribute-title">{t.contribute_title}</h2></div>
            <Now/>
            <Thanks/>
            <HowMuch/>
            <section class="panel"><h3>{t.when_title}</h3><Conditions/></section>
            <Unseen/>
            <StoragePanel/>
        </section>
    }
}

/// Why it does not contribute, or what it does.
fn state_in_words(t: &Text, contributing: Contributing, fragments: u32) -> String {
    match contributing {
        Contributing::Yes => (t.contributing)(fragments),
        Contributing::NotWanted => t.contributing_not_wanted.into(),
        Contributing::Paused => t.contributing_paused.into(),
        Contributing::Hours(hours) => (t.contributing_hours)(hours.from.into(), hours.to.into()),
        Contributing::Battery => t.contributing_battery.into(),
        Contributing::Metered => t.contributing_metered.into(),
    }
}

/// Whether it contributes, and the button that changes it.
#[component]
fn Now() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let held = Memo::new(move |_| ui.status.with(|status| status.held.len() as u32));
    let paused = move || ui.settings.with(|settings| settings.when.paused);
    let rate = Memo::new(move |_| {
        let rates = ui.series.with(|series| series.rates().last().copied());
        rates.map_or(0.0, |rate| rate.answered)
    });
    let language = ui.language.get_untracked();
    view! {
        <div class="panel contributing" data-testid="contributing" data-state=move || ui.contributing.get().name()>
            <p role="status"><strong>{move || state_in_words(t, ui.contributing.get(), held.get())}</strong></p>
            <p class="quiet">{move || (t.contributing_rate)(&language.number(rate.get()))}</p>
            <Progress/>
            <button type="button" class:primary=paused data-testid="pause" aria-pressed=move || paused().to_string()
                on:click=move |_| ui.set(|settings| settings.when.paused = !settings.when.paused)>
                {move || if paused() { t.resume } else { t.pause }}
            </button>
        </div>
    }
}

/// What has come of it, in this browser.
#[component]
fn Thanks() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let total = Memo::new(move |_| {
        ui.ledger
            .with(|ledger| (ledger.total(), ledger.days() as u32))
    });
    let days = Memo::new(move |_| {
        let last = ui.ledger.with(|ledger| ledger.last(DAYS));
        let day = |(date, day): (String, crate::state::Day)| {
            let date = dates::day(language.tag(), &date);
            (date, day.answered as f64, language.count(day.answered))
        };
        last.into_iter().map(day).collect::<Vec<_>>()
    });
    let words = move || {
        let (total, days) = total.get();
        match total.answered {
            0 => t.thanks_none.to_owned(),
            answered => (t.thanks)(&language.count(answered), days),
        }
    };
    view! {
        <section class="panel thanks" data-testid="thanks">
            <h3>{t.thanks_title}</h3>
            <p>{words}</p>
            <dl class="figures">
                <div><dd data-testid="total-answered">{move || language.count(total.get().0.answered)}</dd><dt>{t.answered_label}</dt></div>
                <div><dd>{move || language.bytes(total.get().0.sent)}</dd><dt>{t.sent_label}</dt></div>
            </dl>
            <Show when=move || days.with(|days| !days.is_empty())>
                <DayChart title=t.days_title heads=[t.day, t.answered_label] days/>
            </Show>
        </section>
    }
}

#[component]
fn HowMuch() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let quota = LocalResource::new(quota::estimate);
    let fragments = Memo::new(move |_| {
        let known = ui.status.with(|status| status.coverage.len() as u32);
        (known > 0).then_some(known)
    });
    let max = Signal::derive(move || affordable(quota.get().flatten(), fragments.get()));
    let lend = Signal::derive(move || ui.settings.with(|settings| settings.lend));
    let cores = engine::cores();
    let employed = Signal::derive(move || {
        let chosen = ui.settings.with(|settings| settings.cores);
        chosen.unwrap_or(cores).clamp(1, cores)
    });
    let employ = move |wanted| {
        ui.set(|settings| settings.cores = (wanted < cores).then_some(wanted));
        ui.tell(&ToEngine::Workers(wanted));
    };
    view! {
        <section class="panel">
            <h3>{t.lending_title}</h3>
            <div class="field">
                <label for="lending">{t.lend_label}</label>
                <Stepper id="lending" value=lend max testid="settings-lend" describedby="lending-hint"
                    change=move |wanted| ui.set(|settings| settings.lend = wanted)/>
                <p id="lending-hint" class="quiet">{t.lending_hint}</p>
            </div>
            <div class="field">
                <label for="cores">{t.cores_label}</label>
                <Stepper id="cores" value=employed max=cores min=1 testid="settings-cores" describedby="cores-hint" change=employ/>
                <p id="cores-hint" class="quiet">{t.cores_hint}</p>
            </div>
            <div class="field">
                <label for="upload">{t.upload_label}</label>
                <select id="upload" data-testid="upload" aria-describedby="upload-hint"
                    on:change:target=move |event| {
                        let limit = event.target().value().parse().ok();
                        ui.set(|settings| settings.upload = limit);
                    }>{uploads(ui, language)}</select>
                <p id="upload-hint" class="quiet">{t.upload_hint}</p>
            </div>
            <GraphicsField/>
            <button type="button" class="danger" data-testid="leave" aria-describedby="leave-hint"
                on:click=move |_| start::leave(ui)>{t.leave}</button>
            <p id="leave-hint" class="quiet">{t.leave_hint}</p>
        </section>
    }
}

fn uploads(ui: Ui, language: Language) -> impl IntoView {
    let t = language.text();
    let chosen = ui.settings.with_untracked(|settings| settings.upload);
    let choice = move |limit: Option<u32>| {
        let words = match limit {
            None => t.upload_unlimited.to_owned(),
            Some(limit) => (t.upload_limit)(&language.bytes(u64::from(limit) * 1000)),
        };
        let value = limit.map(|limit| limit.to_string()).unwrap_or_default();
        view! { <option value=value selected={limit == chosen}>{words}</option> }
    };
    let limits = UPLOADS.map(Some);
    std::iter::once(None)
        .chain(limits)
        .map(choice)
        .collect_view()
}

/// What happens while nobody sees the page, measured here, and what helps.
#[component]
fn Unseen() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let words = move || {
        let unseen = ui.unseen.get();
        let minutes = unseen.milliseconds / 60_000.0;
        match unseen.milliseconds > 0.0 {
            true => (t.unseen)(&language.number(minutes), &language.count(unseen.answered)),
            false => t.unseen_never.to_owned(),
        }
    };
    let tone = StoredValue::new_local(device::Tone::new());
    let awake = device::can_stay_awake().then(|| view! {
        <Check id="awake" label=t.awake checked=Signal::derive(move || ui.settings.with(|settings| settings.keep_awake))
            change=move |wanted| ui.set(|settings| settings.keep_awake = wanted)/>
    });
    let sounds = RwSignal::new(false);
    let sound = move |wanted| {
        sounds.set(wanted);
        tone.with_value(|tone| tone.sound(wanted));
    };
    view! {
        <section class="panel" data-testid="unseen">
            <h3>{t.background_title}</h3>
            <p>{t.background}</p>
            <p class="quiet" data-testid="unseen-words">{words}</p>
            {awake}
            <Check id="tone" label=t.tone hint=t.tone_hint checked=sounds change=sound/>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{i18n::ENGLISH, state::Hours};

    #[test]
    fn why_it_does_not_contribute_is_said() {
        let words = |contributing| state_in_words(&ENGLISH, contributing, 1);
        assert_eq!(words(Contributing::Yes), "Contributing with 1 fragment");
        let hours = Hours { from: 22, to: 6 };
        assert_eq!(
            words(Contributing::Hours(hours)),
            "Waiting for 22:00 to 6:00"
        );
    }
}
