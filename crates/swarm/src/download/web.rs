//! Fragments from web servers, when nobody in the network has them: as a whole, since a server that knows nothing of the
//! network proves nothing about a part.

use super::Download;
use crate::{Action, DownloadId, Node, blocks};
use protocol::BLOCK_BYTES;
use std::time::Duration;

/// The wait after a web server did not help, doubled each time up to 16 times that.
const PAUSE: Duration = Duration::from_secs(5);

/// How long it is remembered that a web server has helped.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What is known of a download's chances with web servers.
#[derive(Debug, Default)]
pub(super) struct Web {
    /// The shell is fetching it.
    pub(super) fetching: bool,
    /// Since when nobody in the network has it.
    hungry_since: Option<Duration>,
    /// Servers that did not help, in a row.
    tries: u32,
    not_before: Duration,
}

impl Node {
    /// Says how many web servers have the model's fragments, too; [`Action::FetchWeb`] names them by their number. What
    /// nobody in the network has is then fetched from them.
    pub fn set_web_seeds(&mut self, count: usize, now: Duration) {
        self.downloads.web_seeds = count;
        self.arm_search(now);
    }

    /// Has what nobody offers fetched from web servers.
    pub(crate) fn seek_web(&mut self, now: Duration) {
        let seeds = self.downloads.web_seeds;
        if seeds == 0 {
            return;
        }
        let fetching = |download: &&Download| download.web.fetching;
        let mut running = self.downloads.active.values().filter(fetching).count();
        // When they have just been of use, more of the same is not waited for.
        let helped = self.downloads.web_helped;
        let helped = helped.is_some_and(|at| now.saturating_sub(at) < REMEMBERED);
        let ids: Vec<_> = self.downloads.active.keys().copied().collect();
        for id in ids {
            let offered = self.is_awaited(id) || self.sources(id).next().is_some();
            let Some(download) = self.downloads.active.get_mut(&id) else {
                continue;
            };
            if download.verifying || download.web.fetching {
                continue;
            }
            // Only fragments are on web servers, and their length is known.
            if offered || download.total.is_none() {
                download.web.hungry_since = None;
                continue;
            }
            let since = *download.web.hungry_since.get_or_insert(now);
            let patient = now.saturating_sub(since) < self.config.web_after && !helped;
            if patient || now < download.web.not_before || running >= self.config.max_web_fetches {
                continue;
            }
            download.web.fetching = true;
            running += 1;
            self.actions.push_back(Action::FetchWeb {
                download: id,
                content: download.content,
                seed: download.web.tries as usize % seeds,
            });
        }
    }

    pub(crate) fn web_fetched(&mut self, id: DownloadId, result: Result<(), u64>, now: Duration) {
        let Some(download) = self.downloads.active.get_mut(&id) else {
            return;
        };
        if !std::mem::take(&mut download.web.fetching) {
            return;
        }
        let before = blocks::start(download.written);
        let total = download.total.unwrap_or(before);
        match result {
            Ok(()) => {
                self.totals.web_received += total.saturating_sub(before);
                self.downloads.active.remove(&id);
                self.downloads.web_helped = Some(now);
            }
            Err(have) => {
                // What is left of its last block is fetched once more.
                let whole = have.min(total.saturating_sub(1)) / u64::from(BLOCK_BYTES);
                let whole = u32::try_from(whole).unwrap_or(u32::MAX);
                let mut web = std::mem::take(&mut download.web);
                // If nothing is left of what was here, that was perhaps not the beginning of it: the server is asked
                // once more, for the whole.
                if whole > 0 || download.written == 0 {
                    web.not_before = now + PAUSE * (1 << web.tries.min(4));
                    web.tries += 1;
                }
                if whole != download.written {
                    *download = Download::new(download.content, download.total, whole);
                }
                download.web = web;
                self.totals.web_received += blocks::start(whole).saturating_sub(before);
            }
        }
        self.pump_downloads(now);
        self.seek_web(now);
    }

    /// Whether a block of it is under way.
    fn is_awaited(&self, id: DownloadId) -> bool {
        self.downloads
            .asked
            .values()
            .any(|asked| asked.download == id)
    }
}
