//! Who serves what, as far as the DHT has this node remember it.
//!
//! libp2p's own store keeps a fixed number of keys and forgets none that nobody asks for, so the keys of a large model
//! do not fit, those of nodes that are gone stay, and one stranger can fill it. This one counts records for each
//! provider and altogether, and lets go of what has expired.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, hash_map::Entry},
    iter,
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    kad::{
        ProviderRecord, Record, RecordKey,
        store::{Error, RecordStore, Result},
    },
};
use web_time::Instant;

/// How much is remembered. A key with one provider takes about 200 bytes, a provider up to a kilobyte for its addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Announcements altogether.
    pub(crate) records: usize,
    /// Announcements of one provider: a node that offers a model whole has as many as it has fragments.
    pub(crate) records_per_provider: usize,
    /// Providers of one key; the first stay, or newcomers could drive them out.
    pub(crate) providers_per_key: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 1 << 17,
            records_per_provider: 1 << 14,
            providers_per_key: 512,
        }
    }
}

/// Addresses kept of a provider, and their length altogether.
const MAX_ADDRESSES: usize = 8;
const MAX_ADDRESS_BYTES: usize = 1024;

/// How long the names of all that is announced here are. libp2p takes names of any length from strangers.
const KEY_BYTES: usize = size_of::<crate::Key>();

/// How long somebody who served something while it was connected, and is gone, is still named. Who comes back, or only
/// left this node, announces itself again.
const AWAY: Duration = Duration::from_secs(60);

/// How often everything is looked through for what has expired, and when there is no room, at most.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SWEEP_AGAIN: Duration = Duration::from_secs(10);

/// The announcements of others and of this node itself.
#[derive(Debug)]
pub(crate) struct Providers {
    local: PeerId,
    limits: Limits,
    keys: HashMap<RecordKey, Vec<Announced>>,
    providers: HashMap<PeerId, Provider>,
    /// What this node announces; not among `keys`' limits, for it is its own decision.
    own: HashSet<RecordKey>,
    records: usize,
    swept: Option<Instant>,
    /// Those who are connected with this node. What they serve they have said themselves: it need not be announced first,
    /// which takes long where others who are to hear of it are gone. As many as there are connections.
    present: HashMap<PeerId, Present>,
}

/// Somebody who is connected.
#[derive(Debug, Default)]
struct Present {
    serves: Option<RecordKey>,
    addresses: Vec<Multiaddr>,
}

#[derive(Clone, Copy, Debug)]
struct Announced {
    provider: PeerId,
    expires: Option<Instant>,
}

#[derive(Debug, Default)]
struct Provider {
    records: usize,
    /// The latest that it has told.
    addresses: Vec<Multiaddr>,
    /// When it is no longer named, for it has left.
    until: Option<Instant>,
}

impl Announced {
    /// When this is over, said by somebody of whom so much is known.
    fn expires(&self, provider: Option<&Provider>) -> Option<Instant> {
        let until = provider.and_then(|it| it.until);
        self.expires.into_iter().chain(until).min()
    }
}

impl Providers {
    pub(crate) fn new(local: PeerId, limits: Limits) -> Self {
        Self {
            local,
            limits,
            keys: HashMap::new(),
            providers: HashMap::new(),
            own: HashSet::new(),
            records: 0,
            swept: None,
            present: HashMap::new(),
        }
    }

    fn is_full(&self, provider: &PeerId) -> bool {
        let theirs = self.providers.get(provider).map_or(0, |it| it.records);
        self.records >= self.limits.records || theirs >= self.limits.records_per_provider
    }

    fn forget(&mut self, provider: &PeerId) {
        self.records -= 1;
        if let Entry::Occupied(mut known) = self.providers.entry(*provider) {
            known.get_mut().records -= 1;
            if known.get().records == 0 {
                known.remove();
            }
        }
    }

    fn has_swept(&self, within: Duration, now: Instant) -> bool {
        self.swept.is_some_and(|at| now < at + within)
    }

    /// Forgets what has expired, unless that was done a moment ago.
    fn sweep(&mut self, now: Instant) {
        if self.has_swept(SWEEP_AGAIN, now) {
            return;
        }
        self.swept = Some(now);
        let (mut gone, providers) = (Vec::new(), &self.providers);
        self.keys.retain(|_, announced| {
            announced.retain(|it| {
                let expires = it.expires(providers.get(&it.provider));
                let expired = expires.is_some_and(|at| now >= at);
                if expired {
                    gone.push(it.provider);
                }
                !expired
            });
            !announced.is_empty()
        });
        for provider in gone {
            self.forget(&provider);
        }
    }

