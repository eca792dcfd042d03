//! Which range is asked of whom.

use super::{Alone, Download, Range};
use crate::timers::Timer;
use crate::{DownloadId, Node, PeerId};
use protocol::{ContentRequest, Message, RequestId as WireId};
use std::collections::BTreeMap;
use std::time::Duration;

impl Node {
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

    pub(super) fn ask_range(&mut self, id: DownloadId, now: Duration) -> bool {
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

    pub(super) fn await_range(&mut self, number: u64, mut range: Range, now: Duration) {
        range.deadline = now + range.patience;
        self.timers.set(range.deadline, Timer::Range(number));
        self.downloads.ranges.insert(number, range);
    }

    /// Who sends the next range: of those who have the content and have room, who has least to do for us.
    pub(super) fn choose_source(&self, id: DownloadId, now: Duration) -> Option<PeerId> {
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
                // A relay is for words, not for fragments.
                has && alone && !peer.relayed && !peer.lacks(&download.content)
            })
            .filter(|(_, peer)| peer.ranges < self.config.ranges_per_peer && peer.busy_until <= now)
            .min_by_key(|(_, peer)| (peer.slow_until > now, peer.ranges, peer.latency.headline()))
            .map(|(name, _)| name.clone())
    }

    pub(crate) fn range_late(&mut self, number: u64, now: Duration) {
        let Some(range) = self.downloads.ranges.get(&number) else {
            return;
        };
        let (id, peer) = (range.download, range.peer.clone());
        let mut overtaken = false;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.slow_until = now + Duration::from_secs(30);
            overtaken = known.newest_range > number;
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
        let limit = match alone {
            true => self.config.range_timeout * 4,
            false => self.config.give_up,
        };
        if other.is_none() && !overtaken && range.patience < limit {
            // Nobody else has it, and it was not lost as far as one can tell: slow is better than nothing.
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
        if !overtaken {
            self.source_lost(id, &peer);
        }
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
}
