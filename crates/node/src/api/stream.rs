//! Answers as server-sent events, piece by piece: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use super::answer::{Answer, Piece};
use super::response::{Head, Whole};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::{iter, unfold};
use serde::Serialize;
use std::convert::Infallible;

/// With this a stream ends that is whole.
const DONE: &str = "[DONE]";

/// An answer on its way to whoever asked.
struct Telling<C> {
    answer: Answer,
    head: Head,
    include_usage: bool,
    over: bool,
    choice: Box<dyn FnMut(Piece) -> Option<C> + Send>,
}

/// Tells an answer as it grows: `first`, then what `choice` makes of each piece.
pub(super) fn respond<C: Serialize + 'static>(
    answer: Answer,
    head: Head,
    first: Option<C>,
    include_usage: bool,
    choice: impl FnMut(Piece) -> Option<C> + Send + 'static,
) -> Response {
    let opening: Vec<_> = first
        .map(|first| event(&head.with(first)))
        .into_iter()
        .collect();
    let telling = Telling {
        answer,
        head,
        include_usage,
        over: false,
        choice: Box::new(choice),
    };
    let pieces = unfold(telling, |mut telling| async move {
        let events = telling.next().await?;
        Some((iter(events), telling))
    });
    let events = iter(opening)
        .chain(pieces.flatten())
        .map(Ok::<_, Infallible>);
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}

impl<C: Serialize> Telling<C> {
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.over {
            return None;
        }
        let piece = self.answer.next().await?;
        let mut events = Vec::new();
        match &piece {
            Piece::Failed(error) => {
                self.over = true;
                return Some(vec![Event::default().data(error.in_stream())]);
            }
            Piece::End { usage, .. } => {
                self.over = true;
                if self.include_usage {
                    events.push(event(&self.head.usage::<C>(*usage)));
                }
                events.push(Event::default().data(DONE));
            }
            Piece::Thought(_) | Piece::Text { .. } => {}
        }
        let choice = (self.choice)(piece).map(|choice| event(&self.head.with(choice)));
        Some(choice.into_iter().chain(events).collect())
    }
}

fn event<C: Serialize>(whole: &Whole<C>) -> Event {
    // Strings and numbers, and no map whose keys are not strings.
    let text = serde_json::to_string(whole).unwrap_or_default();
    Event::default().data(text)
}
