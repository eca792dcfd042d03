//! The frame of the application: one part at a time on a phone, two columns on a desktop.

use leptos::prelude::*;
use web_bridge::status::Link;

use super::{
    chat::ChatView, contribute::Contribute, dashboard::Dashboard, settings::SettingsView,
    share::Share,
};
use crate::{
    components::{Glyph, Icon, Logo, Notices},
    i18n::Text,
    platform,
    state::{View, ui},
};

const MAIN: &str = "main";

#[component]
pub(crate) fn Main() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let tab = move |view: View| {
        let (glyph, name) = label(t, view);
        view! {
            <button type="button" class=format!("tab tab-{}", view.name()) data-testid=format!("nav-{}", view.name())
                aria-current=move || (ui.view.get() == view).then_some("page")
                on:click=move |_| ui.go(view)>
                <Icon glyph/>
                <span>{name}</span>
            </button>
        }
    };
    view! {
        <div class="frame" data-view=move || ui.view.get().name()>
            <a class="skip" href="#main" on:click=|event| {
                // The address carries the invitation: it must not become `#main`.
                event.prevent_default();
                platform::focus(MAIN);
            }>{t.skip}</a>
            <header class="bar">
                <Logo/>
                <h1>"Inference-IA-P2P"</h1>
                <LinkPill/>
            </header>
            <nav class="tabs" aria-label=t.navigation>{View::ALL.map(tab).into_iter().collect_view()}</nav>
            <main id=MAIN tabindex="-1">
                <Notices/>
                <ChatView/>
                <Contribute/>
                <Share/>
                <SettingsView/>
                <Dashboard/>
            </main>
        </div>
    }
}

fn label(t: &Text, view: View) -> (Glyph, &'static str) {
    match view {
        View::Chat => (Glyph::Chat, t.chat),
        View::Contribute => (Glyph::Contribute, t.contribute),
        View::Network => (Glyph::Network, t.network),
        View::Share => (Glyph::Share, t.share),
        View::Settings => (Glyph::Settings, t.settings),
    }
}

/// Connection state, always in sight; leads to the details.
#[component]
fn LinkPill() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let peers = Memo::new(move |_| ui.status.with(|status| status.peers.len()));
    let state = move || match ui.link.get() {
        Link::Offline => "offline",
        Link::Connecting => "connecting",
        Link::Connected => "connected",
    };
    let words = move || match ui.link.get() {
        Link::Offline => t.link_offline.to_owned(),
        Link::Connecting => t.link_connecting.to_owned(),
        Link::Connected => (t.link_connected)(peers.get()),
    };
    view! {
        <button type="button" class="pill" data-testid="link-state" data-state=state
            on:click=move |_| ui.go(View::Network)>
            <span class="dot" aria-hidden="true"></span>
            <span role="status">{words}</span>
        </button>
    }
}
