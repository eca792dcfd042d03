//! The conversations that this browser keeps: finding one, going on with it, naming, saving and deleting it.

use leptos::{ev::KeyboardEvent, prelude::*, task::spawn_local};
use web_bridge::archive::Head;

use crate::{
    components::{Glyph, Icon},
    platform::{self, dates, files},
    state::{Ui, ui},
};

const SEARCH: &str = "conversation-search";

/// The list, beside or in place of the conversation shown.
#[component]
pub(super) fn ConversationList(
    /// Whether it is open.
    open: RwSignal<bool>,
) -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let all = ui.conversations;
    let words = RwSignal::new(String::new());
    // Those that say the words somewhere, once that is known.
    let found = RwSignal::new(None::<Vec<String>>);
    let taken = RwSignal::new(false);
    spawn_local(all.look());
    Effect::new(move || {
        let wanted = words.get().trim().to_owned();
        found.set(None);
        if wanted.is_empty() {
            return;
        }
        spawn_local(async move {
            let ids = all.find(&wanted).await;
            // The words may be others by now.
            if words.get_untracked().trim() == wanted {
                found.set(Some(ids));
            }
        });
    });
    let shown = Memo::new(move |_| {
        let words = words.get().trim().to_lowercase();
        let matches = |head: &Head| {
            words.is_empty()
                || head.title.to_lowercase().contains(&words)
                || found.with(|found| found.iter().flatten().any(|id| *id == head.id))
        };
        all.heads.with(|heads| {
            heads
                .iter()
                .filter(|head| matches(head))
                .cloned()
                .collect::<Vec<_>>()
        })
    });
    let on_key = move |event: KeyboardEvent| {
        if event.key() == "Escape" {
            open.set(false);
        }
    };
    request_animation_frame(|| platform::focus(SEARCH));
    view! {
        <section class="conversations" aria-label=t.conversations data-testid="conversations" on:keydown=on_key>
            <div class="field">
                <label class="visually-hidden" for=SEARCH>{t.conversations_search}</label>
                <input id=SEARCH type="search" data-testid="conversation-search" placeholder=t.conversations_search
                    bind:value=words/>
            </div>
            {move || all.problem.get().map(|why| view! {
                <p class="notice bad" role="alert" data-testid="conversations-problem">{(t.conversations_not_kept)(&why)}</p>
            })}
            <Show when=move || taken.get()>
                <p class="notice" role="status" data-testid="conversation-taken">{t.conversation_taken}</p>
            </Show>
            <Show when=move || shown.with(Vec::is_empty)>
                <p class="quiet" role="status">{move || if words.with(|it| it.trim().is_empty()) { t.conversations_none } else { t.conversations_not_found }}</p>
            </Show>
            <ul>
                <For each=move || shown.get() key=|head| (head.id.clone(), head.title.clone(), head.changed as u64, head.unfinished) let:head>
                    <Entry head open taken/>
                </For>
            </ul>
        </section>
    }
}

#[component]
fn Entry(head: Head, open: RwSignal<bool>, taken: RwSignal<bool>) -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let language = ui.language.get_untracked();
    let renaming = RwSignal::new(false);
    let deleting = RwSignal::new(false);
    let head = StoredValue::new(head);
    let title = move || head.with_value(|head| head.title.clone());
    let id = move || head.with_value(|head| head.id.clone());
    let current = move || ui.chat.id.with(|current| *current == Some(id()));
    let show = move |_| {
        spawn_local(async move {
            let had = current() || ui.chat.open(ui, id()).await;
            taken.set(!had);
            open.set(!had);
        });
    };
    let field = format!("rename-{}", id());
    let when = dates::short(language.tag(), head.with_value(|head| head.changed));
    let unfinished = head.with_value(|head| head.unfinished);
    let tools = move || {
        view! {
            <div class="row">
                <button type="button" class="small" data-testid="conversation-rename" on:click=move |_| renaming.set(true)>{t.rename}</button>
                <button type="button" class="small" data-testid="conversation-export" on:click=move |_| export(ui, id(), title())>{t.export}</button>
                <button type="button" class="small" data-testid="conversation-delete" on:click=move |_| deleting.set(true)>{t.delete}</button>
            </div>
        }
    };
    let confirm = move || {
        view! {
            <div class="row" role="group" aria-label=t.delete_sure>
                <span>{t.delete_sure}</span>
                <button type="button" class="small danger" data-testid="conversation-delete-sure"
                    on:click=move |_| {
                        if current() {
                            ui.chat.clear(ui);
                        }
                        ui.conversations.forget(id());
                    }>{t.delete}</button>
                <button type="button" class="small" on:click=move |_| deleting.set(false)>{t.cancel}</button>
            </div>
        }
    };
    let rename = move || {
        let named = RwSignal::new(title());
        let field = field.clone();
        let focused = field.clone();
        request_animation_frame(move || platform::focus(&focused));
        let done = move || {
            ui.conversations.rename(&id(), &named.get_untracked());
            renaming.set(false);
        };
        let on_key = move |event: KeyboardEvent| {
            if event.key() == "Escape" {
                event.stop_propagation();
                renaming.set(false);
            }
        };
        view! {
            <form class="row" on:submit=move |event| { event.prevent_default(); done(); }>
                <label class="visually-hidden" for=field.clone()>{t.rename}</label>
                <input id=field.clone() type="text" data-testid="conversation-title" bind:value=named on:keydown=on_key/>
                <button type="submit" class="small" data-testid="conversation-named">{t.save}</button>
            </form>
        }
    };
    view! {
        <li data-testid="conversation" aria-current=move || current().then_some("true")>
            {move || if renaming.get() {
                rename().into_any()
            } else {
                view! {
                    <button type="button" class="conversation-open" data-testid="conversation-open" on:click=show>
                        <strong>{title()}</strong>
                        <span class="quiet">{when.clone()}{unfinished.then(|| format!(" · {}", t.unfinished))}</span>
                    </button>
                }.into_any()
            }}
            {move || if deleting.get() { confirm().into_any() } else { tools().into_any() }}
        </li>
    }
}

/// Saves a conversation as a Markdown file.
fn export(ui: Ui, id: String, title: String) {
    spawn_local(async move {
        if let Some(text) = ui.chat.exported(&id, &title, ui.t()).await {
            files::save(
                &format!("{}.md", files::name(&title)),
                "text/markdown",
                &text,
            );
        }
    });
}

/// The button that opens it.
#[component]
pub(super) fn ConversationButton(open: RwSignal<bool>) -> impl IntoView {
    let t = ui().t();
    view! {
        <button type="button" class="small" data-testid="conversations-open" aria-expanded=move || open.get().to_string()
            on:click=move |_| open.update(|open| *open = !*open)>
            <Icon glyph=Glyph::List/>{t.conversations}
        </button>
    }
}
