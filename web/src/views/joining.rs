//! The first download: step by step, with what is here and what is missing.

use leptos::prelude::*;
use web_bridge::status::{Stage, Status};

use crate::{
    components::{Explained, Logo},
    i18n::Language,
    state::{Part, Screen, View, ui},
};

const STEPS: [Stage; 4] = [
    Stage::Connecting,
    Stage::Manifest,
    Stage::Small,
    Stage::Lent,
];

/// Bytes here and bytes in all of what this tab lends or fetches, while it fetches something. What has come counts on:
/// a bar that forgot it would stand still while fragments arrive one by one.
fn progress(status: &Status) -> Option<(u64, u64)> {
    let known: Vec<(u64, u64)> = status
        .downloads
        .iter()
        .filter_map(|download| Some((download.have, download.total?)))
        .collect();
    let here: u64 = status.held.iter().map(|held| held.bytes).sum();
    let sums = known.iter().fold((here, here), |(have, total), download| {
        (have + download.0, total + download.1)
    });
    (!known.is_empty()).then_some(sums)
}

#[component]
pub(crate) fn Joining() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let stage = Memo::new(move |_| ui.status.with(|status| status.stage));
    let problem = Memo::new(move |_| ui.status.with(|status| status.problem.clone()));
    Effect::new(move || {
        if stage.get() == Stage::Ready {
            ui.screen.set(Screen::Main);
            if ui
                .settings
                .with_untracked(|settings| settings.part == Part::Contribute)
            {
                ui.go(View::Contribute);
            }
        }
    });
    let name = move |step| match step {
        Stage::Connecting => t.step_connect.to_owned(),
        Stage::Manifest => t.step_manifest.to_owned(),
        Stage::Small => t.step_small.to_owned(),
        Stage::Lent | Stage::Ready => (t.step_lent)(ui.lends()),
    };
    // Who is here to ask only fetches nothing to lend.
    let steps = match ui.lends() {
        0 => &STEPS[..STEPS.len() - 1],
        _ => &STEPS[..],
    };
    let step = move |step: Stage| {
        let class = move || match stage.get() {
            now if now > step => "done",
            now if now == step => "now",
            _ => "waiting",
        };
        let words = move || match class() {
            "done" => t.step_done,
            "now" => t.step_now,
            _ => t.step_waiting,
        };
        view! {
            <li class=class aria-current=move || (stage.get() == step).then_some("step")>
                <span class="step-mark" aria-hidden="true"></span>
                <span>{move || name(step)}</span>
                <span class="visually-hidden">" – "{words}</span>
                {move || (stage.get() == step).then(|| view! { <Progress/> })}
            </li>
        }
    };
    view! {
        <main id="main" tabindex="-1" class="narrow" data-testid="joining">
            <p class="brand"><Logo/>"Inference-IA-P2P"</p>
            <h1>{t.joining_title}</h1>
            {move || ui.broken.get().map(|detail| view! {
                <div class="notice bad" role="alert" data-testid="broken"><div><p>{t.problem_start}</p><p>{detail}</p></div></div>
            })}
            {move || problem.get().map(|problem| view! { <Explained problem/> })}
            <ol class="steps panel">{steps.iter().copied().map(step).collect_view()}</ol>
            <Show when=move || stage.get() == Stage::Connecting>
                <p class="quiet patient" data-testid="unreachable">{t.connect_slow}" "{move || ui.unreachable.get()}</p>
            </Show>
            <Show when=move || { stage.get() >= Stage::Small }>
                <p class="quiet">{t.resumable}</p>
            </Show>
            <Show when=move || ui.can_ask.get()>
                <button type="button" class="primary" data-testid="open-chat" on:click=move |_| ui.screen.set(Screen::Main)>
                    {t.open_chat}
                </button>
            </Show>
        </main>
    }
}

/// The bar of what is being fetched, wherever that is shown.
#[component]
pub(super) fn Progress() -> impl IntoView {
    let ui = ui();
    let progress = Memo::new(move |_| ui.status.with(progress));
    let language: Language = ui.language.get_untracked();
    let words = move |(have, total): (u64, u64)| {
        let pieces = ui.status.with(|status| status.downloads.len());
        let bytes = (language.text().progress_of)(&language.bytes(have), &language.bytes(total));
        if pieces > 1 {
            format!("{bytes} · {}", (language.text().fragments)(pieces as u32))
        } else {
            bytes
        }
    };
    move || {
        progress.get().map(|(have, total)| {
            let text = words((have, total));
            view! {
                <span class="progress" data-testid="progress">
                    <progress max=total.to_string() prop:value=have as f64 aria-label=text.clone()></progress>
                    <span class="quiet">{text}</span>
                </span>
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use web_bridge::status::{Download, Held, Place};

    use super::*;

    #[test]
    fn progress_adds_up_what_is_known() {
        let download = |have, total| Download {
            index: Some(0),
            have,
            total,
        };
        let status = Status {
            downloads: vec![
                download(1, Some(10)),
                download(4, None),
                download(2, Some(5)),
            ],
            ..Status::default()
        };
        assert_eq!(progress(&status), Some((3, 15)));
        let lent = Held {
            index: 1,
            bytes: 20,
            place: Place::Other,
        };
        let status = Status {
            held: vec![lent],
            ..status
        };
        assert_eq!(progress(&status), Some((23, 35)));
        assert_eq!(progress(&Status::default()), None);
    }
}
