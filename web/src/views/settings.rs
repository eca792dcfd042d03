//! What the user can choose.

use leptos::prelude::*;

use super::privacy::Privacy;
use crate::{
    components::Check,
    i18n::{Language, Text},
    platform,
    state::{Settings, Theme, ui},
};

const LANGUAGE: &str = "language";

#[component]
pub(crate) fn SettingsView() -> impl IntoView {
    let t = ui().t();
    view! {
        <section class="view view-settings" aria-labelledby="settings-title">
            <div class="view-head"><h2 id="settings-title">{t.settings_title}</h2></div>
            <Appearance/>
            <Answers/>
            <section class="panel"><h3>{t.privacy_title}</h3><Privacy/></section>
            <About/>
        </section>
    }
}

fn theme_name(t: &Text, theme: Theme) -> &'static str {
    match theme {
        Theme::Auto => t.theme_auto,
        Theme::Light => t.theme_light,
        Theme::Dark => t.theme_dark,
    }
}

#[component]
fn Appearance() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let choose_language = move |tag: String| {
        if let Some(language) = Language::from_tag(&tag) {
            ui.set(|settings| settings.language = Some(tag));
            ui.language.set(language);
            // All views are made anew; the keyboard stays where it was.
            request_animation_frame(|| platform::focus(LANGUAGE));
        }
    };
    let choose_theme = move |name: String| {
        if let Some(theme) = Theme::ALL.into_iter().find(|theme| theme.name() == name) {
            ui.set(|settings| settings.theme = theme);
        }
    };
    let language = |language: Language| {
        let selected = ui.language.get_untracked() == language;
        view! { <option value=language.tag() lang=language.tag() selected=selected>{language.name()}</option> }
    };
    let theme = |theme: Theme| {
        let selected = ui
            .settings
            .with_untracked(|settings| settings.theme == theme);
        view! { <option value=theme.name() selected=selected>{theme_name(t, theme)}</option> }
    };
    view! {
        <div class="panel two">
            <div class="field">
                <label for=LANGUAGE>{t.language}</label>
                <select id=LANGUAGE data-testid="language" on:change:target=move |event| choose_language(event.target().value())>
                    {Language::ALL.map(language).into_iter().collect_view()}
                </select>
            </div>
            <div class="field">
                <label for="theme">{t.theme}</label>
                <select id="theme" data-testid="theme" on:change:target=move |event| choose_theme(event.target().value())>
                    {Theme::ALL.map(theme).into_iter().collect_view()}
                </select>
            </div>
        </div>
    }
}

#[component]
fn Answers() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let length = move || ui.settings.with(|settings| settings.max_tokens.to_string());
    view! {
        <section class="panel">
            <h3>{t.answers_title}</h3>
            <Check id="greedy" label=t.greedy hint=t.greedy_hint
                checked=Signal::derive(move || ui.settings.with(|settings| settings.greedy))
                change=move |wanted| ui.set(|settings| settings.greedy = wanted)/>
            <Check id="approximate" label=t.approximate hint=t.approximate_hint
                checked=Signal::derive(move || ui.settings.with(|settings| settings.approximate))
                change=move |wanted| ui.set(|settings| settings.approximate = wanted)/>
            <div class="field">
                <label for="max-tokens">{t.max_tokens}</label>
                <input id="max-tokens" type="number" min="1" max="4096" inputmode="numeric" data-testid="max-tokens"
                    prop:value=length
                    on:change:target=move |event| {
                        if let Ok(tokens) = event.target().value().parse::<u32>() {
                            ui.set(|settings| settings.max_tokens = tokens.clamp(1, 4096));
                        }
                    }/>
            </div>
            <div class="field">
                <label for="system">{t.system_prompt}</label>
                <textarea id="system" rows="3" maxlength="4000" data-testid="system-prompt" aria-describedby="system-hint"
                    prop:value=ui.settings.with_untracked(|settings| settings.system.clone())
                    on:change:target=move |event| ui.set(|settings| settings.system = event.target().value())></textarea>
                <p id="system-hint" class="quiet">{t.system_prompt_hint}</p>
            </div>
            <Sampling/>
        </section>
    }
}

