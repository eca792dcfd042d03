//! The network as this tab sees it, and its part in it.

use leptos::prelude::*;
use web_bridge::status::{Held, Peer};

use super::joining::Progress;
use crate::{
    components::{Coverage, LineChart, SwarmMap},
    i18n::Text,
    state::{Rate, ui},
};

#[component]
pub(crate) fn Dashboard() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let figure = move |testid: &'static str,
                       name: &'static str,
                       value: fn(&web_bridge::status::Status) -> u64| {
        let value = Memo::new(move |_| ui.status.with(value));
        view! {
            <div><dd data-testid=testid>{move || value.get().to_string()}</dd><dt>{name}</dt></div>
        }
    };
    view! {
        <section class="view view-network" aria-labelledby="network-title" data-testid="dashboard">
            <div class="view-head">
                <h2 id="network-title">{t.dashboard_title}</h2>
                <p class="quiet model-name" data-testid="model-name">
                    {move || ui.status.with(|status| status.model.as_ref().map(|model| model.name.clone()))}
                </p>
            </div>
            <dl class="figures">
                {figure("online", t.online_label, |status| u64::from(status.members) + 1)}
                {figure("lacking", t.lacking_label, |status| u64::from(status.lacking))}
                {figure("answered-by-me", t.answered_label, |status| status.answered)}
                {figure("answered-for-me", t.asked_label, |status| status.asked)}
                {figure("held-count", t.held_label, |status| status.held.len() as u64)}
                {figure("stored-count", t.stored_label, |status| u64::from(status.stored))}
            </dl>
            <Coverage/>
            <section class="panel" aria-labelledby="map-title">
                <h3 id="map-title">{t.map_title}</h3>
                <SwarmMap/>
            </section>
            <Charts/>
            <Peers/>
            <Mine/>
        </section>
    }
}

/// The last minutes.
#[component]
fn Charts() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let lines = move |of: fn(&Rate) -> Option<f64>| {
        ui.series
            .with(|series| series.rates().map(of).collect::<Vec<_>>())
    };
    let last = move || {
        ui.series
            .with(|series| series.rates().last().copied())
            .unwrap_or_default()
    };
    let work = Signal::derive(move || {
        vec![
            lines(|rate| Some(rate.answered)),
            lines(|rate| Some(rate.asked)),
        ]
    });
    let bytes = Signal::derive(move || {
        vec![
            lines(|rate| Some(rate.sent)),
            lines(|rate| Some(rate.received)),
        ]
    });
    let times = Signal::derive(move || vec![lines(|rate| rate.round_trip)]);
    let work_words = Signal::derive(move || {
        let rate = last();
        (t.chart_work_words)(
            &language.number(rate.answered),
            &language.number(rate.asked),
        )
    });
    let bytes_words = Signal::derive(move || {
        let rate = last();
        (t.chart_bytes_words)(
            &language.bytes(rate.sent as u64),
            &language.bytes(rate.received as u64),
        )
    });
    let times_words = Signal::derive(move || {
        let time = last().round_trip;
        time.map_or_else(
            || t.chart_times_none.to_owned(),
            |time| (t.peer_round_trip)(time as u32),
        )
    });
    view! {
        <section class="panel" aria-labelledby="charts-title">
            <h3 id="charts-title">{t.charts_title}</h3>
            <LineChart title=t.chart_work testid="chart-work" lines=work words=work_words highest=move |most| (t.chart_a_second)(&language.number(most))/>
            <LineChart title=t.chart_bytes testid="chart-bytes" lines=bytes words=bytes_words highest=move |most| (t.chart_a_second)(&language.bytes(most as u64))/>
            <LineChart title=t.chart_times testid="chart-times" lines=times words=times_words highest=move |most| (t.peer_round_trip)(most as u32)/>
        </section>
    }
}

#[component]
fn Peers() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let peers = Memo::new(move |_| ui.status.with(|status| status.peers.clone()));
    view! {
        <section class="panel" aria-labelledby="peers-title">
            <h3 id="peers-title">{t.peers_title}</h3>
            <Show when=move || peers.with(Vec::is_empty)><p class="quiet">{t.peers_none}</p></Show>
            <ul class="peers">
                <For each=move || peers.get() key=Clone::clone let:peer><PeerRow peer/></For>
            </ul>
        </section>
    }
}

#[component]
fn PeerRow(peer: Peer) -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let way = if peer.relayed {
        t.peer_relayed
    } else {
        t.peer_direct
    };
    let connection = peer.connection.as_ref();
    let transport = connection.map(|it| it.transport.clone());
    let details = [
        Some(way.to_owned()),
        transport.clone(),
        peer.round_trip.map(t.peer_round_trip),
        Some(part(t, &peer)),
        connection
            .map(|it| (t.peer_traffic)(&language.bytes(it.sent), &language.bytes(it.received))),
    ];
    let details: Vec<String> = details.into_iter().flatten().collect();
    let id = peer.id.clone();
    view! {
        <li class="peer" data-testid="peer-row" data-peer=peer.id.clone() data-relayed=peer.relayed.to_string() data-transport=transport
            data-answered=peer.answered.to_string() data-asked=peer.asked.to_string()>
            <span class="peer-mark" style=tint(&peer.id) aria-hidden="true"></span>
            <span class="peer-name" title=id><strong>{short(&peer.id)}</strong>" "<span class="quiet">{agent(&peer.agent)}</span></span>
            <span class="peer-details quiet">{details.join(" · ")}</span>
            <span class="peer-work">
                <span><b>{peer.answered}</b>" "{t.peer_answered}</span>
                <span><b>{peer.asked}</b>" "{t.peer_asked}</span>
            </span>
        </li>
    }
}

/// What a peer contributes.
fn part(t: &Text, peer: &Peer) -> String {
    match (peer.computes, peer.stores) {
        (0, 0) => t.peer_entry.into(),
        (0, stores) => (t.peer_seed)(stores),
        (computes, _) => (t.fragments)(computes),
    }
}

/// Peer ids of one network begin alike; their ends tell them apart.
pub(super) fn short(id: &str) -> String {
    let start = id.char_indices().rev().nth(6).map_or(0, |(at, _)| at);
    format!("…{}", &id[start..])
}

/// The name of the program without its version.
fn agent(agent: &str) -> String {
    agent
        .split(['/', ' '])
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A colour of its own for every peer, only to find it again in the list.
fn tint(id: &str) -> String {
    let hue = id.bytes().fold(7u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    }) % 360;
    format!("--hue: {hue}")
}

#[component]
fn Mine() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let held = Memo::new(move |_| ui.status.with(|status| status.held.clone()));
    let row = move |held: Held| {
        view! {
            <li data-testid="held-row" data-index=held.index.to_string()>
                <strong>{(t.fragment_name)(held.index)}</strong>
                <span class="quiet">{(t.place)(held.place)}" · "{language.bytes(held.bytes)}</span>
            </li>
        }
    };
    view! {
        <section class="panel" aria-labelledby="mine-title">
            <h3 id="mine-title">{t.mine_title}</h3>
            <Show when=move || held.with(Vec::is_empty)><p class="quiet">{t.mine_none}</p></Show>
            <Progress/>
            <ul class="held"><For each=move || held.get() key=|held| held.index children=row/></ul>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_told_apart_by_the_end_of_their_ids() {
        assert_eq!(short("12D3KooWAbCdEfG"), "…AbCdEfG");
        assert_eq!(short("é"), "…é");
        assert_eq!(agent("iap2p/0.1.0"), "iap2p");
    }
}
