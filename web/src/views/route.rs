//! The way an answer took: who worked for it, and where the time went.

use leptos::prelude::*;
use web_bridge::status::Hop;

use super::dashboard::short;
use crate::{
    components::{Column, Table},
    i18n::{Language, Text},
    state::{Message, ui},
};

/// Folded away until somebody wants to know.
#[component]
pub(super) fn RouteTaken(message: Message) -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let hops = Memo::new(move |_| {
        let ending = message.ending.get();
        ending.map(|ending| ending.route).unwrap_or_default()
    });
    let table = move || {
        let hops = hops.get();
        let whole: f64 = hops.iter().map(|hop| hop.milliseconds).sum();
        let rows = hops
            .into_iter()
            .map(|hop| view! { <Row hop whole language/> });
        rows.collect_view()
    };
    view! {
        <Show when=move || hops.with(|hops| !hops.is_empty())>
            <details class="route" data-testid="route">
                <summary>{t.route_title}</summary>
                <p class="quiet">{t.route_what}</p>
                <Table label=t.route_title columns=vec![
                    Column::Words(t.route_device),
                    Column::Words(t.route_part),
                    Column::Numbers(t.route_requests),
                    Column::Numbers(t.route_time),
                ]>{table}</Table>
            </details>
        </Show>
    }
}

#[component]
fn Row(hop: Hop, whole: f64, language: Language) -> impl IntoView {
    let t = language.text();
    let share = hop.milliseconds / whole.max(1e-9);
    let seconds = language.number(hop.milliseconds / 1000.0);
    view! {
        <tr data-testid="hop" data-peer=hop.peer.clone()>
            <th scope="row" title=hop.peer.clone() data-peer=hop.peer.is_some().then_some("")>{device(t, &hop)}</th>
            <td>{part(t, &hop)}</td>
            <td class="number">{hop.requests}</td>
            <td class="number">
                <span class="share" style=format!("--share: {share:.3}") aria-hidden="true"></span>
                {(t.seconds)(&seconds)}
            </td>
        </tr>
    }
}

fn device(t: &Text, hop: &Hop) -> String {
    match &hop.peer {
        None => t.this_device.into(),
        Some(peer) => short(peer),
    }
}

fn part(t: &Text, hop: &Hop) -> String {
    match (&hop.peer, hop.layers) {
        (_, Some((first, end))) => (t.route_layers)(first, end.saturating_sub(1)),
        (None, None) => t.route_here.into(),
        (Some(_), None) => t.route_fragments.into(),
    }
}
