//! `POST /v1/chat/completions`.

use super::answer::{Chance, Piece, Question};
use super::error::Error;
use super::request::Chat;
use super::response::{ChatChoice, ChatDelta, ChatLogprobs, Delta, Message};
use super::{Api, stream};
use crate::cli::today;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Json, Response};
use std::sync::Arc;

const ASSISTANT: &str = "assistant";

pub(super) async fn complete(
    State(api): State<Arc<Api>>,
    asked: Result<Json<Chat>, JsonRejection>,
) -> Result<Response, Error> {
    let Json(asked) = asked?;
    let common = &asked.common;
    common.check()?;
    api.check_model(&common.model)?;
    let messages = asked.messages()?;
    let alternatives = asked.alternatives()?;
    let prompt = api.pool.model().encode_chat(&messages, today());
    let question = Question {
        prompt: prompt.map_err(|error| Error::invalid_value("messages", error.to_string()))?,
        sampling: common.sampling(rand::random())?,
        max_tokens: common.max_tokens().unwrap_or(usize::MAX),
        stop: common.stop()?,
        alternatives,
    };
    let answer = api.pool.ask(question).await?;
    let logprobs = move |chances: &[Chance]| alternatives.map(|_| ChatLogprobs::new(chances));
    if !common.stream {
        let (made, reason, usage) = answer.whole().await?;
        let choice = ChatChoice {
            index: 0,
            message: Message {
                role: ASSISTANT,
                content: made.text,
                refusal: None,
                reasoning_content: made.thoughts,
            },
            logprobs: logprobs(&made.tokens),
            finish_reason: reason.name(),
        };
        let head = api.head("chatcmpl", "chat.completion");
        return Ok(Json(head.complete(choice, usage)).into_response());
    }
    let delta = |delta| ChatDelta {
        delta,
        ..ChatDelta::default()
    };
    let first = delta(Delta {
        role: Some(ASSISTANT),
        content: Some(String::new()),
        ..Delta::default()
    });
    let choice = move |piece| match piece {
        Piece::Thought(text) => Some(delta(Delta {
            reasoning_content: Some(text),
            ..Delta::default()
        })),
        Piece::Text { text, tokens } => Some(ChatDelta {
            logprobs: logprobs(&tokens),
            ..delta(Delta {
                content: Some(text),
                ..Delta::default()
            })
        }),
        Piece::End { reason, .. } => Some(ChatDelta {
            finish_reason: Some(reason.name()),
            ..ChatDelta::default()
        }),
        Piece::Failed(_) => None,
    };
    let head = api.head("chatcmpl", "chat.completion.chunk");
    Ok(stream::respond(
        answer,
        head,
        Some(first),
        common.include_usage(),
        choice,
    ))
}
