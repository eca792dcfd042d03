//! No invitation, no network named by the server, none remembered: ask for a link.

use leptos::prelude::*;

use crate::{
    components::{Logo, Scanner},
    invite::Invite,
    start,
    state::ui,
};

#[component]
pub(crate) fn NoSwarm() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let link = RwSignal::new(String::new());
    let bad = RwSignal::new(false);
    view! {
        <main id="main" tabindex="-1" class="narrow" data-testid="no-swarm">
            <p class="brand"><Logo/>"Inference-IA-P2P"</p>
            <h1>{t.no_swarm_title}</h1>
            <p class="lead">{t.no_swarm_what}</p>
            <form class="panel join" on:submit=move |event| {
                event.prevent_default();
                let invite = Invite::parse(&link.get_untracked());
                match invite.swarm {
                    Some(swarm) => start::meet(ui, swarm, invite.lend),
                    None => bad.set(true),
                }
            }>
                <div class="field">
                    <label for="invite">{t.no_swarm_label}</label>
                    <input id="invite" type="url" required data-testid="invite-input" autocomplete="off"
                        aria-invalid=move || bad.get().to_string() aria-describedby="invite-error"
                        placeholder="http://…/#model=…&bootstrap=…" bind:value=link/>
                    <p id="invite-error" class="error" role="alert">{move || bad.get().then_some(t.no_swarm_bad)}</p>
                </div>
                <button type="submit" class="primary">{t.no_swarm_use}</button>
                <Scanner found=move |swarm, lend| start::meet(ui, swarm, lend)/>
            </form>
        </main>
    }
}
