//! The root: state, start-up, and which screen shows.

use leptos::prelude::*;

use crate::{
    contribute,
    i18n::Language,
    platform::{self, history, net, shell},
    start,
    state::{Screen, Settings, Theme, Ui, View},
    views::{Joining, Main, NoSwarm, Welcome},
};

#[component]
pub(crate) fn App() -> impl IntoView {
    let settings = Settings::load();
    let chosen = settings.language.as_deref().and_then(Language::from_tag);
    let languages = platform::languages();
    let language = chosen.unwrap_or_else(|| Language::choose(languages.iter().map(String::as_str)));
    let ui = Ui::new(settings, language);
    provide_context(ui);

    Effect::new(move || {
        dress(
            ui.language.get(),
            ui.settings.with(|settings| settings.theme),
        )
    });
    Effect::new(move |before: Option<Screen>| {
        let screen = ui.screen.get();
        // Whoever uses a keyboard or listens goes on at the new screen, not where a button was before.
        if before.is_some_and(|before| before != screen && before != Screen::Looking) {
            request_animation_frame(|| platform::focus("main"));
        }
        screen
    });
    Effect::new(move || {
        if ui.can_ask.get() {
            ui.chat.go_on(ui);
        }
    });
    net::on_line_change(move |online| {
        ui.online.set(online);
        ui.tell(&web_bridge::messages::ToEngine::Online(online));
    });
    history::on_back(move |state| {
        let view = View::ALL
            .into_iter()
            .find(|view| Some(view.name()) == state.as_deref());
        ui.view.set(view.unwrap_or(View::Chat));
    });
    history::reload_on_new_fragment();
    shell::register(move || ui.update.set(true));
    contribute::watch(ui);
    start::begin(ui);

    // A change of language makes everything below anew; phrases are therefore plain strings in the views.
    move || {
        ui.language.track();
        view! {
            <div class="app" data-testid="app" data-screen=move || ui.screen.get().name()>
                {move || match ui.screen.get() {
                    Screen::Looking => view! { <p class="looking" role="status">{ui.t().looking_for_swarm}</p> }.into_any(),
                    Screen::NoSwarm => view! { <NoSwarm/> }.into_any(),
                    Screen::Welcome => view! { <Welcome/> }.into_any(),
                    Screen::Joining => view! { <Joining/> }.into_any(),
                    Screen::Main => view! { <Main/> }.into_any(),
                }}
            </div>
        }
    }
}

/// Tells the document which language it is in and how it should look.
fn dress(language: Language, theme: Theme) {
    if let Some(root) = platform::document().document_element() {
        // Setting attributes with valid names cannot fail.
        let _ = root.set_attribute("lang", language.tag());
        let _ = root.set_attribute("data-theme", theme.name());
    }
}
