//! Own downloads: ranges from several peers at a time, written in order, blamed on somebody when the hash is wrong.
//!
//! A download first takes ranges from everybody who has the content. When the whole does not hash to its name, and more
//! than one peer contributed, nobody can be blamed; the download then starts afresh and takes everything from one peer
//! at a time until it is right, so that whoever lies is found out.

mod ask;
mod receive;

use crate::timers::Timer;
use crate::{ContentId, DownloadId, DownloadStats, Node, PeerId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Downloads that wait for their turn; more are refused.
const MAX_WAITING: usize = 65_536;

#[derive(Debug)]
struct Range {
    download: DownloadId,
    peer: PeerId,
    offset: u64,
    len: u64,
    deadline: Duration,
    patience: Duration,
}

/// Taking everything from one peer.
#[derive(Debug, Default)]
struct Alone {
    source: Option<PeerId>,
    /// Who was the source before and left or fell silent.
    tried: BTreeSet<PeerId>,
}

#[derive(Debug)]
struct Download {
    content: ContentId,
    /// From the catalogue; otherwise whatever the first answer says.
    known: Option<u64>,
    total: Option<u64>,
    /// Bytes handed to the shell.
    written: u64,
    /// Where the next range begins that nobody was asked for yet.
    next: u64,
    /// Ranges to ask for again.
    again: BTreeMap<u64, u64>,
    /// Bytes that are here before those in front of them.
    ahead: BTreeMap<u64, Bytes>,
    /// The shell brought a beginning; nobody is to blame for that.
    prefix: bool,
    contributors: BTreeSet<PeerId>,
    /// One peer at a time, after a failure.
    alone: Option<Alone>,
    verifying: bool,
}

impl Download {
    fn restart(&mut self) {
        self.total = self.known;
        self.written = 0;
        self.next = 0;
        self.again.clear();
        self.ahead.clear();
        self.contributors.clear();
        self.prefix = false;
        self.verifying = false;
        if let Some(alone) = &mut self.alone {
            alone.source = None;
        }
    }

    /// The next range to ask for, if the window allows one.
    fn next_range(&mut self, range: u64, window: u64) -> Option<(u64, u64)> {
        if let Some(again) = self.again.pop_first() {
            return Some(again);
        }
        // Until somebody has said how long the content is, one range must do.
        let (end, window) = match self.total {
            Some(total) => (total, window),
            None => (u64::MAX, range),
        };
        if self.next >= end || self.next >= self.written.saturating_add(window) {
            return None;
        }
        let offset = self.next;
        let len = range.min(end - offset);
        self.next += len;
        Some((offset, len))
    }
}

/// All downloads.
#[derive(Debug, Default)]
pub(crate) struct Downloads {
    active: BTreeMap<DownloadId, Download>,
    ranges: BTreeMap<u64, Range>,
}

impl Downloads {
    pub(crate) fn stats(&self) -> Vec<DownloadStats> {
        let sources = |id: DownloadId| -> BTreeSet<&PeerId> {
            self.ranges
                .values()
                .filter(|range| range.download == id)
                .map(|range| &range.peer)
                .collect()
        };
        let stats = |(id, d): (&DownloadId, &Download)| DownloadStats {
            download: *id,
            content: d.content,
            written: d.written,
            total: d.total,
            sources: sources(*id).len(),
        };
        self.active.iter().map(stats).collect()
    }

    /// Whether some download gets nothing from anybody.
    pub(crate) fn starving(&self) -> bool {
        !self.active.is_empty()
            && self.ranges.is_empty()
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
        let have = if known.is_some_and(|known| have > known) {
            0
        } else {
            have
        };
        let id = DownloadId(self.next_number());
        let download = Download {
            content,
            known,
            total: known,
            written: have,
            next: have,
            again: BTreeMap::new(),
            ahead: BTreeMap::new(),
            prefix: have > 0,
            contributors: BTreeSet::new(),
            alone: None,
            verifying: false,
        };
        self.downloads.active.insert(id, download);
        self.flush(id);
        self.pump_downloads(now);
        if self.downloads.starving() {
            self.find(content, now);
        }
        Some(id)
    }

    /// Stops a download; what was written stays with the shell.
    pub fn cancel_download(&mut self, id: DownloadId, now: Duration) {
        self.downloads.active.remove(&id);
        self.drop_ranges(|range| range.download == id);
        self.pump_downloads(now);
    }

    fn take_range(&mut self, number: u64) -> Option<Range> {
        let range = self.downloads.ranges.remove(&number)?;
        self.timers.clear(range.deadline, Timer::Range(number));
        if let Some(peer) = self.peers.get_mut(&range.peer) {
            peer.ranges -= 1;
        }
        Some(range)
    }

    fn drop_ranges(&mut self, gone: impl Fn(&Range) -> bool) {
        let numbers: Vec<_> = self
            .downloads
            .ranges
            .iter()
            .filter(|(_, r)| gone(r))
            .map(|(n, _)| *n)
            .collect();
        for number in numbers {
            self.take_range(number);
        }
    }
}
