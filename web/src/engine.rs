//! The page's side of the engine: starts the workers, gives them the network, and shows what they report.

mod identity;
mod network;
mod outbox;
mod peers;
mod workers;

use std::rc::Rc;

use futures_util::lock::Mutex;
use leptos::prelude::*;
use serde_bytes::ByteBuf;
use wasm_bindgen_futures::spawn_local;
use web_bridge::{
    messages::{FromEngine, Join, ToEngine},
    port::Port,
    status::Row,
};

use crate::{invite::Swarm, platform::history, probe, state::Ui};
use network::Network;
use workers::Workers;
pub(crate) use workers::{cores, has_relaxed_simd};

/// Starts everything. What goes wrong is shown.
pub(crate) fn start(ui: Ui, swarm: Swarm) {
    spawn_local(async move {
        if let Err(reason) = run(ui, swarm).await {
            ui.broken.set(Some(reason));
        }
    });
}

async fn run(ui: Ui, swarm: Swarm) -> Result<(), String> {
    let identity = identity::own().await;
    let peer = identity.peer_id();
    ui.peer.set(Some(peer.to_string()));
    let mut workers = Workers::start(move |reason| ui.crashed(reason)).await?;
    let (upload, cores, graphics) = ui
        .settings
        .with_untracked(|settings| (settings.upload_bytes(), settings.cores, settings.graphics));
    workers.employ(cores.unwrap_or_else(workers::cores)).await?;
    let port = workers.engine();
    let network = Network::start(identity, &swarm)?;
    hear(ui, &port, network.clone());
    connect(ui, workers);
    let join = Join {
        peer: ByteBuf::from(peer.to_bytes()),
        model: swarm.model,
        lend: ui.lends(),
        upload,
        graphics,
    };
    ui.tell(&ToEngine::Join(join));
    ui.tell(&ToEngine::Online(ui.online.get_untracked()));
    network.relay(port, move |reason| ui.unreachable.set(reason));
    let goodbye = network.clone();
    history::listen("pagehide", move |_| goodbye.leave());
    history::reload_when_revived();
    history::listen("online", move |_| network.retry());
    Ok(())
}

/// Wishes of the user go to the engine from now on.
fn connect(ui: Ui, workers: Workers<impl Fn(String) + Clone + 'static>) {
    let port = workers.engine();
    let workers = Rc::new(Mutex::new(workers));
    ui.connect(Rc::new(move |wish: &ToEngine| {
        if let ToEngine::Workers(wanted) = *wish {
            let workers = workers.clone();
            spawn_local(async move {
                // One after the other: each finds the workers that the one before has started.
                if let Err(reason) = workers.lock().await.employ(wanted).await {
                    ui.crashed(reason);
                }
            });
        } else if let Err(error) = port.send(wish) {
            leptos::logging::error!("{error}");
        }
    }));
}

/// What the engine says is shown, or goes to the network.
fn hear(ui: Ui, port: &Port, network: Network) {
    port.listen(move |message| match message.header {
        FromEngine::Network(wish) => network.perform(wish, &message.body),
        FromEngine::Status(mut status) => {
            network.describe(&mut status.peers);
            probe::status(&status);
            ui.status.set(*status);
        }
        FromEngine::Rows(rows) => ui.rows.set(Row::unpack(&rows)),
        FromEngine::Reading {
            answer,
            read,
            total,
        } => ui.chat.read(answer, read, total),
        FromEngine::Queued {
            answer,
            before,
            seconds,
        } => ui.chat.wait_behind(answer, before, seconds),
        FromEngine::Text {
            answer,
            token,
            piece,
            thought,
        } => ui.chat.grow(answer, token, &piece, thought),
        FromEngine::Elsewhere {
            answer,
            tokens,
            text,
            thoughts,
        } => ui.chat.grow_elsewhere(answer, &tokens, &text, &thoughts),
        FromEngine::NotElsewhere { answer } => ui.chat.not_elsewhere(ui, answer),
        FromEngine::End { answer, ending } => {
            probe::answer(&ending);
            ui.chat.end(answer, ending);
        }
    });
}
