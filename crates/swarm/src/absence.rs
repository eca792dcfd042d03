//! What nobody holds, of that which an answer can do without, and since when.
//!
//! A request on such a fragment fails at once where nobody has held it for [`Config::conditional_grace`], instead of
//! waiting in each layer of each token for somebody to appear. It is looked for all the same.
//!
//! [`Config::conditional_grace`]: crate::Config::conditional_grace

use crate::{FragmentIndex, Node};
use protocol::Bitmap;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Absence {
    /// For each fragment since when it is known that nobody holds it.
    since: Vec<Option<Duration>>,
    /// Those that were asked for in vain since the last look.
    missed: BTreeSet<FragmentIndex>,
}

impl Absence {
    /// Those that were asked for in vain since this was called last.
    pub(crate) fn take_missed(&mut self) -> BTreeSet<FragmentIndex> {
        std::mem::take(&mut self.missed)
    }
}

impl Node {
    /// Looks who is away. While nobody at all is connected, nothing is known.
    pub(crate) fn note_absent(&mut self, now: Duration) {
        self.absence
            .since
            .resize(self.catalogue.fragments.len(), None);
        let mut held = Bitmap::new(self.catalogue.len());
        held.insert_all(&self.computes);
        for peer in self.peers.connected.values() {
            if peer.serves(self.config.model) {
                held.insert_all(&peer.computes);
            }
        }
        let alone = self.peers.connected.is_empty();
        let fragments = self.catalogue.indices().zip(&self.catalogue.fragments);
        for ((index, info), since) in fragments.zip(&mut self.absence.since) {
            *since = if alone || info.always_active || held.contains(index.0) {
                None
            } else {
                since.or(Some(now))
            };
        }
    }

    /// For how long nobody has held a fragment that an answer can do without, if that is long enough to give it up.
    pub(crate) fn given_up(&mut self, index: FragmentIndex, now: Duration) -> Option<Duration> {
        let since = *self.absence.since.get(index.0 as usize)?;
        let absent = now.saturating_sub(since?);
        let given_up = absent >= self.config.conditional_grace;
        given_up.then(|| {
            self.absence.missed.insert(index);
            absent
        })
    }
}
