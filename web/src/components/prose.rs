//! An answer as the model wrote it: paragraphs, lists, code and emphasis of Markdown, and nothing else.
//!
//! The text comes from strangers' computers. It only ever becomes text nodes: there is no way from here to HTML.

use leptos::{either::EitherOf3, prelude::*};

/// A piece of an answer that stands on its own lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Block {
    Paragraph(Vec<Span>),
    List(Vec<Vec<Span>>),
    Code(String),
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Span {
    Plain(String),
    Strong(String),
    Code(String),
}

/// Reads as much as is there; what is not closed yet because the answer still grows is taken as closed.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("```") {
            let code: Vec<&str> = lines
                .by_ref()
                .take_while(|line| !line.trim_start().starts_with("```"))
                .collect();
            blocks.push(Block::Code(code.join("\n")));
        } else if let Some(item) = list_item(line) {
            let mut items = vec![spans(item)];
            while let Some(item) = lines.peek().and_then(|line| list_item(line)) {
                items.push(spans(item));
                lines.next();
            }
            blocks.push(Block::List(items));
        } else if !line.trim().is_empty() {
            let mut paragraph = line.trim_start_matches('#').trim_start().to_owned();
            let goes_on = |line: &&str| {
                !line.trim().is_empty()
                    && !line.trim_start().starts_with("```")
                    && list_item(line).is_none()
            };
            while let Some(line) = lines.next_if(goes_on) {
                paragraph.push('\n');
                paragraph.push_str(line);
            }
            blocks.push(Block::Paragraph(spans(&paragraph)));
        }
    }
    blocks
}

fn list_item(line: &str) -> Option<&str> {
    let line = line.trim_start();
    ["- ", "* ", "• "]
        .iter()
        .find_map(|mark| line.strip_prefix(mark))
}

fn spans(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let next = ["`", "**"]
            .iter()
            .filter_map(|mark| Some((rest.find(mark)?, *mark)))
            .min();
        let closed = next.and_then(|(at, mark)| {
            let inner = &rest[at + mark.len()..];
            let end = inner.find(mark).filter(|&end| end > 0)?;
            Some((at, mark, &inner[..end], &inner[end + mark.len()..]))
        });
        let Some((at, mark, inner, after)) = closed else {
            spans.push(Span::Plain(rest.to_owned()));
            break;
        };
        if at > 0 {
            spans.push(Span::Plain(rest[..at].to_owned()));
        }
        let inner = inner.to_owned();
        spans.push(if mark == "`" {
            Span::Code(inner)
        } else {
            Span::Strong(inner)
        });
        rest = after;
    }
    spans
}

fn line(spans: Vec<Span>) -> impl IntoView {
    let span = |span| match span {
        Span::Plain(text) => EitherOf3::A(text),
        Span::Strong(text) => EitherOf3::B(view! { <strong>{text}</strong> }),
        Span::Code(text) => EitherOf3::C(view! { <code>{text}</code> }),
    };
    spans.into_iter().map(span).collect_view()
}

/// Shows a text that may still grow; what is complete stays in place, so that it can be selected meanwhile.
#[component]
pub(crate) fn Prose(#[prop(into)] text: Signal<String>) -> impl IntoView {
    let numbered = move || {
        text.with(|text| blocks(text))
            .into_iter()
            .enumerate()
            .collect::<Vec<_>>()
    };
    view! {
        <For each=numbered key=Clone::clone let((_, block))>
            {match block {
                Block::Paragraph(spans) => EitherOf3::A(view! { <p>{line(spans)}</p> }),
                Block::List(items) => {
                    let items = items.into_iter().map(|item| view! { <li>{line(item)}</li> }).collect_view();
                    EitherOf3::B(view! { <ul>{items}</ul> })
                }
                Block::Code(code) => EitherOf3::C(view! { <pre tabindex="0"><code>{code}</code></pre> }),
            }}
        </For>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Span {
        Span::Plain(text.into())
    }

    #[test]
    fn paragraphs_lists_and_code_are_told_apart() {
        let text = "One\ntwo\n\n- a\n- b\n```rust\nfn x() {}\n```\nend";
        let expected = [
            Block::Paragraph(vec![plain("One\ntwo")]),
            Block::List(vec![vec![plain("a")], vec![plain("b")]]),
            Block::Code("fn x() {}".into()),
            Block::Paragraph(vec![plain("end")]),
        ];
        assert_eq!(blocks(text), expected);
    }

    #[test]
    fn emphasis_needs_both_ends() {
        assert_eq!(
            spans("a **b** `c`"),
            [
                plain("a "),
                Span::Strong("b".into()),
                plain(" "),
                Span::Code("c".into())
            ]
        );
        assert_eq!(
            spans("2 ** 3 ** 4"),
            [plain("2 "), Span::Strong(" 3 ".into()), plain(" 4")]
        );
        assert_eq!(spans("a **b"), [plain("a **b")]);
        assert_eq!(spans("``"), [plain("``")]);
    }

    #[test]
    fn code_that_is_still_being_written_is_code_already() {
        assert_eq!(blocks("```\nlet x"), [Block::Code("let x".into())]);
    }

    #[test]
    fn html_stays_text() {
        assert_eq!(
            blocks("<img onerror=x>"),
            [Block::Paragraph(vec![plain("<img onerror=x>")])]
        );
    }
}
