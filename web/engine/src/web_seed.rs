//! Fragments from web servers: plain files in a folder, which the manifest names. The server has to allow pages of other
//! origins to read it (CORS).

use std::time::Duration;

use fragments::FragmentId;
use js_sys::Uint8Array;
use swarm::{ContentId, DownloadId, Event};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    AbortController, ReadableStreamDefaultReader, ReadableStreamReadResult, ReferrerPolicy,
    Request, RequestCredentials, RequestInit, Response, WorkerGlobalScope,
};

use super::{Engine, clock};

/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a web server did not help.
enum Error {
    /// Not reached, not allowed to read it, or cut off in the middle.
    Fetch(JsValue),
    Status(u16),
    /// It ended too soon.
    Short,
    /// It said nothing for too long.
    Late,
    /// What it has is not the fragment.
    Other,
    /// Nobody waits for it any more.
    Cancelled,
}

impl From<JsValue> for Error {
    fn from(error: JsValue) -> Self {
        Self::Fetch(error)
    }
}

impl Engine {
    /// Fetches what is missing of a fragment, and says how that ended.
    pub(super) async fn fetch_web(&self, download: DownloadId, content: ContentId, seed: usize) {
        let id = FragmentId(content.0);
        let found = self.update(|state| {
            let seed = state.web_seeds.get(seed)?;
            let index = state.indices.get(&id)?;
            let total = state.node.catalogue().get(*index)?.bytes;
            Some((format!("{seed}{}", id.file_name()), total))
        });
        let result = match found.flatten() {
            Some((address, total)) => self.fetch_from(download, &address, total).await,
            None => Err(Error::Cancelled),
        };
        if let Err(error) = &result {
            warn(&id, error);
        }
        self.update(|state| {
            let result = result.map_err(|_| state.arrived(download).unwrap_or(0));
            let event = Event::WebFetched { download, result };
            state.node.handle_event(event, clock::now());
        });
    }

    /// Fetches what comes after what is here, never more than the whole, and hands it over.
    async fn fetch_from(
        &self,
        download: DownloadId,
        address: &str,
        total: u64,
    ) -> Result<(), Error> {
        let begun = Some(self.arrived(download)?).filter(|begun| *begun < total);
        let begun = begun.unwrap_or(0);
        let under_way = UnderWay(AbortController::new()?);
        let options = RequestInit::new();
        options.set_credentials(RequestCredentials::Omit);
        options.set_referrer_policy(ReferrerPolicy::NoReferrer);
        options.set_signal(Some(&under_way.0.signal()));
        let request = Request::new_with_str_and_init(address, &options)?;
        if begun > 0 {
            request.headers().set("Range", &format!("bytes={begun}-"))?;
        }
        let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
        let response = clock::within(PATIENCE, &scope.fetch_with_request(&request)).await?;
        let response: Response = response.ok_or(Error::Late)?.unchecked_into();
        let mut at = match response.status() {
            206 => begun,
            // A server may send the whole whatever it was asked for.
            200 => 0,
            other => return Err(Error::Status(other)),
        };
        let body = response.body().ok_or(Error::Short)?;
        let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
        while let Some(bytes) = next(&reader).await? {
            self.arrived(download)?;
            if bytes.len() as u64 > total - at {
                // It is not the fragment, and what has come of it is of no use.
                self.update(|state| state.write(download, 0, &[]));
                return Err(Error::Other);
            }
            self.update(|state| state.write(download, at, &bytes));
            at += bytes.len() as u64;
        }
        if at < total {
            return Err(Error::Short);
        }
        match self.update(|state| state.hand_over(download)).flatten() {
            Some(true) => Ok(()),
            Some(false) => Err(Error::Other),
            None => Err(Error::Cancelled),
        }
    }

    fn arrived(&self, download: DownloadId) -> Result<u64, Error> {
        let arrived = self.update(|state| state.arrived(download));
        arrived.flatten().ok_or(Error::Cancelled)
    }
}

/// A request, which ends when nobody cares for it any more.
struct UnderWay(AbortController);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The next bytes of a stream, until it ends.
async fn next(reader: &ReadableStreamDefaultReader) -> Result<Option<Vec<u8>>, Error> {
    let read = clock::within(PATIENCE, &reader.read()).await?;
    let read: ReadableStreamReadResult = read.ok_or(Error::Late)?.unchecked_into();
    if read.get_done() == Some(true) {
        return Ok(None);
    }
    let bytes: Uint8Array = read.get_value().unchecked_into();
    Ok(Some(bytes.to_vec()))
}

fn warn(id: &FragmentId, error: &Error) {
    let reason: JsValue = match error {
        Error::Fetch(error) => error.clone(),
        Error::Status(status) => format!("status {status}").into(),
        Error::Short => "it stopped in the middle".into(),
        Error::Late => "it says nothing".into(),
        Error::Other => "what it has is not the fragment".into(),
        Error::Cancelled => return,
    };
    web_sys::console::warn_2(
        &format!("a web seed does not help with {id}:").into(),
        &reason,
    );
}