/// A number that an answer is drawn by.
#[derive(Clone, Copy)]
struct Dial {
    id: &'static str,
    name: &'static str,
    range: (f32, f32),
    step: &'static str,
    get: fn(&Settings) -> f32,
    set: fn(&mut Settings, f32),
}

/// How words are chosen, for those who know.
#[component]
fn Sampling() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let dials = [
        Dial {
            id: "temperature",
            name: t.temperature,
            range: (0.0, 2.0),
            step: "0.05",
            get: |settings| settings.temperature,
            set: |settings, value| settings.temperature = value,
        },
        Dial {
            id: "top-p",
            name: t.top_p,
            range: (0.01, 1.0),
            step: "0.01",
            get: |settings| settings.top_p,
            set: |settings, value| settings.top_p = value,
        },
        Dial {
            id: "min-p",
            name: t.min_p,
            range: (0.0, 1.0),
            step: "0.01",
            get: |settings| settings.min_p,
            set: |settings, value| settings.min_p = value,
        },
        Dial {
            id: "top-k",
            name: t.top_k,
            range: (0.0, 1000.0),
            step: "1",
            get: |settings| settings.top_k as f32,
            set: |settings, value| settings.top_k = value as u32,
        },
        Dial {
            id: "repetition-penalty",
            name: t.repetition_penalty,
            range: (0.5, 2.0),
            step: "0.05",
            get: |settings| settings.repetition_penalty,
            set: |settings, value| settings.repetition_penalty = value,
        },
    ];
    let field = move |dial: Dial| {
        let value = move || {
            ui.settings
                .with(|settings| (dial.get)(settings).to_string())
        };
        let (least, most) = dial.range;
        view! {
            <div class="field">
                <label for=dial.id>{dial.name}</label>
                <input id=dial.id type="number" inputmode="decimal" min=least.to_string() max=most.to_string() step=dial.step
                    data-testid=dial.id prop:value=value
                    disabled=move || dial.id != "repetition-penalty" && ui.settings.with(|settings| settings.greedy)
                    on:change:target=move |event| {
                        let input = event.target();
                        if let Some(wanted) = input.value().parse::<f32>().ok().filter(|it| it.is_finite()) {
                            ui.set(|settings| (dial.set)(settings, wanted.clamp(least, most)));
                        }
                        // What cannot be had shows as what is.
                        input.set_value(&ui.settings.with_untracked(dial.get).to_string());
                    }/>
            </div>
        }
    };
    let seed = move || {
        let seed = ui.settings.with(|settings| settings.seed);
        seed.map(|seed| seed.to_string()).unwrap_or_default()
    };
    view! {
        <details data-testid="sampling">
            <summary>{t.sampling_title}</summary>
            <p class="quiet">{t.temperature_hint}</p>
            <div class="panel two">
                {dials.map(field).into_iter().collect_view()}
                <div class="field">
                    <label for="seed">{t.seed}</label>
                    <input id="seed" type="number" inputmode="numeric" min="0" data-testid="seed" prop:value=seed
                        on:change:target=move |event| {
                            let seed = event.target().value().parse().ok();
                            ui.set(|settings| settings.seed = seed);
                        }/>
                </div>
            </div>
        </details>
    }
}

#[component]
fn About() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let model = move || {
        ui.swarm
            .with(|swarm| swarm.as_ref().map(|swarm| swarm.model.clone()))
    };
    view! {
        <section class="panel">
            <h3>{t.about_title}</h3>
            <p>"Inference-IA-P2P "{env!("CARGO_PKG_VERSION")}". "{t.about}</p>
            <dl class="ids">
                <dt>{t.about_peer}</dt><dd data-testid="peer-id">{move || ui.peer.get()}</dd>
                <dt>{t.about_model}</dt><dd data-testid="model-id">{model}</dd>
            </dl>
        </section>
    }
}
