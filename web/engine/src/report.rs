//! What the page is shown: made a few times a second at most, and sent only when it says something new.

use std::time::Duration;

use fragments::PartKind;
use serde_bytes::ByteBuf;
use swarm::{FragmentIndex, Stats};
use web_bridge::status::{Download, Held, Link, Missing, Model, Peer, Place, Row, Stage, Status};

use super::{clock, state::State};

/// Between two reports.
const INTERVAL: Duration = Duration::from_millis(250);
/// The same, where a report means walking through so much that it should be rare.
const SLOW_INTERVAL: Duration = Duration::from_secs(2);
/// Fragments from which on a report is slow.
const MANY: usize = 5_000;

/// When the last report was made, and what it said.
#[derive(Default)]
pub(super) struct Report {
    changed: bool,
    slow: bool,
    last: Option<Duration>,
    said: Option<Status>,
}

impl Report {
    /// Something has happened.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    /// When the next report is due, if anything has happened.
    pub(super) fn due(&self) -> Option<Duration> {
        let interval = if self.slow { SLOW_INTERVAL } else { INTERVAL };
        let next = self.last.map_or_else(clock::now, |last| last + interval);
        self.changed.then_some(next)
    }

    /// Whether a report is due; the caller makes it.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.changed = false;
            self.last = Some(now);
        }
        due
    }

    /// Whether this was not said before.
    pub(super) fn is_new(&mut self, status: &Status) -> bool {
        self.slow = status.coverage.len() > MANY;
        let new = self.said.as_ref() != Some(status);
        if new {
            self.said = Some(status.clone());
        }
        new
    }
}

impl State {
    /// Everything the page shows.
    pub(super) fn status(&self) -> Status {
        let stats = self.node.stats();
        let nobody = stats.peers.is_empty();
        Status {
            stage: match self.stage {
                Stage::Manifest if nobody => Stage::Connecting,
                stage => stage,
            },
            link: match (self.online, nobody) {
                (false, _) => Link::Offline,
                (true, true) => Link::Connecting,
                (true, false) => Link::Connected,
            },
            model: self.model_in_words(),
            lend: self.lend,
            downloads: self.downloads(&stats),
            held: self.held(),
            peers: self.peers(&stats),
            coverage: self.coverage(&stats).into(),
            members: stats.membership.members as u32,
            lacking: stats.membership.lacking as u32,
            answered: stats.totals.served,
            asked: stats.totals.answered_by_peers,
            stored: self.stored.len() as u32 + self.strangers,
            waiting: self
                .waiting_in_vain()
                .into_iter()
                .map(|index| self.missing(index))
                .collect(),
            finishers: self.node.finishers().len() as u32,
            problem: self.problem.clone(),
            graphics: self.graphics.clone(),
        }
    }

    fn model_in_words(&self) -> Option<Model> {
        let model = self.model.as_ref()?;
        let metadata = &model.manifest().header().metadata;
        let name = metadata.str("general.name");
        let name = name.or_else(|_| metadata.str("general.architecture"));
        let fragments = &self.node.catalogue().fragments;
        Some(Model {
            name: name.unwrap_or_default().to_owned(),
            layers: model.hyperparameters().layers,
            bytes: fragments.iter().map(|info| info.bytes).sum(),
            fragment_bytes: fragments.iter().map(|info| info.bytes).max().unwrap_or(0),
        })
    }

    fn downloads(&self, stats: &Stats) -> Vec<Download> {
        let download = |one: &swarm::DownloadStats| {
            let incoming = self.incoming.get(&one.download)?;
            // From a web server comes what the core knows nothing of yet.
            let arrived = self.arrived(one.download).unwrap_or(0);
            Some(Download {
                index: incoming.index.map(|index| index.0),
                have: one.written.max(arrived),
                total: one.total,
            })
        };
        stats.downloads.iter().filter_map(download).collect()
    }

    fn held(&self) -> Vec<Held> {
        let held = self.claims.iter().filter(|(_, claim)| claim.held);
        held.filter_map(|(index, _)| {
            Some(Held {
                index: index.0,
                bytes: self.node.catalogue().get(*index)?.bytes,
                place: self.place(*index),
            })
        })
        .collect()
    }

    fn peers(&self, stats: &Stats) -> Vec<Peer> {
        let peer = |one: &swarm::PeerStats| Peer {
            id: self.names.get(&one.peer).cloned().unwrap_or_default(),
            relayed: one.relayed,
            agent: one.agent.clone(),
            computes: one.computes,
            stores: one.stores,
            answered: one.answered,
            asked: one.served,
            round_trip: one.round_trip.map(|time| time.as_millis() as u32),
            connection: None,
        };
        stats.peers.iter().map(peer).collect()
    }

    fn coverage(&self, stats: &Stats) -> Vec<u8> {
        let holders = |(index, one): (u32, &swarm::Coverage)| {
            // What nobody computes on is of use to whoever stores it.
            let stored_only = self.not_lent.contains(&FragmentIndex(index));
            let holders = if stored_only {
                one.storing
            } else {
                one.computing
            };
            u8::try_from(holders).unwrap_or(u8::MAX)
        };
        (0..).zip(&stats.coverage).map(holders).collect()
    }

    /// All fragments a question may need and nobody in sight holds.
    pub(super) fn missing_all(&self) -> Vec<Missing> {
        let stats = self.node.stats();
        let coverage = self.coverage(&stats);
        let missing = (0..).zip(coverage).filter(|(_, holders)| *holders == 0);
        missing
            .map(|(index, _)| self.missing(FragmentIndex(index)))
            .collect()
    }

    pub(super) fn missing(&self, index: FragmentIndex) -> Missing {
        Missing {
            index: index.0,
            place: self.place(index),
        }
    }

    /// Where in the picture of the model its fragments are.
    pub(super) fn rows(&self) -> ByteBuf {
        let indices = self.node.catalogue().indices();
        Row::pack(indices.map(|index| self.place(index).into()))
    }

    /// What a fragment is part of, as far as its first part says.
    fn place(&self, index: FragmentIndex) -> Place {
        let plan = self.model.as_ref().map(|model| model.manifest().plan());
        let fragment = plan.and_then(|plan| plan.fragments.get(index.0 as usize));
        let kind = fragment
            .and_then(|fragment| fragment.parts.first())
            .map(|part| &part.kind);
        match kind {
            Some(PartKind::Embedding { .. }) => Place::Embedding,
            Some(PartKind::OutputHead { .. }) => Place::Output,
            Some(PartKind::Small { .. }) => Place::Small,
            Some(
                PartKind::Attention { layer, .. }
                | PartKind::Latent { layer, .. }
                | PartKind::LatentAttention { layer, .. },
            ) => Place::Attention(*layer),
            Some(PartKind::FeedForward {
                layer,
                expert: Some(expert),
                ..
            }) => Place::Expert(*layer, *expert),
            Some(PartKind::FeedForward { layer, .. }) => Place::FeedForward(*layer),
            Some(PartKind::Opaque | PartKind::Gap { .. }) | None => Place::Other,
        }
    }
}
