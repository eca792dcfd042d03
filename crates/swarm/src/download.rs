//! Own downloads: ranges from several peers at a time, written in order, blamed on somebody when the hash is wrong.
//!
//! A download first takes ranges from everybody who has the content. When the whole does not hash to its name, and more
//! than one peer contributed, nobody can be blamed; the download then starts afresh and takes everything from one peer
//! at a time until it is right, so that whoever lies is found out.

use crate::timers::Timer;
use crate::{Action, ContentId, DownloadId, DownloadStats, Node, PeerId};
use bytes::Bytes;
use protocol::{ContentRequest, ContentResponse, ErrorCode, Message, RequestId as WireId};
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
        self.flush(id, now);
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

    /// Asks for as many ranges as the limits allow.
    pub(crate) fn pump_downloads(&mut self, now: Duration) {
        let mut busy: BTreeMap<DownloadId, usize> = BTreeMap::new();
        for range in self.downloads.ranges.values() {
            *busy.entry(range.download).or_default() += 1;
        }
        let open = |(id, d): (&DownloadId, &Download)| (!d.verifying).then_some(*id);
        let ids: Vec<_> = self.downloads.active.iter().filter_map(open).collect();
        for id in ids {
            // A download nobody has anything for does not take the place of another.
            let mut ranges = busy.get(&id).copied().unwrap_or(0);
            if ranges == 0 && busy.len() >= self.config.max_downloads {
                continue;
            }
            while ranges < self.config.ranges_per_download && self.ask_range(id, now) {
                ranges += 1;
                busy.insert(id, ranges);
            }
        }
    }

    fn ask_range(&mut self, id: DownloadId, now: Duration) -> bool {
        let Some(peer) = self.choose_source(id, now) else {
            return false;
        };
        let (range, per) = (
            self.config.range_bytes,
            self.config.ranges_per_download as u64,
        );
        let Some(download) = self.downloads.active.get_mut(&id) else {
            return false;
        };
        let Some((offset, len)) = download.next_range(range, range * per * 2) else {
            return false;
        };
        let content = download.content;
        if let Some(alone) = &mut download.alone {
            alone.source.get_or_insert_with(|| peer.clone());
        }
        let number = self.next_number();
        self.await_range(
            number,
            Range {
                download: id,
                peer,
                offset,
                len,
                deadline: now,
                patience: self.config.range_timeout,
            },
            now,
        );
        let Some(Range { peer, .. }) = self.downloads.ranges.get(&number) else {
            return false;
        };
        let peer = peer.clone();
        if let Some(known) = self.peers.get_mut(&peer) {
            known.ranges += 1;
        }
        // Ranges are a few hundred kilobytes.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let request = ContentRequest {
            id: WireId(number),
            content: content.0,
            offset,
            len,
        };
        self.send(&peer, Message::ContentRequest(request));
        true
    }

    fn await_range(&mut self, number: u64, mut range: Range, now: Duration) {
        range.deadline = now + range.patience;
        self.timers.set(range.deadline, Timer::Range(number));
        self.downloads.ranges.insert(number, range);
    }

    /// Who sends the next range: of those who have the content and have room, who has least to do for us.
    fn choose_source(&self, id: DownloadId, now: Duration) -> Option<PeerId> {
        let download = self.downloads.active.get(&id)?;
        let index = self.index_of.get(&download.content).copied();
        let model = self.config.model;
        self.peers
            .connected
            .iter()
            .filter(|(name, peer)| {
                let has = match index {
                    Some(index) => peer.stores(model, index),
                    None => model == Some(download.content) && peer.model == model,
                };
                let alone = match &download.alone {
                    Some(Alone {
                        source: Some(only), ..
                    }) => *name == only,
                    Some(Alone {
                        source: None,
                        tried,
                    }) => !tried.contains(name),
                    None => true,
                };
                has && alone && !peer.lacks(&download.content)
            })
            .filter(|(_, peer)| peer.ranges < self.config.ranges_per_peer && peer.busy_until <= now)
            .min_by_key(|(_, peer)| (peer.slow_until > now, peer.ranges, peer.latency.headline()))
            .map(|(name, _)| name.clone())
    }

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
                self.flush(id, now);
            }
        }
        self.pump_downloads(now);
    }

    /// Hands what is complete from the front to the shell.
    fn flush(&mut self, id: DownloadId, _now: Duration) {
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
    fn suspect_all(&mut self, id: DownloadId) {
        self.drop_ranges(|range| range.download == id);
        if let Some(download) = self.downloads.active.get_mut(&id) {
            download.restart();
            download.alone.get_or_insert_default();
        }
    }

    /// A download that takes everything from one peer has lost that one.
    fn source_lost(&mut self, id: DownloadId, peer: &PeerId) {
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

    pub(crate) fn range_late(&mut self, number: u64, now: Duration) {
        let Some(range) = self.downloads.ranges.get(&number) else {
            return;
        };
        let (id, peer) = (range.download, range.peer.clone());
        if let Some(known) = self.peers.get_mut(&peer) {
            known.slow_until = now + Duration::from_secs(30);
        }
        let other = self.choose_source(id, now).filter(|other| *other != peer);
        let alone = self
            .downloads
            .active
            .get(&id)
            .is_some_and(|download| download.alone.is_some());
        let Some(mut range) = self.take_range(number) else {
            return;
        };
        if other.is_none() && !alone && range.patience < self.config.give_up {
            // Nobody else has it: slow is better than nothing.
            range.patience *= 2;
            if let Some(known) = self.peers.get_mut(&peer) {
                known.ranges += 1;
            }
            self.await_range(number, range, now);
            return;
        }
        if let Some(download) = self.downloads.active.get_mut(&id) {
            download.again.insert(range.offset, range.len);
        }
        self.source_lost(id, &peer);
        self.pump_downloads(now);
    }

    pub(crate) fn ranges_lost(&mut self, peer: &PeerId, now: Duration) {
        let lost: Vec<_> = self
            .downloads
            .ranges
            .iter()
            .filter(|(_, r)| r.peer == *peer)
            .map(|(n, _)| *n)
            .collect();
        for number in lost {
            if let Some(range) = self.take_range(number)
                && let Some(download) = self.downloads.active.get_mut(&range.download)
            {
                download.again.insert(range.offset, range.len);
            }
        }
        let active: Vec<_> = self.downloads.active.keys().copied().collect();
        for id in active {
            if self
                .downloads
                .active
                .get(&id)
                .is_some_and(|download| !download.verifying)
            {
                self.source_lost(id, peer);
            }
        }
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
