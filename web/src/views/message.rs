//! One contribution to the conversation.

use leptos::{either::Either, ev::KeyboardEvent, prelude::*};
use web_bridge::{
    messages::Speaker,
    status::{EndReason, Ending},
};

use super::route::RouteTaken;
use crate::{
    components::{Explained, Glyph, Icon, Prose, list},
    i18n::Language,
    platform::{self, clipboard},
    state::{Message, ui},
};

/// Tokens a second below which a prediction says nothing.
const LEAST_PREDICTED: f64 = 0.1;

/// A question as it was typed, or an answer with what it took.
#[component]
pub(crate) fn MessageView(
    message: Message,
    #[prop(into)] last: Signal<Option<u32>>,
) -> impl IntoView {
    let t = ui().t();
    match message.speaker {
        Speaker::User | Speaker::System => Either::Left(view! {
            <article class="message user" data-testid="message-user">
                <h3 class="visually-hidden">{t.you}</h3>
                <Question message/>
            </article>
        }),
        Speaker::Assistant => Either::Right(view! { <Answer message last/> }),
    }
}

/// What was asked, until it is to be asked otherwise.
#[component]
fn Question(message: Message) -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let editing = RwSignal::new(None::<String>);
    let field = format!("edit-{}", message.id);
    let save = move || {
        if let Some(words) = editing
            .get_untracked()
            .filter(|_| ui.can_ask.get_untracked())
        {
            editing.set(None);
            ui.chat.edit(ui, message.id, &words);
        }
    };
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Escape" {
            editing.set(None);
        } else if event.key() == "Enter" && !event.shift_key() && !event.is_composing() {
            event.prevent_default();
            save();
        }
    };
    move || {
        if editing.with(Option::is_none) {
            let field = field.clone();
            let edit = move |_| {
                editing.set(Some(message.text.get_untracked()));
                let field = field.clone();
                request_animation_frame(move || platform::focus(&field));
            };
            return view! {
                <p class="typed" data-testid="typed">{move || message.text.get()}</p>
                <Show when=move || !ui.chat.busy.get()>
                    <button type="button" class="small edit" data-testid="message-edit" aria-label=t.edit title=t.edit
                        on:click=edit.clone()><Icon glyph=Glyph::Edit/></button>
                </Show>
            }
            .into_any();
        }
        view! {
            <form class="editing" on:submit=move |event| { event.prevent_default(); save(); }>
                <label class="visually-hidden" for=field.clone()>{t.edit}</label>
                <textarea id=field.clone() rows="3" data-testid="message-edited" on:keydown=on_key
                    prop:value=editing.get_untracked().unwrap_or_default()
                    on:input:target=move |event| editing.update_untracked(|it| *it = Some(event.target().value()))></textarea>
                <div class="row">
                    <button type="submit" class="primary small" data-testid="message-save"
                        disabled=move || !ui.can_ask.get()>{t.edit_send}</button>
                    <button type="button" class="small" on:click=move |_| editing.set(None)>{t.cancel}</button>
                </div>
            </form>
        }
        .into_any()
    }
}

#[component]
fn Answer(message: Message, last: Signal<Option<u32>>) -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let growing = move || message.ending.with(Option::is_none);
    let waiting = Memo::new(move |_| growing() && message.text.with(String::is_empty));
    let thoughtful = Memo::new(move |_| message.thoughts.with(|thoughts| !thoughts.is_empty()));
    let failed = move || {
        message.ending.with(
            |ending| match ending.as_ref().map(|ending| &ending.reason) {
                Some(EndReason::Failed(problem)) => Some(problem.clone()),
                _ => None,
            },
        )
    };
    let is_last = move || last.get() == Some(message.id) && !ui.chat.busy.get();
    view! {
        <article class="message answer" class:growing=growing>
            <h3 class="visually-hidden">{t.model}</h3>
            <Show when=move || thoughtful.get()><Thoughts message/></Show>
            <div class="answer-text" data-testid="message-answer"><Prose text=message.text/></div>
            <Show when=move || waiting.get()>
                <p class="thinking" role="status">
                    <span class="spinner" aria-hidden="true"></span>
                    {move || ui.chat.reading.get().map_or(t.thinking.into(), |(read, total)| (t.reading)(read, total))}
                </p>
            </Show>
            <Show when=growing><Waiting/><Queue/><Elsewhere/></Show>
            {move || failed().map(|problem| view! { <Explained problem/> })}
            <Meta message/>
            <RouteTaken message/>
            <Show when=move || !growing()>
                <div class="answer-tools">
                    <CopyButton text=message.text/>
                    <Show when=is_last>
                        <button type="button" class="small" data-testid="chat-retry" on:click=move |_| ui.chat.retry(ui)>
                            {t.retry}
                        </button>
                    </Show>
                </div>
            </Show>
        </article>
    }
}

/// What the model thought before it answered: folded away, there for who wants to read it.
#[component]
fn Thoughts(message: Message) -> impl IntoView {
    let t = ui().t();
    let thoughts = move || message.thoughts.with(|thoughts| thoughts.trim().to_owned());
    view! {
        <details class="thoughts" data-testid="message-thoughts">
            <summary>{t.thoughts}</summary>
            <p>{thoughts}</p>
        </details>
    }
}

/// Parts of the model the answer waits for, because nobody has them.
#[component]
fn Waiting() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let waiting = Memo::new(move |_| ui.status.with(|status| status.waiting.clone()));
    let words = move || (t.waiting_for)(&waiting.with(|parts| list(t, parts)));
    view! {
        <Show when=move || waiting.with(|parts| !parts.is_empty())>
            <p class="quiet patient" role="status" data-testid="waiting">{words}</p>
        </Show>
    }
}

