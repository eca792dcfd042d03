//! Markdown as a tree, of what an answer may show: CommonMark with tables and struck out text, without HTML and images.
//!
//! What is not closed yet because the answer still grows is taken as CommonMark takes the end of a text: a block of code
//! that is still being written is code already.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag};

/// A piece of an answer that stands on its own lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Block {
    Paragraph(Vec<Inline>),
    /// With its level, 1 to 6.
    Heading(u8, Vec<Inline>),
    Code {
        /// As the answer names it; often nothing.
        language: String,
        text: String,
    },
    List {
        /// The first number, if the items have numbers.
        start: Option<u64>,
        items: Vec<Vec<Block>>,
    },
    Quote(Vec<Block>),
    Table {
        head: Vec<Vec<Inline>>,
        rows: Vec<Vec<Vec<Inline>>>,
    },
    Rule,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Inline {
    Text(String),
    Emphasis(Vec<Inline>),
    Strong(Vec<Inline>),
    Struck(Vec<Inline>),
    Code(String),
    Link { to: String, words: Vec<Inline> },
    Break,
}

/// Deeper ones are shown as if they were not there: a stranger's text must not exhaust the stack.
const DEEPEST: usize = 24;

/// The blocks of a text.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut reader = Reader {
        events: Parser::new_ext(text, options),
        depth: 0,
    };
    reader.blocks()
}

/// Links lead to the web only, and look like what they are.
fn safe(to: &str) -> bool {
    let scheme = to.split(':').next().unwrap_or_default();
    ["http", "https", "mailto"]
        .iter()
        .any(|it| scheme.eq_ignore_ascii_case(it))
}

struct Reader<I> {
    events: I,
    depth: usize,
}

impl<'a, I: Iterator<Item = Event<'a>>> Reader<I> {
    /// Blocks until the one around them ends.
    fn blocks(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        // Items of a tight list have text without a paragraph around it.
        let mut loose = Vec::new();
        self.depth += 1;
        while let Some(event) = self.events.next() {
            let block = match event {
                Event::End(_) => break,
                Event::Start(tag) => match self.block(tag) {
                    Ok(block) => block,
                    Err(inline) => {
                        loose.extend(inline);
                        continue;
                    }
                },
                Event::Rule => Some(Block::Rule),
                event => {
                    push(&mut loose, event);
                    continue;
                }
            };
            if !loose.is_empty() {
                blocks.push(Block::Paragraph(std::mem::take(&mut loose)));
            }
            blocks.extend(block);
        }
        self.depth -= 1;
        if !loose.is_empty() {
            blocks.push(Block::Paragraph(loose));
        }
        blocks
    }

    /// A block, or what is no block by itself.
    fn block(&mut self, tag: Tag<'a>) -> Result<Option<Block>, Vec<Inline>> {
        if self.depth > DEEPEST {
            self.skip();
            return Ok(None);
        }
        let block = match tag {
            Tag::Paragraph | Tag::HtmlBlock => Block::Paragraph(self.line()),
            Tag::Heading { level, .. } => Block::Heading(level as u8, self.line()),
            Tag::CodeBlock(kind) => {
                let language = match kind {
                    CodeBlockKind::Fenced(info) => {
                        info.split([' ', ',']).next().unwrap_or_default().to_owned()
                    }
                    CodeBlockKind::Indented => String::new(),
                };
                let mut text = self.plain();
                // The line that ends it is not part of it.
                if text.ends_with('\n') {
                    text.pop();
                }
                Block::Code { language, text }
            }
            Tag::BlockQuote(_) => Block::Quote(self.blocks()),
            Tag::List(start) => Block::List {
                start,
                items: self.items(),
            },
            Tag::Table(_) => self.table(),
            tag => return Err(self.inline(tag)),
        };
        Ok(Some(block))
    }

    fn items(&mut self) -> Vec<Vec<Block>> {
        let mut items = Vec::new();
        while let Some(Event::Start(Tag::Item)) = self.events.next() {
            items.push(self.blocks());
        }
        items
    }

    fn table(&mut self) -> Block {
        let (mut head, mut rows) = (Vec::new(), Vec::new());
        while let Some(Event::Start(part)) = self.events.next() {
            let mut cells = Vec::new();
            while let Some(Event::Start(_)) = self.events.next() {
                cells.push(self.line());
            }
            match part {
                Tag::TableHead => head = cells,
                _ => rows.push(cells),
            }
        }
        Block::Table { head, rows }
    }

    /// What stands in a line, until what is around it ends.
    fn line(&mut self) -> Vec<Inline> {
        let mut line = Vec::new();
        self.depth += 1;
        while let Some(event) = self.events.next() {
            match event {
                Event::End(_) => break,
                Event::Start(tag) => line.extend(self.inline(tag)),
                event => push(&mut line, event),
            }
        }
        self.depth -= 1;
        line
    }

