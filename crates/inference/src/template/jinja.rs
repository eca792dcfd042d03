//! Templates in Jinja, run as the `transformers` library runs them, whose conventions files rely on.

use std::{
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};

use minijinja::{
    Environment, Error as JinjaError, ErrorKind, State, Value, context,
    value::{Kwargs, ValueKind},
};

use super::{Date, Error, Message};

/// Steps a template may take. A real one needs some thousands; it comes from a stranger's file.
const MAX_STEPS: u64 = 5_000_000;

/// What a template is told besides the conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// How the token that begins a text is written.
    pub bos: String,
    /// How the token that ends a text is written.
    pub eos: String,
    /// What day it is; templates that cannot do without are refused where nobody knows.
    pub today: Option<Date>,
}

/// Runs a template for a conversation, up to where the model says the assistant's next message.
pub fn render(source: &str, messages: &[Message], context: &Context) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(MAX_STEPS));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_formatter(|out, _, value| {
        let text = python(value);
        out.write_str(&text).map_err(JinjaError::from)
    });
    environment.add_filter("tojson", to_json);
    let refusal = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&refusal);
    environment.add_function("raise_exception", move |message: String| {
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.clone());
        Err::<Value, _>(JinjaError::new(ErrorKind::InvalidOperation, message))
    });
    if let Some(today) = context.today {
        environment.add_function("strftime_now", move |format: String| today.format(&format));
    }
    let values = context! {
        messages,
        tools => Value::from(()),
        documents => Value::from(()),
        add_generation_prompt => true,
        bos_token => context.bos,
        eos_token => context.eos,
    };
    environment
        .render_str(&as_in_python(&without_generation_tags(source)), values)
        .map_err(|error| {
            let refusal = refusal
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            refusal.map_or_else(|| Error::Template(error), Error::Refused)
        })
}

/// The tags with which training marks what an assistant said: shown as if they were not there.
fn without_generation_tags(source: &str) -> String {
    let mut text = source.to_owned();
    for (tag, same) in [("generation", "if true"), ("endgeneration", "endif")] {
        for (open, close) in [("{%", "%}"), ("{%-", "%}"), ("{%", "-%}"), ("{%-", "-%}")] {
            let replacement = format!("{open} {same} {close}");
            text = text.replace(&format!("{open} {tag} {close}"), &replacement);
        }
    }
    text
}

/// In Python's texts a backslash at the end of a line hides the line's end; so it does in those of templates.
fn as_in_python(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    // Texts occur in tags only.
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let (before, tag) = rest.split_at(start + 2);
        out.push_str(before);
        let mut quote = None;
        let mut end = tag.len();
        let mut chars = tag.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match (quote, c) {
                (Some(_), '\\') => {
                    let Some((_, next)) = chars.next() else { break };
                    if next != '\n' {
                        out.extend(['\\', next]);
                    }
                    continue;
                }
                (Some(open), c) if open == c => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, '}') if tag[..at].ends_with(['}', '%']) => {
                    out.push(c);
                    end = at + 1;
                    break;
                }
                _ => {}
            }
            out.push(c);
        }
        rest = &tag[end..];
    }
    out + rest
}

/// A value as Python writes it into a text.
fn python(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::String => value.to_string(),
        _ => {
            let mut out = String::new();
            write_python(value, &mut out);
            out
        }
    }
}

/// A value as Python writes it into a list.
fn write_python(value: &Value, out: &mut String) {
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => {
            let text = value.to_string();
            let quote = if text.contains('\'') && !text.contains('"') {
                '"'
            } else {
                '\''
            };
            out.push(quote);
            for c in text.chars() {
                match c {
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    '\\' => out.push_str("\\\\"),
                    c if c == quote => out.extend(['\\', c]),
                    c => out.push(c),
                }
            }
            out.push(quote);
        }
        ValueKind::Seq => {
            out.push('[');
            for (index, item) in value.try_iter().into_iter().flatten().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_python(&item, out);
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_python(&key, out);
                out.push_str(": ");
                write_python(&value.get_item(&key).unwrap_or_default(), out);
            }
            out.push('}');
        }
        _ => _ = write!(out, "{value}"),
    }
}

/// The filter `tojson` as Python writes JSON: with blanks, and nothing escaped that need not be.
fn to_json(_: &State, value: &Value, options: Kwargs) -> Result<Value, JinjaError> {
    let indent: Option<usize> = options.get("indent")?;
    for ignored in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<Value> = options.get(ignored)?;
    }
    options.assert_all_used()?;
    // An indentation is a handful of blanks; a stranger's number must not decide how much is written.
    let indent = indent.map(|indent| indent.min(16));
    let mut out = String::new();
    write_json(value, indent, 0, &mut out);
    Ok(Value::from_safe_string(out))
}

fn write_json(value: &Value, indent: Option<usize>, depth: usize, out: &mut String) {
    let new_line = |depth: usize, out: &mut String| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    let separate = |index: usize, out: &mut String| {
        out.push_str(match (index, indent) {
            (0, _) => "",
            (_, None) => ", ",
            (_, Some(_)) => ",",
        });
        new_line(depth + 1, out);
    };
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => _ = write!(out, "{value}"),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            let mut empty = true;
            for (index, item) in value.try_iter().into_iter().flatten().enumerate() {
                empty = false;
                separate(index, out);
                write_json(&item, indent, depth + 1, out);
            }
            if !empty {
                new_line(depth, out);
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            let mut empty = true;
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                empty = false;
                separate(index, out);
                write_json_text(&key.to_string(), out);
                out.push_str(": ");
                let item = value.get_item(&key).unwrap_or_default();
                write_json(&item, indent, depth + 1, out);
            }
            if !empty {
                new_line(depth, out);
            }
            out.push('}');
        }
        _ => write_json_text(&value.to_string(), out),
    }
}

fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}
