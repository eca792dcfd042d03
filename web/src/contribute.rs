//! From what the device and its user say to what the engine is told, and keeping count of what is contributed.

use std::{cell::RefCell, rc::Rc, time::Duration};

use leptos::prelude::*;
use web_bridge::{messages::ToEngine, status::Status};

use crate::{
    platform::{clock, device, history},
    state::{Count, Day, Ledger, Ui, median},
};

/// How often the last minutes are sampled.
const SAMPLE: Duration = Duration::from_secs(5);
/// How often the time of day is looked at.
const HOUR: Duration = Duration::from_secs(30);
/// How often what was contributed is written down.
const WRITE: f64 = 10_000.0;

/// Begins to watch; once, for as long as the page lives.
pub(crate) fn watch(ui: Ui) {
    follow_device(ui);
    steer(ui);
    keep_count(ui);
    notice_unseen(ui);
    keep_awake(ui);
}

fn follow_device(ui: Ui) {
    device::on_battery(move |charging| ui.device.update(|it| it.charging = Some(charging)));
    device::on_metered(move |metered| ui.device.update(|it| it.metered = Some(metered)));
    set_interval(
        move || {
            let hour = device::hour();
            if ui.device.with_untracked(|it| it.hour != hour) {
                ui.device.update(|it| it.hour = hour);
            }
        },
        HOUR,
    );
}

/// The engine lends as much as it should now.
fn steer(ui: Ui) {
    Effect::new(move |before: Option<u32>| {
        ui.contributing.track();
        ui.settings.with(|settings| settings.lend);
        let lends = ui.lends();
        if before.is_some_and(|before| before != lends) {
            ui.tell(&ToEngine::Lend(lends));
        }
        lends
    });
    Effect::new(move |before: Option<Option<u32>>| {
        let limit = ui.settings.with(|settings| settings.upload_bytes());
        if before.is_some_and(|before| before != limit) {
            ui.tell(&ToEngine::Upload(limit));
        }
        limit
    });
}

/// What a status has counted.
fn count(status: &Status) -> Count {
    let connections = status
        .peers
        .iter()
        .filter_map(|peer| peer.connection.as_ref());
    let (sent, received) = connections.fold((0, 0), |(sent, received), it| {
        (sent + it.sent, received + it.received)
    });
    let round_trips = status
        .peers
        .iter()
        .filter_map(|peer| peer.round_trip.map(f64::from));
    Count {
        at: clock::now(),
        answered: status.answered,
        asked: status.asked,
        sent,
        received,
        round_trip: median(round_trips.collect()),
    }
}

fn keep_count(ui: Ui) {
    set_interval(
        move || {
            let count = ui.status.with_untracked(count);
            ui.series.update(|series| series.push(count));
        },
        SAMPLE,
    );
    let noted = Rc::new(RefCell::new((Day::default(), clock::now())));
    let write = {
        let noted = noted.clone();
        move || {
            let count = ui.status.with_untracked(count);
            let now = Day {
                answered: count.answered,
                sent: count.sent,
            };
            let (before, _) = noted.replace((now, clock::now()));
            let more = now.since(before);
            if more != Day::default() {
                ui.ledger.set(Ledger::note(&device::today(), more));
            }
        }
    };
    let last_word = write.clone();
    history::listen("pagehide", move |_| last_word());
    Effect::new(move || {
        ui.status.track();
        if clock::now() - noted.borrow().1 > WRITE {
            write();
        }
    });
}

/// How much is done while nobody sees the page.
fn notice_unseen(ui: Ui) {
    let since = Rc::new(RefCell::new(None::<(f64, u64)>));
    let answered = move || ui.status.with_untracked(|status| status.answered);
    if device::hidden() {
        since.replace(Some((clock::now(), 0)));
    }
    device::on_visibility(move |hidden| {
        if hidden {
            since.replace(Some((clock::now(), answered())));
        } else if let Some((from, before)) = since.take() {
            ui.unseen.update(|unseen| {
                unseen.milliseconds += clock::now() - from;
                unseen.answered += answered().saturating_sub(before);
            });
        }
    });
}

/// The screen stays on while it is wanted and the page seen.
fn keep_awake(ui: Ui) {
    let seen = RwSignal::new(!device::hidden());
    device::on_visibility(move |hidden| seen.set(!hidden));
    let held = StoredValue::new_local(None::<device::Awake>);
    Effect::new(move || {
        let wanted = ui.settings.with(|settings| settings.keep_awake) && seen.get();
        held.set_value(None);
        if wanted {
            leptos::task::spawn_local(async move {
                let awake = device::Awake::take().await;
                // It may not be wanted any more.
                if ui.settings.with_untracked(|settings| settings.keep_awake) {
                    held.set_value(awake);
                }
            });
        }
    });
}
