//! Own downloads: blocks from several peers at a time, each checked when it comes, written in order.

mod ask;
mod receive;
mod web;
mod window;

pub use window::{Window, WindowLimits};

use crate::timers::Timer;
use crate::{ContentId, DownloadId, DownloadStats, Node, PeerId, blocks};
use bytes::Bytes;
use protocol::BLOCK_BYTES;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Downloads that wait for their turn; more are refused.
const MAX_WAITING: usize = 65_536;

/// A block asked of a peer.
#[derive(Debug)]
struct Asked {
    download: DownloadId,
    peer: PeerId,
    /// None for the last one, asked for to learn how long the content is.
    block: Option<u32>,
    since: Duration,
    deadline: Duration,
    patience: Duration,
}

#[derive(Debug)]
struct Download {
    content: ContentId,
    /// The length, from the catalogue or proved by the last block.
    total: Option<u64>,
    /// The first block the shell does not have.
    written: u32,
    /// The first block that nobody was asked for yet.
    next: u32,
    /// Blocks to ask for again.
    again: BTreeSet<u32>,
    /// Blocks that are here before those in front of them.
    ahead: BTreeMap<u32, Bytes>,
    /// Somebody was asked for the last block, to learn how long the content is.
    measuring: bool,
    /// All is written and the shell looks at it.
    verifying: bool,
    web: web::Web,
}

impl Download {
    fn new(content: ContentId, total: Option<u64>, written: u32) -> Self {
        Self {
            content,
            total,
            written,
            next: written,
            again: BTreeSet::new(),
            ahead: BTreeMap::new(),
            measuring: false,
            verifying: false,
            web: web::Web::default(),
        }
    }

    /// How many blocks there are, once that is known.
    fn count(&self) -> Option<u32> {
        self.total.and_then(blocks::count)
    }

    /// What to ask for next, if the window allows anything.
    fn next_block(&mut self, window: u32) -> Option<Option<u32>> {
        let Some(count) = self.count() else {
            return (!std::mem::replace(&mut self.measuring, true)).then_some(None);
        };
        if let Some(again) = self.again.pop_first() {
            return Some(Some(again));
        }
        while self.ahead.contains_key(&self.next) {
            self.next += 1;
        }
        if self.next >= count || self.next >= self.written.saturating_add(window) {
            return None;
        }
        self.next += 1;
        Some(Some(self.next - 1))
    }

    /// What was asked for will not come from whom it was asked of.
    fn lost(&mut self, block: Option<u32>) {
        match block {
            Some(block) => _ = self.again.insert(block),
            None => self.measuring = false,
        }
    }
}

/// All downloads.
#[derive(Debug, Default)]
pub(crate) struct Downloads {
    active: BTreeMap<DownloadId, Download>,
    asked: BTreeMap<u64, Asked>,
    /// Web servers that have the fragments, too.
    web_seeds: usize,
    /// When one of them last had what was asked for.
    web_helped: Option<Duration>,
}

impl Downloads {
    pub(crate) fn stats(&self) -> Vec<DownloadStats> {
        let sources = |id: DownloadId| -> BTreeSet<&PeerId> {
            self.asked
                .values()
                .filter(|asked| asked.download == id)
                .map(|asked| &asked.peer)
                .collect()
        };
        let stats = |(id, d): (&DownloadId, &Download)| DownloadStats {
            download: *id,
            content: d.content,
            written: blocks::start(d.written).min(d.total.unwrap_or(u64::MAX)),
            total: d.total,
            sources: sources(*id).len() + usize::from(d.web.fetching),
        };
        self.active.iter().map(stats).collect()
    }

    /// Whether there are web servers that have the fragments, too.
    pub(crate) fn has_web_seeds(&self) -> bool {
        self.web_seeds > 0
    }

    /// Whether some download gets nothing from anybody.
    pub(crate) fn starving(&self) -> bool {
        !self.active.is_empty()
            && self.asked.is_empty()
            && self.active.values().any(|d| !d.verifying)
    }
}

impl Node {
    /// Fetches content (a fragment, or the manifest, whose name is the model's) of which the shell has the first `have`
    /// bytes already. Goes on until it is done or [cancelled](Node::cancel_download), however long nobody has it;
    /// [`Node::stats`] shows how far it is. Returns nothing when absurdly many downloads wait.
    pub fn download(&mut self, content: ContentId, have: u64, now: Duration) -> Option<DownloadId> {
        if self.downloads.active.len() >= MAX_WAITING {
            return None;
        }
        let known = self
            .index_of
            .get(&content)
            .and_then(|index| self.catalogue.get(*index))
            .map(|info| info.bytes);
        let whole = u32::try_from(have / u64::from(BLOCK_BYTES)).unwrap_or(u32::MAX);
        let written = match known {
            Some(known) if have > known => 0,
            Some(known) if have == known => blocks::count(known).unwrap_or(0),
            _ => whole,
        };
        let id = DownloadId(self.next_number());
        self.downloads
            .active
            .insert(id, Download::new(content, known, written));
        self.flush(id);
        self.pump_downloads(now);
        if self.downloads.starving() {
            self.find(content, now);
        }
        if self.downloads.has_web_seeds() {
            self.arm_search(now);
            self.seek_web(now);
        }
        Some(id)
    }

    /// Stops a download; what was written stays with the shell.
    pub fn cancel_download(&mut self, id: DownloadId, now: Duration) {
        self.downloads.active.remove(&id);
        self.drop_asked(|asked| asked.download == id);
        self.pump_downloads(now);
    }

    fn take_asked(&mut self, number: u64) -> Option<Asked> {
        let asked = self.downloads.asked.remove(&number)?;
        self.timers.clear(asked.deadline, Timer::Block(number));
        if let Some(peer) = self.peers.get_mut(&asked.peer) {
            peer.asked -= 1;
        }
        Some(asked)
    }

    fn drop_asked(&mut self, gone: impl Fn(&Asked) -> bool) {
        let numbers: Vec<_> = self
            .downloads
            .asked
            .iter()
            .filter(|(_, r)| gone(r))
            .map(|(n, _)| *n)
            .collect();
        for number in numbers {
            self.take_asked(number);
        }
    }
}
