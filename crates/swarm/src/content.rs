//! Giving stored content to others, range by range.

use crate::fair::Fair;
use crate::{Action, ContentId, Node, PeerId, Ticket};
use bytes::Bytes;
use protocol::{
    ContentRange, ContentRequest, ContentResponse, ErrorCode, Failure, Message, RequestId as WireId,
};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug)]
struct Read {
    id: WireId,
    content: ContentId,
    offset: u64,
    len: u64,
}

/// Ranges that wait and are being read.
#[derive(Debug)]
pub(crate) struct Library {
    queue: Fair<PeerId, Read>,
    reading: BTreeMap<Ticket, (PeerId, Read)>,
}

impl Default for Library {
    fn default() -> Self {
        Self {
            queue: Fair::new(),
            reading: BTreeMap::new(),
        }
    }
}

impl Library {
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.queue.remove(peer, |_| true);
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
        let problem = if relayed {
            // Fragments would fill the relay, which others need for requests. An asker that knows better waits.
            Some(ErrorCode::Busy)
        } else if !(manifest || stored) {
            Some(ErrorCode::NotHeld)
        } else if u64::from(request.len) > self.config.max_range_bytes || request.len == 0 {
            Some(ErrorCode::Invalid)
        } else if self.library.len_of(peer) >= self.config.max_reads_per_peer {
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
            offset: request.offset,
            len: u64::from(request.len),
        };
        self.library.queue.push(peer.clone(), read);
        self.run_reads();
    }

    pub(crate) fn run_reads(&mut self) {
        while self.library.reading.len() < self.config.read_slots.max(1) {
            let Some((peer, read)) = self.library.queue.pop() else {
                return;
            };
            let ticket = Ticket(self.next_number());
            let Read {
                content,
                offset,
                len,
                ..
            } = read;
            self.library.reading.insert(ticket, (peer, read));
            self.actions.push_back(Action::ReadContent {
                ticket,
                content,
                offset,
                len,
            });
        }
    }

    pub(crate) fn content_read(&mut self, ticket: Ticket, result: Option<(u64, Bytes)>) {
        if let Some((peer, read)) = self.library.reading.remove(&ticket)
            && self.peers.get(&peer).is_some()
        {
            let response = match result {
                None => Err(ErrorCode::NotHeld),
                Some((_, bytes)) if bytes.is_empty() => Err(ErrorCode::Invalid),
                Some((total, mut bytes)) => {
                    bytes.truncate(usize::try_from(read.len).unwrap_or(usize::MAX));
                    self.totals.content_sent += bytes.len() as u64;
                    Ok(ContentRange {
                        total,
                        offset: read.offset,
                        bytes,
                    })
                }
            };
            self.respond_content(&peer, read.id, response);
        }
        self.run_reads();
    }

    fn respond_content(
        &mut self,
        peer: &PeerId,
        id: WireId,
        result: Result<ContentRange, ErrorCode>,
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
