//! `POST /v1/completions`.

use super::answer::{Chance, Piece, Question};
use super::error::Error;
use super::request::{Completion, Start};
use super::response::{TextChoice, TextLogprobs};
use super::{Api, stream};
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Json, Response};
use inference::tokenizer::Encode;
use std::sync::Arc;

pub(super) async fn complete(
    State(api): State<Arc<Api>>,
    asked: Result<Json<Completion>, JsonRejection>,
) -> Result<Response, Error> {
    let Json(asked) = asked?;
    let common = &asked.common;
    common.check()?;
    api.check_model(&common.model)?;
    let alternatives = asked.alternatives()?;
    let prompt = match asked.start()? {
        Start::Tokens(tokens) => tokens,
        Start::Text(text) => {
            let options = Encode {
                add_special: true,
                parse_special: false,
            };
            let tokens = api.pool.model().tokenizer().encode(&text, options);
            tokens.map_err(|error| Error::invalid_value("prompt", error.to_string()))?
        }
    };
    let question = Question {
        prompt,
        sampling: common.sampling(rand::random())?,
        max_tokens: common.max_tokens().unwrap_or(Completion::MAX_TOKENS),
        stop: common.stop()?,
        alternatives,
    };
    let answer = api.pool.ask(question).await?;
    let mut offset = 0;
    let mut logprobs =
        move |chances: &[Chance]| alternatives.map(|_| TextLogprobs::new(chances, &mut offset));
    let choice = |text, logprobs, finish_reason| TextChoice {
        index: 0,
        text,
        logprobs,
        finish_reason,
    };
    let head = api.head("cmpl", "text_completion");
    if !common.stream {
        let (made, reason, usage) = answer.whole().await?;
        // What looks like thoughts is part of the text here.
        let text = made.thoughts + &made.text;
        let choice = choice(text, logprobs(&made.tokens), Some(reason.name()));
        return Ok(Json(head.complete(choice, usage)).into_response());
    }
    let choice = move |piece| match piece {
        Piece::Thought(text) => Some(choice(text, None, None)),
        Piece::Text { text, tokens } => Some(choice(text, logprobs(&tokens), None)),
        Piece::End { reason, .. } => Some(choice(String::new(), None, Some(reason.name()))),
        Piece::Failed(_) => None,
    };
    Ok(stream::respond(
        answer,
        head,
        None,
        common.include_usage(),
        choice,
    ))
}
