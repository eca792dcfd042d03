//! The HTTP API that programs know from OpenAI: the same paths, requests, streams and errors, so that a client made for it
//! needs another address only.
//!
//! The format is that of <https://platform.openai.com/docs/api-reference>. What is asked for and not possible here is an
//! error with its name, never silently left out.

mod access;
mod answer;
mod chat;
mod completions;
mod error;
mod pool;
mod request;
mod response;
mod stream;
mod totals;

pub(crate) use access::Access;
pub(crate) use totals::{Told as Totals, Totals as Counting};

use crate::backend::Backend;
use crate::status::{self, Reporter, Status};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::middleware;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use error::Error;
use inference::session::Config;
use pool::Pool;
use response::{Head, List, Model};
use std::net::TcpListener;
use std::sync::Arc;

/// No conversation is longer than what a model can follow.
const MAX_BODY: usize = 16 << 20;

/// How many are answered, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Answers that are made at one time.
    pub(crate) sessions: usize,
    /// How they are computed.
    pub(crate) config: Config,
}

/// What the handlers share.
struct Api {
    model: Model,
    /// Other names under which it may be asked for.
    aliases: Vec<String>,
    /// What says which weights answer.
    fingerprint: String,
    pool: Pool,
    counting: Arc<Counting>,
    reporter: Option<Reporter>,
}

impl Api {
    fn new(
        backend: Backend,
        settings: Settings,
        counting: Arc<Counting>,
        reporter: Option<Reporter>,
    ) -> anyhow::Result<Self> {
        let model = backend.model();
        let id = model.id().to_string();
        let name = model.manifest().header().metadata.str("general.name");
        let name = name.unwrap_or(&id).to_owned();
        Ok(Self {
            model: Model::new(name.replace(char::is_whitespace, "-")),
            fingerprint: format!("fp_{id}"),
            aliases: vec![name, id],
            pool: Pool::new(backend, settings, counting.clone())?,
            counting,
            reporter,
        })
    }

    /// Whether it is this model that is asked.
    fn check_model(&self, name: &str) -> Result<(), Error> {
        match name == self.model.id || self.aliases.iter().any(|it| it == name) {
            true => Ok(()),
            false => Err(Error::no_such_model(name, &self.model.id)),
        }
    }

    fn head(&self, kind: &str, object: &'static str) -> Head {
        Head::new(kind, object, &self.model, &self.fingerprint)
    }
}

/// Serves until the program stops. Must be called within a Tokio runtime.
pub(crate) async fn serve(
    socket: TcpListener,
    access: Access,
    backend: Backend,
    settings: Settings,
    reporter: Option<Reporter>,
) -> anyhow::Result<()> {
    let counting = reporter.as_ref().map(Reporter::api).unwrap_or_default();
    let api = Arc::new(Api::new(backend, settings, counting, reporter)?);
    Ok(axum_server::from_tcp(socket)?
        .serve(router(api, access).into_make_service())
        .await?)
}

fn router(api: Arc<Api>, access: Access) -> Router {
    let cors = access.cors();
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(model))
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/completions", post(completions::complete))
        .route("/metrics", get(metrics))
        .route_layer(middleware::from_fn_with_state(
            Arc::new(access),
            access::check,
        ))
        // A load balancer has no key.
        .route("/health", get(health))
        .fallback(async || Error::no_such_path())
        .method_not_allowed_fallback(async || Error::no_such_method())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(cors)
        .with_state(api)
}

async fn models(State(api): State<Arc<Api>>) -> Json<List<Model>> {
    Json(List::new(vec![api.model.clone()]))
}

async fn model(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<Model>, Error> {
    api.check_model(&name)?;
    Ok(Json(api.model.clone()))
}

async fn health(State(api): State<Arc<Api>>) -> Response {
    let node = match &api.reporter {
        Some(reporter) => reporter.report().await.map(drop),
        None => Ok(()),
    };
    match node {
        Ok(()) => Json(serde_json::json!({ "status": "ok" })).into_response(),
        Err(error) => Error::unavailable(error.to_string()).into_response(),
    }
}

async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, Error> {
    let status = match &api.reporter {
        Some(reporter) => {
            let report = reporter.report().await;
            report.map_err(|error| Error::unavailable(error.to_string()))?
        }
        None => Status {
            kind: "api".into(),
            api: api.counting.told(),
            ..Status::default()
        },
    };
    status::as_prometheus(status).map_err(|error| Error::internal(error.to_string()))
}
