//! Errors as OpenAI's clients know them: a status by which they choose the kind of exception, and a body that says why.

use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;

/// A request is not answered.
#[derive(Debug, Clone)]
pub(crate) struct Error {
    status: StatusCode,
    body: Body,
}

/// What is said of it.
#[derive(Debug, Clone, Serialize)]
struct Body {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The setting that is at fault.
    param: Option<&'static str>,
    code: Option<&'static str>,
}

const INVALID: &str = "invalid_request_error";

impl Error {
    fn new(status: StatusCode, kind: &'static str, message: String) -> Self {
        Self {
            status,
            body: Body {
                message,
                kind,
                param: None,
                code: None,
            },
        }
    }

    fn coded(self, code: &'static str) -> Self {
        let body = Body {
            code: Some(code),
            ..self.body
        };
        Self { body, ..self }
    }

    fn about(self, param: &'static str) -> Self {
        let body = Body {
            param: Some(param),
            ..self.body
        };
        Self { body, ..self }
    }

    /// The request makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, message.into())
    }

    /// A setting of the request makes no sense.
    pub(super) fn invalid_value(param: &'static str, message: impl Into<String>) -> Self {
        Self::invalid(message).about(param).coded("invalid_value")
    }

    /// Something is asked for that is not possible here.
    pub(super) fn unsupported(param: &'static str, message: impl Into<String>) -> Self {
        Self::invalid(message)
            .about(param)
            .coded("unsupported_parameter")
    }

    /// The conversation is longer than the model can follow.
    pub(super) fn too_long(limit: usize, wanted: usize) -> Self {
        Self::invalid(format!(
            "This model's maximum context length is {limit} tokens, and this conversation has {wanted} already."
        ))
        .about("messages")
        .coded("context_length_exceeded")
    }

    pub(super) fn no_such_model(name: &str, served: &str) -> Self {
        let message = format!("The model {name:?} is not served here; {served:?} is.");
        Self::new(StatusCode::NOT_FOUND, INVALID, message)
            .about("model")
            .coded("model_not_found")
    }

    pub(super) fn no_such_path() -> Self {
        let message = "There is nothing at this address. The API has /v1/models, /v1/chat/completions and /v1/completions.";
        Self::new(StatusCode::NOT_FOUND, INVALID, message.into()).coded("unknown_url")
    }

    pub(super) fn no_such_method() -> Self {
        let message = "This address is not asked by this method.".into();
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, message)
    }

    pub(super) fn no_key() -> Self {
        let message =
            "This node wants an API key: send it in the header Authorization: Bearer KEY.".into();
        Self::new(StatusCode::UNAUTHORIZED, INVALID, message).coded("invalid_api_key")
    }

    pub(super) fn wrong_key() -> Self {
        let message = "This API key is none of those that this node knows.".into();
        Self::new(StatusCode::UNAUTHORIZED, INVALID, message).coded("invalid_api_key")
    }

    pub(super) fn by_name() -> Self {
        let message = "Without API keys this node is asked by its IP address or as localhost, not by another name.".into();
        Self::new(StatusCode::FORBIDDEN, INVALID, message)
    }

    /// Too many wait already.
    pub(super) fn busy(waiting: usize) -> Self {
        let message = format!("{waiting} requests are waiting already. Try again in a moment.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
            .coded("rate_limit_exceeded")
    }

    /// The network does not answer.
    pub(super) fn unavailable(message: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).coded("nobody_answers")
    }

    pub(super) fn internal(message: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// As it stands in a stream, whose status has been sent.
    pub(super) fn in_stream(&self) -> String {
        // Strings and nothing else.
        serde_json::to_string(&Whole { error: &self.body }).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    error: &'a Body,
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        let status = match rejection.status() {
            // Clients have another exception for this one, which is not what the format says.
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Self::new(status, INVALID, rejection.body_text())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (self.status, Json(Whole { error: &self.body })).into_response()
    }
}
