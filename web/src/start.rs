//! From the address of the page to a running node: which network, whether to ask first, and starting the workers.

use leptos::{prelude::*, task::spawn_local};

use crate::{
    engine,
    invite::{Invite, Swarm},
    platform::{net, quota},
    state::{Part, Screen, Ui, View},
};

/// The file a server may name its network in.
const BOOTSTRAP: &str = "bootstrap.json";

/// Finds out which network this page belongs to: the invitation in its address, else what the server says, else the
/// one joined last.
pub(crate) fn begin(ui: Ui) {
    let mut invite = Invite::parse(&net::fragment());
    if let Some(text) = arrive(ui) {
        // What was shared with the application may be an invitation; or something to ask about.
        match Invite::parse(&text) {
            shared @ Invite { swarm: Some(_), .. } => invite = shared,
            _ => ui.chat.draft.set(text),
        }
    }
    let lend = invite.lend;
    let remembered = ui
        .settings
        .with_untracked(|settings| settings.swarm.clone());
    if let Some(swarm) = invite.swarm {
        return meet(ui, swarm, lend);
    }
    spawn_local(async move {
        let named = net::text(BOOTSTRAP)
            .await
            .and_then(|text| serde_json::from_str::<Swarm>(&text).ok());
        match named
            .filter(|swarm| !swarm.bootstrap.is_empty())
            .or(remembered)
        {
            Some(swarm) => meet(ui, swarm, lend),
            None => ui.screen.set(Screen::NoSwarm),
        }
    });
}

/// Heeds what the address asks for besides a network: a part of the application, as shortcuts do, or a text that another
/// application shares, which is given back.
fn arrive(ui: Ui) -> Option<String> {
    let wanted = net::query("view");
    let view = View::ALL
        .into_iter()
        .find(|view| Some(view.name()) == wanted.as_deref());
    let shared: Vec<String> = ["title", "text", "url"]
        .into_iter()
        .filter_map(net::query)
        .collect();
    if view.is_some() || !shared.is_empty() {
        net::forget_query();
    }
    if let Some(view) = view {
        ui.view.set(view);
    }
    let shared: Vec<_> = shared
        .iter()
        .map(|it| it.trim())
        .filter(|it| !it.is_empty())
        .collect();
    (!shared.is_empty()).then(|| shared.join("\n"))
}

/// A network is known: who joined it before is taken back in at once, as before; others are asked, and may be proposed
/// how much to lend.
pub(crate) fn meet(ui: Ui, swarm: Swarm, lend: Option<u32>) {
    let known = ui.settings.with_untracked(|settings| {
        settings.joined
            && settings
                .swarm
                .as_ref()
                .is_some_and(|last| last.model == swarm.model)
    });
    ui.swarm.set(Some(swarm));
    if known {
        let contributes = ui
            .settings
            .with_untracked(|settings| settings.part == Part::Contribute);
        // Unless the address asks for something else.
        if contributes && ui.view.get_untracked() == View::Chat && ui.chat.is_untouched() {
            ui.view.set(View::Contribute);
        }
        ui.screen.set(Screen::Main);
        run(ui);
    } else {
        if let Some(lend) = lend {
            ui.settings.update(|settings| settings.lend = lend);
        }
        ui.screen.set(Screen::Welcome);
    }
}

/// The user wants to take part. Must be called from their click: the browser asks for one before it promises to keep
/// what we store.
pub(crate) fn join(ui: Ui) {
    let kept = quota::persist();
    spawn_local(async move {
        // A refusal changes nothing here; the settings offer to ask again.
        let _ = kept.await;
    });
    let swarm = ui.swarm.get_untracked();
    ui.set(|settings| {
        settings.swarm = swarm;
        settings.joined = true;
    });
    ui.screen.set(Screen::Joining);
    run(ui);
}

/// The user wants out: forget the network and start over. The workers end with the page.
pub(crate) fn leave(ui: Ui) {
    ui.set(|settings| settings.joined = false);
    let _ = crate::platform::window().location().reload();
}

fn run(ui: Ui) {
    if let Some(swarm) = ui.swarm.get_untracked() {
        engine::start(ui, swarm);
    }
}
