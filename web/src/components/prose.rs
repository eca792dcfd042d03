//! An answer as the model wrote it, in Markdown.
//!
//! The text comes from strangers' computers. It only ever becomes text nodes and elements made here: there is no way from it
//! to HTML, nothing is loaded because of it, and its links lead to the web only.

mod markdown;

use leptos::prelude::*;

use super::{Glyph, Icon};
use crate::{platform::clipboard, state::ui};
use markdown::{Block, Inline, blocks};

fn line(line: Vec<Inline>) -> AnyView {
    line.into_iter().map(inline).collect_view().into_any()
}

fn inline(inline: Inline) -> AnyView {
    match inline {
        Inline::Text(text) => text.into_any(),
        Inline::Emphasis(words) => view! { <em>{line(words)}</em> }.into_any(),
        Inline::Strong(words) => view! { <strong>{line(words)}</strong> }.into_any(),
        Inline::Struck(words) => view! { <s>{line(words)}</s> }.into_any(),
        Inline::Code(text) => view! { <code>{text}</code> }.into_any(),
        Inline::Break => view! { <br/> }.into_any(),
        Inline::Link { to, words } => view! {
            <a href=to.clone() title=to target="_blank" rel="noopener noreferrer nofollow">{line(words)}</a>
        }
        .into_any(),
    }
}

fn all(blocks: Vec<Block>) -> AnyView {
    blocks.into_iter().map(block).collect_view().into_any()
}

fn block(block: Block) -> AnyView {
    match block {
        Block::Paragraph(words) => view! { <p>{line(words)}</p> }.into_any(),
        // Below the page's own headings, whatever the model makes of them.
        Block::Heading(level, words) if level < 3 => view! { <h4>{line(words)}</h4> }.into_any(),
        Block::Heading(_, words) => view! { <h5>{line(words)}</h5> }.into_any(),
        Block::Code { language, text } => view! { <Code language text/> }.into_any(),
        Block::Quote(blocks) => view! { <blockquote>{all(blocks)}</blockquote> }.into_any(),
        Block::Rule => view! { <hr/> }.into_any(),
        Block::List { start, items } => {
            let items = items
                .into_iter()
                .map(|item| view! { <li>{all(item)}</li> })
                .collect_view();
            match start {
                Some(start) => view! { <ol start=start.to_string()>{items}</ol> }.into_any(),
                None => view! { <ul>{items}</ul> }.into_any(),
            }
        }
        Block::Table { head, rows } => {
            let head = head
                .into_iter()
                .map(|cell| view! { <th scope="col">{line(cell)}</th> })
                .collect_view();
            let row = |cells: Vec<Vec<Inline>>| {
                let cells = cells
                    .into_iter()
                    .map(|cell| view! { <td>{line(cell)}</td> })
                    .collect_view();
                view! { <tr>{cells}</tr> }
            };
            let rows = rows.into_iter().map(row).collect_view();
            view! {
                <div class="table" tabindex="0" role="group">
                    <table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>
                </div>
            }
            .into_any()
        }
    }
}

/// A block of code, which can be copied by itself.
#[component]
fn Code(language: String, text: String) -> impl IntoView {
    let t = ui().t();
    let copied = RwSignal::new(false);
    let copy = {
        let text = text.clone();
        move |_| {
            let text = text.clone();
            leptos::task::spawn_local(async move { copied.set(clipboard::copy(&text).await) });
        }
    };
    view! {
        <figure class="code">
            <figcaption>
                <span>{language}</span>
                <button type="button" class="small" data-testid="copy-code" on:click=copy>
                    <Icon glyph=Glyph::Copy/>
                    <span aria-live="polite">{move || if copied.get() { t.copied } else { t.copy_code }}</span>
                </button>
            </figcaption>
            <pre tabindex="0"><code>{text}</code></pre>
        </figure>
    }
}

/// Shows a text that may still grow; what is complete stays in place, so that it can be selected meanwhile.
#[component]
pub(crate) fn Prose(#[prop(into)] text: Signal<String>) -> impl IntoView {
    let numbered = move || {
        let blocks = text.with(|text| blocks(text));
        blocks.into_iter().enumerate().collect::<Vec<_>>()
    };
    view! {
        <For each=numbered key=Clone::clone let((_, it))>{block(it)}</For>
    }
}
