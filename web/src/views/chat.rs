//! Asking, and reading the answer as it comes.

use leptos::{ev::KeyboardEvent, html, prelude::*};
use web_bridge::status::Stage;

use super::{
    conversations::{ConversationButton, ConversationList},
    joining::Progress,
    message::MessageView,
};
use crate::{
    components::{Glyph, Icon},
    platform,
    state::{Ui, ui},
};

const INPUT: &str = "question";

#[component]
pub(crate) fn ChatView() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let chat = ui.chat;
    let empty = Memo::new(move |_| chat.messages.with(Vec::is_empty));
    let listed = RwSignal::new(false);
    let log = NodeRef::<html::Div>::new();
    follow(ui, log);
    let last = Memo::new(move |_| {
        chat.messages
            .with(|messages| messages.last().map(|message| message.id))
    });
    view! {
        <section class="view view-chat" aria-labelledby="chat-title">
            <div class="view-head">
                <h2 id="chat-title">{t.chat_title}</h2>
                <div class="row">
                    <ConversationButton open=listed/>
                    <button type="button" class="small" data-testid="chat-new" disabled=move || empty.get()
                        on:click=move |_| { chat.clear(ui); listed.set(false); platform::focus(INPUT); }>
                        <Icon glyph=Glyph::New/>{t.new_chat}
                    </button>
                </div>
            </div>
            <Show when=move || listed.get()><ConversationList open=listed/></Show>
            <div class="log" node_ref=log role="log" aria-busy=move || chat.busy.get().to_string() tabindex="0"
                aria-labelledby="chat-title" data-testid="chat-log">
                <Show when=move || empty.get()><Empty/></Show>
                <For each=move || chat.messages.get() key=|message| message.id let:message>
                    <MessageView message last/>
                </For>
            </div>
            <Composer/>
        </section>
    }
}

/// Keeps the end of the conversation in sight while it grows, unless the reader has scrolled back.
fn follow(ui: Ui, log: NodeRef<html::Div>) {
    const NEAR: i32 = 120;
    Effect::new(move |before: Option<usize>| {
        let (count, _grown) = ui.chat.messages.with(|messages| {
            (
                messages.len(),
                messages.last().map(|last| {
                    (
                        last.text.with(String::len),
                        last.ending.with(Option::is_some),
                    )
                }),
            )
        });
        if let Some(log) = log.get() {
            let near = log.scroll_height() - log.scroll_top() - log.client_height() < NEAR;
            if near || before != Some(count) {
                request_animation_frame(move || log.set_scroll_top(log.scroll_height()));
            }
        }
        count
    });
}

/// An invitation to ask, with examples.
#[component]
fn Empty() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let chip = |example: &'static str| {
        view! {
            <li>
                <button type="button" class="chip" data-testid="example" disabled=move || !ui.can_ask.get()
                    on:click=move |_| ui.chat.ask(ui, example)>{example}</button>
            </li>
        }
    };
    view! {
        <div class="empty">
            <p class="empty-title">{t.chat_empty}</p>
            <ul class="chips" aria-label=t.examples_label>{t.examples.map(chip).into_iter().collect_view()}</ul>
        </div>
    }
}

/// Where the question is typed.
#[component]
fn Composer() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let chat = ui.chat;
    let ask = move || {
        if ui.can_ask.get_untracked() && !chat.busy.get_untracked() {
            let question = chat.draft.get_untracked();
            chat.draft.set(String::new());
            chat.ask(ui, &question);
        }
    };
    let on_key = move |event: KeyboardEvent| {
        // While an input method composes a character, Enter belongs to it.
        if event.key() == "Enter" && !event.shift_key() && !event.is_composing() {
            event.prevent_default();
            ask();
        }
    };
    let stage = Memo::new(move |_| ui.status.with(|status| status.stage));
    let idle = move || chat.draft.with(|draft| draft.trim().is_empty()) || !ui.can_ask.get();
    view! {
        <form class="composer" on:submit=move |event| { event.prevent_default(); ask(); }>
            {move || match (ui.can_ask.get(), stage.get()) {
                (false, Stage::Lent | Stage::Ready) => note(t.chat_offline),
                (false, _) => note(t.chat_not_ready),
                (true, Stage::Lent) => view! { <div class="composer-note"><Progress/></div> }.into_any(),
                (true, _) => ().into_any(),
            }}
            <div class="composer-box">
                <label class="visually-hidden" for=INPUT>{t.input_label}</label>
                // The hidden copy of the text in `data-text` makes the field as tall as its content.
                <div class="grow" data-text=move || chat.draft.get()>
                    <textarea id=INPUT rows="1" data-testid="chat-input" placeholder=t.input_placeholder
                        aria-describedby="input-hint" enterkeyhint="send" bind:value=chat.draft on:keydown=on_key></textarea>
                </div>
                {move || if chat.busy.get() {
                    view! {
                        <button type="button" class="round stop" data-testid="chat-stop" aria-label=t.stop title=t.stop
                            on:click=move |_| chat.stop(ui)><Icon glyph=Glyph::Stop/></button>
                    }.into_any()
                } else {
                    view! {
                        <button type="submit" class="round" data-testid="chat-send" aria-label=t.send title=t.send
                            disabled=idle><Icon glyph=Glyph::Send/></button>
                    }.into_any()
                }}
            </div>
            <p id="input-hint" class="hint">{t.input_hint}</p>
        </form>
    }
}

/// Why one cannot ask now.
fn note(words: &'static str) -> AnyView {
    view! { <p class="composer-note quiet">{words}</p> }.into_any()
}
