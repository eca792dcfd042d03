//! Content on its way here, from peers and from web servers.

use super::{Core, Done};
use crate::{partial, web_seed};
use bytes::Bytes;
use fragments::FragmentId;
use swarm::{ContentId, DownloadId, Event};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

/// Somebody waits for it.
pub(super) struct Fetch {
    content: ContentId,
    bytes: Vec<u8>,
    keep: Option<partial::Writer>,
    done: oneshot::Sender<Bytes>,
}

impl Core {
    pub(super) fn fetch(
        &mut self,
        content: ContentId,
        have: Vec<u8>,
        keep: Option<partial::Writer>,
        done: oneshot::Sender<Bytes>,
    ) {
        // Refused only when tens of thousands wait; dropping `done` says so.
        let now = self.now();
        if let Some(id) = self.node.download(content, have.len() as u64, now) {
            let fetch = Fetch {
                content,
                bytes: have,
                keep,
                done,
            };
            self.fetches.insert(id, fetch);
        }
    }

    /// The next bytes.
    pub(super) fn write(&mut self, download: DownloadId, offset: u64, bytes: Bytes) {
        let Some(fetch) = self.fetches.get_mut(&download) else {
            return;
        };
        // What came after this place is void.
        let place = usize::try_from(offset).unwrap_or(usize::MAX);
        fetch.bytes.truncate(place);
        fetch.bytes.extend_from_slice(&bytes);
        if let Some(keep) = &mut fetch.keep {
            keep.write(offset, bytes);
        }
    }

    /// All bytes are here: are they the right ones?
    pub(super) fn verify(&mut self, download: DownloadId) {
        let Some(fetch) = self.fetches.get_mut(&download) else {
            return;
        };
        let (bytes, content) = (std::mem::take(&mut fetch.bytes), fetch.content);
        let check = move || (FragmentId::of(&bytes).0 == content.0, bytes);
        self.in_a_thread(check, move |(good, bytes)| Done::Checked {
            download,
            good,
            bytes,
        });
    }

    pub(super) fn checked(&mut self, download: DownloadId, good: bool, bytes: Vec<u8>) {
        if good {
            self.hand_over(download, bytes);
        }
        let event = Event::Verified { download, good };
        self.node.handle_event(event, self.started.elapsed());
    }

    /// Fetches what is missing of a fragment from a web server.
    pub(super) fn fetch_web(&mut self, download: DownloadId, content: ContentId, seed: usize) {
        let mut known = self.node.catalogue().fragments.iter();
        let known = known.find(|info| info.content == content);
        let total = known.map(|info| info.bytes);
        let seed = self.web_seeds.get(seed).cloned();
        let fetch = self.fetches.get_mut(&download);
        let mut bytes = fetch.map_or_else(Vec::new, |it| std::mem::take(&mut it.bytes));
        let fetch = move || {
            let (Some(total), Some(seed)) = (total, seed) else {
                return (false, bytes);
            };
            let id = FragmentId(content.0);
            let fetched = web_seed::fetch(&seed, &id, &mut bytes, total)
                .inspect_err(|error| warn!(%seed, %id, %error, "a web seed does not help"));
            (fetched.is_ok(), bytes)
        };
        self.in_a_thread(fetch, move |(good, bytes)| Done::FetchedWeb {
            download,
            good,
            bytes,
        });
    }

    /// A web server had the rest of a fragment, or some of it, or nothing.
    pub(super) fn fetched_web(&mut self, download: DownloadId, good: bool, bytes: Vec<u8>) {
        let mut result = Err(bytes.len() as u64);
        if good {
            result = Ok(());
            self.hand_over(download, bytes);
        } else if let Some(fetch) = self.fetches.get_mut(&download) {
            if let Some(keep) = &mut fetch.keep {
                keep.write(0, Bytes::copy_from_slice(&bytes));
            }
            fetch.bytes = bytes;
        }
        let event = Event::WebFetched { download, result };
        self.node.handle_event(event, self.started.elapsed());
    }

    fn hand_over(&mut self, download: DownloadId, bytes: Vec<u8>) {
        if let Some(fetch) = self.fetches.remove(&download) {
            debug!(bytes = bytes.len(), "fetched");
            // Whoever wanted it may be gone.
            let _ = fetch.done.send(bytes.into());
        }
    }

    /// Does something that takes its time, and tells the task what came of it.
    fn in_a_thread(
        &self,
        work: impl FnOnce() -> (bool, Vec<u8>) + Send + 'static,
        done: impl FnOnce((bool, Vec<u8>)) -> Done + Send + 'static,
    ) {
        let results = self.results.clone();
        let work = spawn_blocking(work);
        tokio::spawn(async move {
            // Should it panic, the download must not be in limbo: nothing good has come, and nothing is left.
            let outcome = work.await.unwrap_or_default();
            // Fails only when the node stops.
            let _ = results.send(done(outcome)).await;
        });
    }
}
