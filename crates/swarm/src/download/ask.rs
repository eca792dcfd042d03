//! Which block is asked of whom.

use super::{Asked, Download};
use crate::peers::Peer;
use crate::timers::Timer;
use crate::{DownloadId, Node, PeerId};
use protocol::{ContentRequest, Message, RequestId as WireId};
use std::collections::BTreeMap;
use std::time::Duration;

impl Node {
    /// Asks for as many blocks as the limits allow.
    pub(crate) fn pump_downloads(&mut self, now: Duration) {
        let mut busy: BTreeMap<DownloadId, usize> = BTreeMap::new();
        for asked in self.downloads.asked.values() {
            *busy.entry(asked.download).or_default() += 1;
        }
        let open =
            |(id, d): (&DownloadId, &Download)| (!d.verifying && !d.web.fetching).then_some(*id);
        let ids: Vec<_> = self.downloads.active.iter().filter_map(open).collect();
        for id in ids {
            // A download nobody has anything for does not take the place of another.
            let mut under_way = busy.get(&id).copied().unwrap_or(0);
            if under_way == 0 && busy.len() >= self.config.max_downloads {
                continue;
            }
            while under_way < self.config.blocks_per_download && self.ask_block(id, now) {
                under_way += 1;
                busy.insert(id, under_way);
            }
        }
    }

    pub(super) fn ask_block(&mut self, id: DownloadId, now: Duration) -> bool {
        let Some(peer) = self.choose_source(id, now) else {
            return false;
        };
        let window = u32::try_from(self.config.blocks_per_download * 2).unwrap_or(u32::MAX);
        let Some(download) = self.downloads.active.get_mut(&id) else {
            return false;
        };
        let Some(block) = download.next_block(window) else {
            return false;
        };
        let content = download.content;
        let number = self.next_number();
        if let Some(known) = self.peers.get_mut(&peer) {
            known.asked += 1;
        }
        let asked = Asked {
            download: id,
            peer: peer.clone(),
            block,
            since: now,
            deadline: now,
            patience: self.config.block_timeout,
        };
        self.await_block(number, asked, now);
        let request = ContentRequest {
            id: WireId(number),
            content: content.0,
            block,
        };
        self.send(&peer, Message::ContentRequest(request));
        true
    }

    pub(super) fn await_block(&mut self, number: u64, mut asked: Asked, now: Duration) {
        asked.deadline = now + asked.patience;
        self.timers.set(asked.deadline, Timer::Block(number));
        self.downloads.asked.insert(number, asked);
    }

    /// Who sends the next block: of those who have the content and have room, who has least to do for us.
    pub(super) fn choose_source(&self, id: DownloadId, now: Duration) -> Option<PeerId> {
        // Who answers quickly has a large window, and is as busy with it as others with a small one.
        let share = |peer: &Peer| peer.asked * 1024 / peer.window.blocks().max(1);
        self.sources(id)
            .filter(|(_, peer)| peer.asked < peer.window.blocks() && peer.busy_until <= now)
            .min_by_key(|(_, peer)| (peer.slow_until > now, share(peer), peer.latency.headline()))
            .map(|(name, _)| name.clone())
    }

    /// Everybody who has it and can be asked for it, now or later.
    pub(super) fn sources(&self, id: DownloadId) -> impl Iterator<Item = (&PeerId, &Peer)> {
        let content = self.downloads.active.get(&id).map(|it| it.content);
        let index = content.and_then(|content| self.index_of.get(&content).copied());
        let model = self.config.model;
        self.peers.connected.iter().filter(move |(_, peer)| {
            let has = match index {
                Some(index) => peer.stores(model, index),
                None => content.is_some() && model == content && peer.model == model,
            };
            // A relay is for words, not for fragments.
            has && !peer.relayed && content.is_some_and(|content| !peer.lacks(&content))
        })
    }

    pub(crate) fn block_late(&mut self, number: u64, now: Duration) {
        let Some(asked) = self.downloads.asked.get(&number) else {
            return;
        };
        let (id, peer) = (asked.download, asked.peer.clone());
        let mut overtaken = false;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.slow_until = now + Duration::from_secs(30);
            known.window.back_off();
            overtaken = known.newest_block > number;
        }
        let other = self.choose_source(id, now).filter(|other| *other != peer);
        let Some(mut asked) = self.take_asked(number) else {
            return;
        };
        if other.is_none() && !overtaken && asked.patience < self.config.give_up {
            // Nobody else has it, and it was not lost as far as one can tell: slow is better than nothing.
            asked.patience *= 2;
            if let Some(known) = self.peers.get_mut(&peer) {
                known.asked += 1;
            }
            self.await_block(number, asked, now);
            return;
        }
        if let Some(download) = self.downloads.active.get_mut(&id) {
            download.lost(asked.block);
        }
        self.pump_downloads(now);
    }

    pub(crate) fn blocks_lost(&mut self, peer: &PeerId, now: Duration) {
        let lost: Vec<_> = self
            .downloads
            .asked
            .iter()
            .filter(|(_, asked)| asked.peer == *peer)
            .map(|(n, _)| *n)
            .collect();
        for number in lost {
            if let Some(asked) = self.take_asked(number)
                && let Some(download) = self.downloads.active.get_mut(&asked.download)
            {
                download.lost(asked.block);
            }
        }
        self.pump_downloads(now);
    }
}
