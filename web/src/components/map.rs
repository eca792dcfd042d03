//! The devices in sight as a map: this one in the middle, the others as far away as their answers take to come.

use std::f64::consts::TAU;

use leptos::prelude::*;
use web_bridge::status::Peer;

use crate::state::ui;

/// Half of the drawing's width.
const SIZE: f64 = 100.0;
/// Where the nearest and the farthest stand.
const NEAR: f64 = 30.0;
const FAR: f64 = 88.0;
/// Milliseconds that are near and far.
const SOON: f64 = 1.0;
const LATE: f64 = 400.0;
/// Devices drawn; all are in the list.
const MOST: usize = 60;

/// Where a device stands, by its place among all and by how far away it is.
fn place(number: usize, count: usize, round_trip: Option<u32>) -> (f64, f64) {
    let angle = TAU * number as f64 / count.max(1) as f64 - TAU / 4.0;
    // What nobody has measured is somewhere in between.
    let time = round_trip.map_or(40.0, f64::from).clamp(SOON, LATE);
    let share = (time / SOON).ln() / (LATE / SOON).ln();
    let distance = NEAR + (FAR - NEAR) * share;
    (distance * angle.cos(), distance * angle.sin())
}

/// How large it is drawn, by what it holds.
fn radius(fragments: u32) -> f64 {
    3.0 + f64::from(fragments).sqrt().min(6.0)
}

/// The map. A line is lit while its device answers; everything is in the list of devices, too.
#[component]
pub(crate) fn SwarmMap() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let peers = Memo::new(move |_| ui.status.with(|status| status.peers.clone()));
    // How many requests each had answered when this was drawn before.
    let before = StoredValue::new(std::collections::HashMap::<String, u64>::new());
    let devices = move || {
        let peers = peers.get();
        let count = peers.len().min(MOST);
        let drawn: Vec<_> = peers
            .iter()
            .take(MOST)
            .enumerate()
            .map(|(number, peer)| {
                let answered =
                    before.with_value(|before| before.get(&peer.id).copied().unwrap_or(0));
                device(
                    peer,
                    place(number, count, peer.round_trip),
                    peer.answered > answered,
                )
            })
            .collect();
        before.set_value(
            peers
                .iter()
                .map(|peer| (peer.id.clone(), peer.answered))
                .collect(),
        );
        drawn.collect_view()
    };
    let words = move || (t.map_words)(peers.with(Vec::len) as u32);
    view! {
        <figure class="map" data-testid="map">
            <svg viewBox=format!("{} {} {} {}", -SIZE, -SIZE, 2.0 * SIZE, 2.0 * SIZE) role="img" aria-label=words>
                {[30.0, 59.0, 88.0].map(|r| view! { <circle class="ring" cx="0" cy="0" r=r/> }).into_iter().collect_view()}
                {devices}
                <rect class="me" x="-7" y="-7" width="14" height="14" rx="3"/>
            </svg>
            <figcaption class="quiet">{t.map_hint}</figcaption>
        </figure>
    }
}

fn device(peer: &Peer, (x, y): (f64, f64), lit: bool) -> impl IntoView + use<> {
    let fragments = peer.computes.max(peer.stores);
    view! {
        <line class="way" class:lit=lit class:relayed=peer.relayed x1="0" y1="0" x2=format!("{x:.1}") y2=format!("{y:.1}")/>
        <circle class="device" class:lit=lit class:entry=(peer.computes == 0)
            cx=format!("{x:.1}") cy=format!("{y:.1}") r=format!("{:.1}", radius(fragments))/>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_later_stands_farther_away() {
        let distance = |time| {
            let (x, y) = place(3, 7, time);
            x.hypot(y)
        };
        assert!((distance(Some(0)) - NEAR).abs() < 1e-9);
        assert!((distance(Some(10_000)) - FAR).abs() < 1e-9);
        assert!(distance(Some(5)) < distance(Some(50)));
        assert!((NEAR..FAR).contains(&distance(None)));
        // The first is at the top.
        let (x, y) = place(0, 4, None);
        assert!(x.abs() < 1e-9 && y < 0.0);
        assert!(radius(0) < radius(4) && radius(1_000_000) < 10.0);
    }
}
