//! What somebody is here for, and when their device contributes.

use leptos::prelude::*;

use crate::{
    components::Check,
    i18n::Text,
    state::{Hours, Part, Ui, ui},
};

/// Hours where nothing was chosen yet: the night.
const NIGHT: Hours = Hours { from: 22, to: 6 };

fn part_name(t: &Text, part: Part) -> (&'static str, &'static str) {
    match part {
        Part::Both => (t.part_both, t.part_both_hint),
        Part::Use => (t.part_use, t.part_use_hint),
        Part::Contribute => (t.part_contribute, t.part_contribute_hint),
    }
}

/// Ask, contribute, or both.
#[component]
pub(super) fn PartChoice() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let choice = move |part: Part| {
        let (name, hint) = part_name(t, part);
        let id = format!("part-{}", part.name());
        view! {
            <label class="choice" for=id.clone()>
                <input id=id.clone() type="radio" name="part" data-testid=id.clone()
                    prop:checked=move || ui.settings.with(|settings| settings.part == part)
                    on:change=move |_| ui.set(|settings| settings.part = part)/>
                <span><strong>{name}</strong><span class="quiet">{hint}</span></span>
            </label>
        }
    };
    view! {
        <fieldset class="choices">
            <legend>{t.part_title}</legend>
            {Part::ALL.map(choice).into_iter().collect_view()}
        </fieldset>
    }
}

/// Battery and price, where the device says something of them.
#[component]
pub(super) fn Sparing() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let says = Memo::new(move |_| {
        ui.device
            .with(|device| (device.charging.is_some(), device.metered.is_some()))
    });
    view! {
        <Show when=move || says.get().0>
            <Check id="charging" label=t.only_charging
                checked=Signal::derive(move || ui.settings.with(|settings| settings.when.charging))
                change=move |wanted| ui.set(|settings| settings.when.charging = wanted)/>
        </Show>
        <Show when=move || says.get().1>
            <Check id="unmetered" label=t.only_unmetered
                checked=Signal::derive(move || ui.settings.with(|settings| settings.when.unmetered))
                change=move |wanted| ui.set(|settings| settings.when.unmetered = wanted)/>
        </Show>
    }
}

/// All of it.
#[component]
pub(super) fn Conditions() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let hours = Memo::new(move |_| ui.settings.with(|settings| settings.when.hours));
    view! {
        <PartChoice/>
        <Sparing/>
        <Check id="hours" label=t.only_hours checked=Signal::derive(move || hours.with(Option::is_some))
            change=move |wanted| ui.set(|settings| settings.when.hours = wanted.then_some(NIGHT))/>
        {move || hours.get().map(|hours| view! {
            <div class="row">
                {hour(ui, "hours-from", t.hours_from, hours.from, |hours, hour| hours.from = hour)}
                {hour(ui, "hours-to", t.hours_to, hours.to, |hours, hour| hours.to = hour)}
            </div>
        })}
    }
}

/// An hour of the day.
fn hour(
    ui: Ui,
    id: &'static str,
    name: &'static str,
    chosen: u8,
    set: fn(&mut Hours, u8),
) -> impl IntoView {
    let choices = (0..24u8).map(move |hour| {
        view! { <option value=hour.to_string() selected={hour == chosen}>{format!("{hour}:00")}</option> }
    });
    view! {
        <div class="field">
            <label for=id>{name}</label>
            <select id=id data-testid=id on:change:target=move |event| {
                if let Ok(hour) = event.target().value().parse() {
                    ui.set(|settings| {
                        if let Some(hours) = &mut settings.when.hours {
                            set(hours, hour);
                        }
                    });
                }
            }>{choices.collect_view()}</select>
        </div>
    }
}
