//! Giving stored content to others: block by block, everybody in turn, no faster than the owner of the node allows.

use crate::fair::Fair;
use crate::timers::Timer;
use crate::upload::Upload;
use crate::{Action, ContentId, Node, PeerId, Ticket};
use protocol::{
    BLOCK_BYTES, ContentBlock, ContentRequest, ContentResponse, ErrorCode, Failure, Message,
    RequestId as WireId,
};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

/// Nobody is kept waiting longer than this for a block that a slow upload would bring even later: an asker that is told
/// so asks somebody else.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Read {
    id: WireId,
    content: ContentId,
    block: Option<u32>,
}

/// Blocks that wait and are being read.
#[derive(Debug)]
pub(crate) struct Library {
    queue: Fair<PeerId, Read>,
    reading: BTreeMap<Ticket, (PeerId, Read)>,
    /// When the limit of uploads allows the next block.
    free_at: Duration,
    upload: Upload,
}

impl Default for Library {
    fn default() -> Self {
        Self {
            queue: Fair::new(),
            reading: BTreeMap::new(),
            free_at: Duration::ZERO,
            upload: Upload::default(),
        }
    }
}

impl Library {
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.queue.remove(peer, |_| true);
    }

    /// Bytes that this node has been seen to give in a second; 0 if that was not measured.
    pub(crate) fn sends(&self) -> u64 {
        self.upload.rate()
    }

    fn len_of(&self, peer: &PeerId) -> usize {
        self.queue.len_of(peer)
            + self
                .reading
                .values()
                .filter(|(owner, _)| owner == peer)
                .count()
    }
}

impl Node {
    pub(crate) fn content_request(
        &mut self,
        peer: &PeerId,
        request: ContentRequest,
        now: Duration,
    ) {
        let content = ContentId(request.content);
        // The manifest is known to whoever knows the catalogue.
        let manifest = self.config.model == Some(content) && !self.catalogue.is_empty();
        let stored = self
            .index_of
            .get(&content)
            .is_some_and(|index| self.stores.contains(index.0));
        let relayed = self.peers.get(peer).is_some_and(|known| known.relayed);
        let waiting = self.library.len_of(peer);
        let problem = if relayed {
            // Fragments would fill the relay, which others need for requests. An asker that knows better waits.
            Some(ErrorCode::Busy)
        } else if !(manifest || stored) {
            Some(ErrorCode::NotHeld)
        } else if waiting >= self.config.max_reads_per_peer
            || (waiting > 0 && self.upload_wait(now) > LONGEST_WAIT)
        {
            Some(ErrorCode::Busy)
        } else {
            None
        };
        if let Some(code) = problem {
            if self
                .peers
                .get_mut(peer)
                .is_some_and(|known| known.strike(now))
            {
                self.ban(peer, "flood of requests", now);
                return;
            }
            self.respond_content(peer, request.id, Err(code));
            return;
        }
        let read = Read {
            id: request.id,
            content,
            block: request.block,
        };
        self.library.queue.push(peer.clone(), read);
        self.run_reads(now);
    }

    /// Changes how many bytes of content others are given a second; what is on its way goes on.
    pub fn set_upload(&mut self, limit: Option<NonZeroU64>, now: Duration) {
        self.config.upload_bytes_per_second = limit;
        self.library.free_at = self
            .library
            .free_at
            .min(now + self.upload_time(BLOCK_BYTES as usize));
        self.run_reads(now);
    }

    /// How long a block takes at the limit of uploads.
    fn upload_time(&self, bytes: usize) -> Duration {
        self.config
            .upload_bytes_per_second
            .map_or(Duration::ZERO, |rate| {
                Duration::from_secs_f64(bytes as f64 / rate.get() as f64)
            })
    }

    /// How long a block asked for now would wait.
    fn upload_wait(&self, now: Duration) -> Duration {
        let queued = u32::try_from(self.library.queue.len()).unwrap_or(u32::MAX);
        let block = self.upload_time(BLOCK_BYTES as usize);
        self.library.free_at.saturating_sub(now) + block.saturating_mul(queued)
    }

    pub(crate) fn run_reads(&mut self, now: Duration) {
        while self.library.reading.len() < self.config.read_slots.max(1) {
            if self.library.free_at > now {
                if self.library.queue.len() > 0 {
                    self.timers.set(self.library.free_at, Timer::Upload);
                }
                return;
            }
            let Some((peer, read)) = self.library.queue.pop() else {
                return;
            };
            // Counted when it begins, so that a slow disk does not let several begin at once.
            self.library.free_at = now + self.upload_time(BLOCK_BYTES as usize);
            let ticket = Ticket(self.next_number());
            let Read { content, block, .. } = read;
            self.library.reading.insert(ticket, (peer, read));
            self.actions.push_back(Action::ReadContent {
                ticket,
                content,
                block,
            });
        }
    }

    pub(crate) fn content_read(
        &mut self,
        ticket: Ticket,
        result: Option<ContentBlock>,
        now: Duration,
    ) {
        if let Some((peer, read)) = self.library.reading.remove(&ticket)
            && self.peers.get(&peer).is_some()
        {
            if let Some(block) = &result {
                let bytes = block.bytes.len() as u64;
                self.totals.content_sent += bytes;
                self.library.upload.given(bytes, now);
            }
            self.respond_content(&peer, read.id, result.ok_or(ErrorCode::NotHeld));
        }
        self.run_reads(now);
    }

    fn respond_content(
        &mut self,
        peer: &PeerId,
        id: WireId,
        result: Result<ContentBlock, ErrorCode>,
    ) {
        let result = result.map_err(|code| Failure {
            code,
            message: String::new(),
        });
        self.send(
            peer,
            Message::ContentResponse(ContentResponse { id, result }),
        );
    }
}