/// Others' requests that are before those of the answer.
#[component]
fn Queue() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    move || {
        let (before, seconds) = ui.chat.queue.get()?;
        let words = (t.queued)(before, &language.number(seconds));
        Some(view! { <p class="quiet" role="status" data-testid="queued">{words}</p> })
    }
}

/// A button that has another device finish the answer, or that one does.
#[component]
fn Elsewhere() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let possible = Memo::new(move |_| ui.status.with(|status| status.finishers > 0));
    move || {
        match (ui.chat.elsewhere.get(), possible.get()) {
        (Some(taken), _) => {
            let words = if taken { t.elsewhere } else { t.giving_away };
            view! { <p class="quiet" role="status" data-testid="elsewhere" data-taken=taken.to_string()>{words}</p> }
                .into_any()
        }
        (None, true) => view! {
            <p class="give-away patient">
                <button type="button" class="small" data-testid="give-away" aria-describedby="give-away-note"
                    on:click=move |_| ui.chat.give_away(ui)>{t.give_away}</button>
                <span id="give-away-note">{t.give_away_hint}</span>
            </p>
        }
        .into_any(),
        (None, false) => ().into_any(),
    }
    }
}

/// Speed and who computed it.
#[component]
fn Meta(message: Message) -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let words = move || {
        message.ending.with(|ending| match ending {
            Some(ending) => summary(language, ending),
            // Only the growing answer has no ending, so the speed is its own.
            None => ui
                .chat
                .speed
                .get()
                .map(|speed| (t.speed)(&language.number(speed)))
                .unwrap_or_default(),
        })
    };
    view! { <p class="meta" data-testid="answer-meta">{words}</p> }
}

fn summary(language: Language, ending: &Ending) -> String {
    let t = language.text();
    let mut parts = Vec::new();
    let new = ending.tokens.saturating_sub(ending.before);
    if new > 1 && ending.rest > 0.0 {
        let speed = f64::from(new - 1) * 1000.0 / ending.rest;
        parts.push((t.speed)(&language.number(speed)));
        // Of somebody who was never asked nothing is known, and then the prediction is no more than patience.
        let predicted = 1000.0 / ending.predicted;
        if predicted.is_finite() && predicted >= LEAST_PREDICTED {
            parts.push((t.predicted)(&language.number(predicted)));
        }
    }
    if ending.tokens > 0 {
        parts.push((t.tokens)(ending.tokens));
        if ending.elsewhere {
            parts.push(t.finished_elsewhere.into());
        } else {
            parts.push((t.devices)(ending.devices));
            parts.push((t.first_token)(&language.number(ending.first / 1000.0)));
        }
    }
    if ending.approximate > 0 {
        parts.push((t.approximate_parts)(ending.approximate, ending.parts));
    }
    if ending.left_out > 0 {
        parts.push((t.degraded)(ending.left_out, ending.experts));
    }
    match ending.reason {
        EndReason::Stopped => parts.push(t.stopped.into()),
        EndReason::Length => parts.push(t.cut_short.into()),
        EndReason::Complete | EndReason::Failed(_) => {}
    }
    parts.join(" · ")
}

#[component]
fn CopyButton(text: RwSignal<String>) -> impl IntoView {
    let t = ui().t();
    let copied = RwSignal::new(false);
    let copy = move |_| {
        let text = text.get_untracked();
        leptos::task::spawn_local(async move { copied.set(clipboard::copy(&text).await) });
    };
    view! {
        <button type="button" class="small" on:click=copy>
            <Icon glyph=Glyph::Copy/>
            <span aria-live="polite">{move || if copied.get() { t.copied } else { t.copy }}</span>
        </button>
    }
}

#[cfg(test)]
mod tests {
    use web_bridge::status::Problem;

    use super::*;

    #[test]
    fn the_speed_does_not_count_the_wait_for_the_first_word() {
        let ending = Ending {
            reason: EndReason::Stopped,
            tokens: 11,
            before: 0,
            prompt_tokens: 3,
            first: 2500.0,
            rest: 2000.0,
            devices: 3,
            ids: Vec::new(),
            parts: 40,
            approximate: 0,
            experts: 0,
            left_out: 0,
            predicted: 250.0,
            elsewhere: false,
            route: Vec::new(),
        };
        let words = summary(Language::French, &ending);
        assert_eq!(
            words,
            "5 tokens/s · 4 prévus · 11 tokens · calculé par 3 appareils · premier mot après 2,5 s · arrêté"
        );
    }

    #[test]
    fn what_is_not_exact_is_said() {
        let ending = Ending {
            reason: EndReason::Complete,
            tokens: 1,
            devices: 1,
            parts: 40,
            approximate: 7,
            ..Ending::failed(Problem::NotReady)
        };
        let words = summary(Language::English, &ending);
        assert!(words.ends_with("approximate: 7 of 40 parts"), "{words}");
    }

    #[test]
    fn what_was_computed_without_some_experts_is_said() {
        let ending = Ending {
            reason: EndReason::Complete,
            tokens: 1,
            devices: 1,
            experts: 240,
            left_out: 6,
            ..Ending::failed(Problem::NotReady)
        };
        let words = summary(Language::English, &ending);
        assert!(
            words.ends_with("an expert was missing 6 of 240 times"),
            "{words}"
        );
        let words = summary(Language::French, &ending);
        assert!(
            words.ends_with("un expert a manqué 6 fois sur 240"),
            "{words}"
        );
    }
}