    fn add(&mut self, record: ProviderRecord, now: Instant) -> Result<()> {
        let ProviderRecord {
            key,
            provider,
            expires,
            addresses,
        } = record;
        if key.as_ref().len() != KEY_BYTES {
            return Err(Error::ValueTooLarge);
        }
        if !self.has_swept(SWEEP_EVERY, now) {
            self.sweep(now);
        }
        if provider == self.local {
            self.own.insert(key);
            return Ok(());
        }
        let known = self
            .keys
            .get_mut(&key)
            .and_then(|announced| announced.iter_mut().find(|it| it.provider == provider));
        if let Some(known) = known {
            known.expires = expires;
        } else {
            if self.is_full(&provider) {
                self.sweep(now);
            }
            let has_room =
                |announced: &Vec<Announced>| announced.len() < self.limits.providers_per_key;
            if self.is_full(&provider) || !self.keys.get(&key).is_none_or(has_room) {
                return Err(Error::MaxProvidedKeys);
            }
            self.keys
                .entry(key)
                .or_default()
                .push(Announced { provider, expires });
            self.records += 1;
            self.providers.entry(provider).or_default().records += 1;
        }
        if let Some(known) = self.providers.get_mut(&provider) {
            known.addresses = bounded(addresses);
            known.until = None;
        }
        Ok(())
    }

    /// Somebody who is connected has said where it listens. If that is nowhere that it has announced, it was started again
    /// elsewhere, and its announcements may take a while to come.
    pub(crate) fn listens(&mut self, peer: PeerId, listens: impl Iterator<Item = Multiaddr>) {
        let listens = bounded(listens.collect());
        let present = self.present.entry(peer).or_default();
        present.addresses.clone_from(&listens);
        let Some(known) = self.providers.get_mut(&peer) else {
            return;
        };
        known.until = None;
        let stays = listens
            .iter()
            .any(|address| known.addresses.contains(address));
        if !listens.is_empty() && !stays {
            known.addresses = listens;
        }
    }

    /// Somebody who is connected has said what it serves.
    pub(crate) fn serves(&mut self, peer: PeerId, key: Option<RecordKey>) {
        self.present.entry(peer).or_default().serves = key;
    }

    /// It is connected no longer. A contact that served nothing is expected to part; of others it says more than what they
    /// announced a while ago.
    pub(crate) fn left(&mut self, peer: &PeerId, now: Instant) {
        let served = self
            .present
            .remove(peer)
            .is_some_and(|it| it.serves.is_some());
        if served && let Some(known) = self.providers.get_mut(peer) {
            known.until = Some(now + AWAY);
        }
    }

    /// Those who are connected and serve this, and have not announced it.
    fn unannounced(&self, key: &RecordKey) -> impl Iterator<Item = ProviderRecord> {
        let announced = self.keys.get(key);
        let is_announced = move |peer: &PeerId| {
            announced.is_some_and(|all| all.iter().any(|it| it.provider == *peer))
        };
        let serving = self.present.iter().filter(move |(peer, present)| {
            // Without an address nobody would find it.
            let found = !present.addresses.is_empty();
            found && present.serves.as_ref() == Some(key) && !is_announced(peer)
        });
        serving.map(|(peer, present)| ProviderRecord {
            key: key.clone(),
            provider: *peer,
            expires: None,
            addresses: present.addresses.clone(),
        })
    }

    fn record(&self, key: &RecordKey, announced: &Announced) -> ProviderRecord {
        let known = self.providers.get(&announced.provider);
        ProviderRecord {
            key: key.clone(),
            provider: announced.provider,
            expires: announced.expires(known),
            addresses: known.map(|it| it.addresses.clone()).unwrap_or_default(),
        }
    }

    /// The local node's addresses are filled in when they are told.
    fn own_record(&self, key: &RecordKey) -> ProviderRecord {
        ProviderRecord {
            key: key.clone(),
            provider: self.local,
            expires: None,
            addresses: Vec::new(),
        }
    }
}

/// The first of them that are not too long altogether.
fn bounded(mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let mut bytes = 0;
    addresses.retain(|address| {
        bytes += address.len();
        bytes <= MAX_ADDRESS_BYTES
    });
    addresses.truncate(MAX_ADDRESSES);
    addresses.shrink_to_fit();
    addresses
}

impl RecordStore for Providers {
    type RecordsIter<'a> = iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = std::vec::IntoIter<Cow<'a, ProviderRecord>>;

    fn get(&self, _: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }

    /// Nobody stores values here, and strangers shall not either.
    fn put(&mut self, _: Record) -> Result<()> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        iter::empty()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        self.add(record, Instant::now())
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let own = self.own.get(key).map(|key| self.own_record(key));
        let others = self.keys.get(key).into_iter().flatten();
        own.into_iter()
            .chain(others.map(|announced| self.record(key, announced)))
            .chain(self.unannounced(key))
            .collect()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        let records: Vec<_> = self
            .own
            .iter()
            .map(|key| Cow::Owned(self.own_record(key)))
            .collect();
        records.into_iter()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        if *provider == self.local {
            self.own.remove(key);
            return;
        }
        let Some(announced) = self.keys.get_mut(key) else {
            return;
        };
        let Some(place) = announced.iter().position(|it| it.provider == *provider) else {
            return;
        };
        announced.remove(place);
        if announced.is_empty() {
            self.keys.remove(key);
        }
        self.forget(provider);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests;
