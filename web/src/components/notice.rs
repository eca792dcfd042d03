//! What is wrong, and what to do about it.

use leptos::{either::EitherOf3, prelude::*};
use web_bridge::status::{Link, Missing, Problem};

use super::{Glyph, Icon};
use crate::{
    i18n::Text,
    platform::shell,
    state::{Ui, ui},
};

/// Parts of the model named in a message; more are counted.
const NAMED: usize = 4;

/// A problem in words: what happened, what to do.
pub(crate) fn explain(t: &Text, problem: &Problem) -> Vec<String> {
    match problem {
        Problem::Missing(missing) => {
            vec![
                (t.problem_missing)(missing.len(), &list(t, missing)),
                t.problem_missing_todo.into(),
            ]
        }
        Problem::Quota => vec![t.problem_quota.into()],
        Problem::Storage(detail) => vec![t.problem_storage.into(), detail.clone()],
        Problem::Unsupported(detail) => vec![t.problem_unsupported.into(), detail.clone()],
        Problem::TooLong { tokens, context } => vec![(t.problem_too_long)(*tokens, *context)],
        Problem::NotReady => vec![t.problem_not_ready.into()],
        Problem::Other(detail) => vec![t.problem_other.into(), detail.clone()],
    }
}

/// Parts of the model by name, as many as one wants to read.
pub(crate) fn list(t: &Text, missing: &[Missing]) -> String {
    let name = |part: &Missing| {
        format!(
            "{} ({})",
            (t.fragment_name)(part.index),
            (t.place)(part.place)
        )
    };
    let mut names: Vec<String> = missing.iter().take(NAMED).map(name).collect();
    if missing.len() > NAMED {
        names.push((t.problem_missing_more)(missing.len() - NAMED));
    }
    names.join(", ")
}

/// A problem where it happened.
#[component]
pub(crate) fn Explained(problem: Problem) -> impl IntoView {
    let lines = explain(ui().t(), &problem)
        .into_iter()
        .map(|line| view! { <p>{line}</p> })
        .collect_view();
    view! {
        <div class="notice bad" role="alert" data-testid="problem">
            <Icon glyph=Glyph::Warning/>
            <div>{lines}</div>
        </div>
    }
}

/// What concerns the whole application: no connection, no storage, a new version.
#[component]
pub(crate) fn Notices() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let problem = Memo::new(move |_| ui.status.with(|status| status.problem.clone()));
    view! {
        <div class="notices">
            {move || ui.broken.get().map(|detail| view! {
                <div class="notice bad" role="alert" data-testid="broken">
                    <Icon glyph=Glyph::Warning/>
                    <div><p>{t.problem_start}</p><p class="quiet">{detail}</p></div>
                </div>
            })}
            {move || connection(ui)}
            {move || problem.get().map(|problem| view! { <Explained problem/> })}
            <Show when=move || ui.update.get()>
                <div class="notice" role="status" data-testid="update">
                    <p>{t.update_ready}</p>
                    <button type="button" class="small" data-testid="update-now" on:click=|_| shell::update()>{t.update_now}</button>
                </div>
            </Show>
        </div>
    }
}

/// Says plainly what is missing without a network.
fn connection(ui: Ui) -> impl IntoView {
    let t = ui.t();
    match ui.link.get() {
        Link::Connected => EitherOf3::A(()),
        Link::Offline => {
            let stored = move || (t.offline_what)(ui.status.with(|status| status.stored));
            EitherOf3::B(view! {
                <div class="notice" role="status" data-testid="offline">
                    <Icon glyph=Glyph::Warning/>
                    <div><p><strong>{t.offline_title}</strong></p><p>{stored}</p></div>
                </div>
            })
        }
        Link::Connecting => EitherOf3::C(view! {
            <div class="notice patient" role="status" data-testid="connecting">
                <span class="spinner" aria-hidden="true"></span>
                <div>
                    <p>{t.connect_slow}</p>
                    <p class="quiet">{move || ui.unreachable.get()}</p>
                </div>
            </div>
        }),
    }
}

#[cfg(test)]
mod tests {
    use web_bridge::status::Place;

    use super::*;
    use crate::i18n::ENGLISH;

    #[test]
    fn a_missing_part_is_named_and_many_are_counted() {
        let part = |index| Missing {
            index,
            place: Place::Attention(2),
        };
        let [what, todo] = explain(&ENGLISH, &Problem::Missing(vec![part(7)]))
            .try_into()
            .expect("two sentences");
        assert!(what.contains("Fragment 7 (attention, layer 2)"), "{what}");
        assert_eq!(todo, ENGLISH.problem_missing_todo);
        let many = explain(&ENGLISH, &Problem::Missing((0..9).map(part).collect()));
        assert!(many[0].ends_with("and 5 more."), "{}", many[0]);
    }
}
