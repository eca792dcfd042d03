//! What comes back, and who is to blame when it is wrong.

use super::Download;
use crate::timers::Timer;
use crate::{Action, DownloadId, Node, PeerId, blocks};
use protocol::{BLOCK_BYTES, ContentBlock, ContentResponse, ErrorCode};
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
            .asked
            .get(&number)
            .is_none_or(|asked| asked.peer != *peer)
        {
            return;
        }
        let Some(asked) = self.take_asked(number) else {
            return;
        };
        if let Some(known) = self.peers.get_mut(peer) {
            known.newest_block = known.newest_block.max(number);
        }
        let id = asked.download;
        let Some(download) = self.downloads.active.get_mut(&id) else {
            return;
        };
        match response.result {
            Err(failure) => {
                download.lost(asked.block);
                let content = download.content;
                if let Some(known) = self.peers.get_mut(peer) {
                    match failure.code {
                        ErrorCode::Busy => {
                            known.window.back_off();
                            known.busy_until = now + Duration::from_millis(200);
                            self.timers.set(known.busy_until, Timer::Retry);
                        }
                        _ => known.note_lacking(content),
                    }
                }
            }
            Ok(sent) => match take(download, asked.block, &sent, self.config.max_content_bytes) {
                Ok(block) => {
                    self.totals.content_received += sent.bytes.len() as u64;
                    if sent.bytes.len() == BLOCK_BYTES as usize
                        && let Some(known) = self.peers.get_mut(peer)
                    {
                        let took = now.saturating_sub(asked.since);
                        // The one that has come is counted no more.
                        known.window.block_came(took, known.asked + 1);
                    }
                    download.ahead.insert(block, sent.bytes);
                    self.flush(id);
                }
                Err(reason) => {
                    download.lost(asked.block);
                    self.ban(peer, reason, now);
                }
            },
        }
        self.pump_downloads(now);
    }

    /// Hands what is complete from the front to the shell.
    pub(super) fn flush(&mut self, id: DownloadId) {
        let Some(download) = self.downloads.active.get_mut(&id) else {
            return;
        };
        while let Some(bytes) = download.ahead.remove(&download.written) {
            let offset = blocks::start(download.written);
            download.written += 1;
            self.actions.push_back(Action::Write {
                download: id,
                offset,
                bytes,
            });
        }
        if download.count() == Some(download.written) && !download.verifying {
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
        } else {
            // Every block that came was right: what the shell brought along or kept is what is wrong.
            *download = Download::new(download.content, download.total, 0);
        }
        self.pump_downloads(now);
    }
}

/// Checks what a peer sent; says which block it is, or what the peer is banned for.
fn take(
    download: &mut Download,
    block: Option<u32>,
    sent: &ContentBlock,
    longest: u64,
) -> Result<u32, &'static str> {
    match download.total {
        Some(total) if total != sent.total => {
            return Err("answered a request for content with something else");
        }
        None if sent.total > longest => return Err("offers a manifest longer than any can be"),
        _ => {}
    }
    let block = blocks::verify(&download.content, block, sent)
        .ok_or("sent content that does not hash to its name")?;
    if download.total.is_none() {
        download.total = Some(sent.total);
        if Some(download.written) > download.count() {
            // What the shell has is longer than the whole: it is not a beginning of this.
            download.written = 0;
        }
        download.next = download.written;
    }
    Ok(block)
}