    fn inline(&mut self, tag: Tag<'a>) -> Vec<Inline> {
        if self.depth > DEEPEST {
            self.skip();
            return Vec::new();
        }
        let words = self.line();
        let one = match tag {
            Tag::Emphasis => Inline::Emphasis(words),
            Tag::Strong => Inline::Strong(words),
            Tag::Strikethrough => Inline::Struck(words),
            // A picture would tell a stranger's server who reads this.
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } if safe(&dest_url) => {
                let to = dest_url.into_string();
                let words = match words.is_empty() {
                    true => vec![Inline::Text(to.clone())],
                    false => words,
                };
                Inline::Link { to, words }
            }
            _ => return words,
        };
        vec![one]
    }

    /// Leaves out what has begun, with all that is in it.
    fn skip(&mut self) {
        let mut open = 1;
        while open > 0 {
            match self.events.next() {
                Some(Event::Start(_)) => open += 1,
                Some(Event::End(_)) => open -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }

    /// The text alone.
    fn plain(&mut self) -> String {
        let mut text = String::new();
        for event in self.events.by_ref() {
            match event {
                Event::End(_) => break,
                Event::Text(more) => text.push_str(&more),
                _ => {}
            }
        }
        text
    }
}

fn push(line: &mut Vec<Inline>, event: Event<'_>) {
    let text = match event {
        Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => text.into_string(),
        Event::SoftBreak => "\n".into(),
        Event::Code(code) => return line.push(Inline::Code(code.into_string())),
        Event::HardBreak => return line.push(Inline::Break),
        _ => return,
    };
    // Parsers cut texts where something might have begun.
    match line.last_mut() {
        Some(Inline::Text(before)) => before.push_str(&text),
        _ => line.push(Inline::Text(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Inline {
        Inline::Text(text.into())
    }

    fn paragraph(words: &str) -> Block {
        Block::Paragraph(vec![text(words)])
    }

    fn code(language: &str, text: &str) -> Block {
        Block::Code {
            language: language.into(),
            text: text.into(),
        }
    }

    #[test]
    fn paragraphs_lists_and_code_are_told_apart() {
        let read = blocks(
            "# One\ntwo\nthree\n\n- a\n- b\n\n3. c\n\n```rust\nfn x() {}\n```\n> end\n\n---",
        );
        let list = |start, items: &[&str]| Block::List {
            start,
            items: items.iter().map(|it| vec![paragraph(it)]).collect(),
        };
        let expected = [
            Block::Heading(1, vec![text("One")]),
            paragraph("two\nthree"),
            list(None, &["a", "b"]),
            list(Some(3), &["c"]),
            code("rust", "fn x() {}"),
            Block::Quote(vec![paragraph("end")]),
            Block::Rule,
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn emphasis_needs_both_ends() {
        let line = |words: &str| match blocks(words).pop() {
            Some(Block::Paragraph(line)) => line,
            other => panic!("{other:?}"),
        };
        let strong = |words: &str| Inline::Strong(vec![text(words)]);
        let expected = [text("a "), strong("b"), text(" "), Inline::Code("c".into())];
        assert_eq!(line("a **b** `c`"), expected);
        assert_eq!(line("2 ** 3 ** 4"), [text("2 ** 3 ** 4")]);
        assert_eq!(line("a **b"), [text("a **b")]);
        assert_eq!(
            line("~~a~~ *b*"),
            [
                Inline::Struck(vec![text("a")]),
                text(" "),
                Inline::Emphasis(vec![text("b")])
            ]
        );
    }

    #[test]
    fn code_that_is_still_being_written_is_code_already() {
        assert_eq!(blocks("```\nlet x"), [code("", "let x")]);
    }

    #[test]
    fn tables_have_a_head_and_rows() {
        let cell = |words: &str| vec![text(words)];
        let expected = Block::Table {
            head: vec![cell("a"), cell("b")],
            rows: vec![vec![cell("1"), cell("2")]],
        };
        assert_eq!(blocks("|a|b|\n|-|-|\n|1|2|"), [expected]);
    }

    #[test]
    fn html_stays_text_and_nothing_leads_elsewhere_than_it_says() {
        assert_eq!(blocks("<img onerror=x>"), [paragraph("<img onerror=x>")]);
        assert_eq!(blocks("a <b>c</b>"), [paragraph("a <b>c</b>")]);
        assert_eq!(blocks("[a](javascript:x)"), [paragraph("a")]);
        let link = |to: &str, words: &str| {
            Block::Paragraph(vec![Inline::Link {
                to: to.into(),
                words: vec![text(words)],
            }])
        };
        assert_eq!(
            blocks("![a](https://x.example/p.png)"),
            [link("https://x.example/p.png", "a")]
        );
        assert_eq!(
            blocks("<https://x.example>"),
            [link("https://x.example", "https://x.example")]
        );
    }

    #[test]
    fn what_is_nested_too_deeply_is_left_out() {
        let deep = format!("{}x", "> ".repeat(10_000));
        assert_eq!(blocks(&deep).len(), 1);
        let deep = format!("{}x{}", "*".repeat(5_000), "*".repeat(5_000));
        assert!(!blocks(&deep).is_empty());
    }
}
