//! The status over HTTP: `/status.json`, `/metrics` and `/health`.

use super::{Reporter, Status, metrics};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use std::net::{IpAddr, TcpListener};

/// Serves until the node stops. Must be called within a Tokio runtime.
pub(crate) async fn serve(socket: TcpListener, reporter: Reporter) -> std::io::Result<()> {
    let router = Router::new()
        .route("/status.json", get(status))
        .route("/metrics", get(prometheus))
        .route("/health", get(health))
        .with_state(reporter)
        .layer(middleware::from_fn(only_by_address));
    axum_server::from_tcp(socket)?
        .serve(router.into_make_service())
        .await
}

async fn status(State(reporter): State<Reporter>) -> Response {
    match reporter.report().await {
        Ok(status) => Json(status).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn prometheus(State(reporter): State<Reporter>) -> Response {
    let Ok(status) = reporter.report().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    as_prometheus(status).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// A status as Prometheus reads it.
pub(crate) fn as_prometheus(status: Status) -> Result<Response, std::fmt::Error> {
    let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
    Ok(([(CONTENT_TYPE, kind)], metrics::text(status)?).into_response())
}

/// Whether the node still takes commands.
async fn health(State(reporter): State<Reporter>) -> StatusCode {
    match reporter.report().await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A page in this machine's browser could have the name of its own server lead here and read along. Whoever asks by
/// address, or by the one name that leads nowhere else, is no such page.
async fn only_by_address(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|it| it.to_str().ok());
    if host.is_some_and(is_address) {
        next.run(request).await
    } else {
        (
            StatusCode::FORBIDDEN,
            "ask by the node's IP address, not by a name\n",
        )
            .into_response()
    }
}

/// Whether a `Host` names no more than an address.
pub(crate) fn is_address(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_lead_here_from_a_page_are_not_answered() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9100",
            "[::1]:9100",
            "localhost:1",
            "10.0.0.1",
        ] {
            assert!(is_address(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9100",
            "127.0.0.1.evil.example",
            "[",
            "[x]:1",
        ] {
            assert!(!is_address(host), "{host}");
        }
    }
}
