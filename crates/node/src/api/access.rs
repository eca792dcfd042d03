//! Who may ask.

use super::error::Error;
use crate::status::is_address;
use anyhow::{Context, Result, ensure};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use std::path::Path;
use std::sync::Arc;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Who may ask, and from which pages.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// The hashes of the keys; with none, everybody who reaches the address may ask.
    keys: Vec<blake3::Hash>,
    open: bool,
    origins: Vec<HeaderValue>,
    any_origin: bool,
}

impl Access {
    /// Keys are one a line; what follows a `#` says whose they are.
    pub(crate) fn new(key_file: Option<&Path>, origins: &[String]) -> Result<Self> {
        let text = key_file.map(|file| {
            let text = std::fs::read_to_string(file);
            text.with_context(|| format!("cannot read the keys in {}", file.display()))
        });
        let text = text.transpose()?.unwrap_or_default();
        let keys = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim());
        let keys: Vec<_> = keys.filter(|key| !key.is_empty()).map(hash).collect();
        if let Some(file) = key_file {
            ensure!(!keys.is_empty(), "{} holds no key", file.display());
        }
        let origin = |it: &String| {
            let value = it.trim_end_matches('/').parse();
            value.with_context(|| format!("{it:?} is no origin, such as https://example.org"))
        };
        let (any, origins): (Vec<_>, Vec<_>) = origins.iter().partition(|it| *it == "*");
        Ok(Self {
            keys,
            open: false,
            origins: origins.into_iter().map(origin).collect::<Result<_>>()?,
            any_origin: !any.is_empty(),
        })
    }

    /// With this, and without keys, it does not matter by which name the address is reached.
    pub(crate) fn open_to_all(self, open: bool) -> Self {
        Self { open, ..self }
    }

    pub(crate) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Which pages may read the answers.
    pub(super) fn cors(&self) -> CorsLayer {
        let origins = match self.any_origin {
            true => AllowOrigin::any(),
            false => AllowOrigin::list(self.origins.clone()),
        };
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST])
            // A star does not stand for the header with the key.
            .allow_headers(AllowHeaders::mirror_request())
    }

    fn admits(&self, request: &Request) -> Result<(), Error> {
        let header = |name| request.headers().get(name).and_then(|it| it.to_str().ok());
        if !self.has_keys() {
            // A page in this machine's browser could have the name of its own server lead here.
            return match header(HOST).is_some_and(is_address) || self.open {
                true => Ok(()),
                false => Err(Error::by_name()),
            };
        }
        let key = header(AUTHORIZATION).and_then(|it| it.strip_prefix("Bearer "));
        match key.map(|key| hash(key.trim())) {
            None => Err(Error::no_key()),
            // Hashes are compared in a time that says nothing about them.
            Some(given) if self.keys.contains(&given) => Ok(()),
            Some(_) => Err(Error::wrong_key()),
        }
    }
}

fn hash(key: &str) -> blake3::Hash {
    blake3::hash(key.as_bytes())
}

/// Lets nobody through who may not ask.
pub(super) async fn check(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    access.admits(&request)?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::StatusCode;

    fn asked(host: &str, key: Option<&str>) -> Request {
        let mut request = Request::builder().header(HOST, host);
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, key);
        }
        request.body(Body::empty()).unwrap()
    }

    fn status(access: &Access, request: &Request) -> Option<StatusCode> {
        access.admits(request).err().map(|error| error.status())
    }

    #[test]
    fn only_who_has_a_key_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, "# those of the office\n first \nsecond # Ann's\n\n").unwrap();
        let access = Access::new(Some(&file), &[]).unwrap();
        for key in ["Bearer first", "Bearer second"] {
            assert_eq!(status(&access, &asked("api.example", Some(key))), None);
        }
        for key in [
            None,
            Some("Bearer third"),
            Some("first"),
            Some("Bearer "),
            Some("Bearer Ann's"),
        ] {
            let refused = status(&access, &asked("127.0.0.1", key));
            assert_eq!(refused, Some(StatusCode::UNAUTHORIZED), "{key:?}");
        }
        std::fs::write(&file, "# nobody\n").unwrap();
        let error = Access::new(Some(&file), &[]).unwrap_err().to_string();
        assert!(error.contains("holds no key"), "{error}");
    }

    #[test]
    fn without_keys_a_page_that_goes_by_a_name_is_not_answered() {
        let access = Access::default();
        assert_eq!(status(&access, &asked("127.0.0.1:8000", None)), None);
        assert_eq!(
            status(&access, &asked("localhost:8000", Some("Bearer any"))),
            None
        );
        let refused = status(&access, &asked("evil.example:8000", None));
        assert_eq!(refused, Some(StatusCode::FORBIDDEN));
        let access = access.open_to_all(true);
        assert_eq!(status(&access, &asked("api.example", None)), None);
        assert!(Access::new(None, &["\n".into()]).is_err());
    }
}
