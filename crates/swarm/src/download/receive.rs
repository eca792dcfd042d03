//! What comes back, and who is to blame when it is wrong.

use crate::timers::Timer;
use crate::{Action, DownloadId, Node, PeerId};
use protocol::{ContentResponse, ErrorCode};
use std::time::Duration;

impl Node {
    pub(crate) fn content_response(
        &mut self,
        peer: &PeerId,
        response: ContentResponse,
        now: Duration,
    ) {
        let number = response.id.0;
        if self
            .downloads
            .ranges
            .get(&number)
            .is_none_or(|range| range.peer != *peer)
        {
            return;
        }
        let Some(range) = self.take_range(number) else {
            return;
        };
        if let Some(known) = self.peers.get_mut(peer) {
            known.newest_range = known.newest_range.max(number);
        }
        let id = range.download;
        let Some(download) = self.downloads.active.get_mut(&id) else {
            return;
        };
        let content = download.content;
        match response.result {
            Err(failure) => {
                download.again.insert(range.offset, range.len);
                if let Some(known) = self.peers.get_mut(peer) {
                    match failure.code {
                        ErrorCode::Busy => {
                            known.busy_until = now + Duration::from_millis(200);
                            self.timers.set(known.busy_until, Timer::Retry);
                        }
                        // Our beginning is longer than the whole: it is not a beginning of this.
                        ErrorCode::Invalid if download.prefix => download.restart(),
                        _ => known.note_lacking(content),
                    }
                }
                if failure.code != ErrorCode::Busy {
                    self.source_lost(id, peer);
                }
            }
            Ok(got) => {
                let expected = download.total.unwrap_or(got.total);
                let len = range.len.min(got.total.saturating_sub(range.offset));
                let impossible =
                    got.offset != range.offset || got.bytes.len() as u64 != len || len == 0;
                let too_long = got.total
                    > self
                        .config
                        .max_content_bytes
                        .max(download.known.unwrap_or(0));
                if impossible || too_long || (expected != got.total && download.known.is_some()) {
                    download.again.insert(range.offset, range.len);
                    self.ban(
                        peer,
                        "answered a request for content with something else",
                        now,
                    );
                    self.pump_downloads(now);
                    return;
                }
                if expected != got.total {
                    // Two strangers disagree, one of them lies.
                    self.suspect_all(id);
                    self.pump_downloads(now);
                    return;
                }
                self.totals.content_received += len;
                download.total = Some(got.total);
                download.next = download.next.min(got.total);
                download.contributors.insert(peer.clone());
                download.ahead.insert(range.offset, got.bytes);
                self.flush(id);
            }
        }
        self.pump_downloads(now);
    }

    /// Hands what is complete from the front to the shell.
    pub(super) fn flush(&mut self, id: DownloadId) {
        let Some(download) = self.downloads.active.get_mut(&id) else {
            return;
        };
        while let Some(bytes) = download.ahead.remove(&download.written) {
            let offset = download.written;
            download.written += bytes.len() as u64;
            self.actions.push_back(Action::Write {
                download: id,
                offset,
                bytes,
            });
        }
        if download.total == Some(download.written) && !download.verifying {
            download.verifying = true;
            self.actions.push_back(Action::Complete { download: id });
        }
    }

    pub(crate) fn verified(&mut self, id: DownloadId, good: bool, now: Duration) {
        let Some(download) = self.downloads.active.get_mut(&id) else {
            return;
        };
        if !download.verifying {
            return;
        }
        if good {
            self.downloads.active.remove(&id);
        } else if download.prefix {
            // What the shell brought along may be what is wrong.
            download.restart();
        } else if let (1, Some(liar)) = (
            download.contributors.len(),
            download.contributors.first().cloned(),
        ) {
            download.restart();
            self.ban(&liar, "sent content that does not hash to its name", now);
        } else {
            self.suspect_all(id);
        }
        self.pump_downloads(now);
    }

    /// Starts afresh with one peer at a time.
    pub(super) fn suspect_all(&mut self, id: DownloadId) {
        self.drop_ranges(|range| range.download == id);
        if let Some(download) = self.downloads.active.get_mut(&id) {
            download.restart();
            download.alone.get_or_insert_default();
        }
    }

    /// A download that takes everything from one peer has lost that one.
    pub(super) fn source_lost(&mut self, id: DownloadId, peer: &PeerId) {
        let Some(download) = self.downloads.active.get_mut(&id) else {
            return;
        };
        if download
            .alone
            .as_ref()
            .is_none_or(|alone| alone.source.as_ref() != Some(peer))
        {
            return;
        }
        download.restart();
        if let Some(alone) = &mut download.alone {
            alone.tried.insert(peer.clone());
            // Everybody was tried and left before the end: begin again, they may be back.
            if alone.tried.len() > self.peers.connected.len() {
                alone.tried.clear();
            }
        }
        self.drop_ranges(|range| range.download == id);
    }
}
