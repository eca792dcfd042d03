use std::{ops::Range, time::Duration};

use bytes::Bytes;
use prost::{Enumeration, Message as _};

use crate::{Digest, Error, FragmentSet, wire};

/// The longest heartbeat, in bytes: room for every other of [`SHARD_FRAGMENTS`] fragments in each of its sets, many times.
pub const MAX_HEARTBEAT: usize = 4 << 10;

/// Fragments of a model whose holders hear each other's heartbeats. A large model has several such shards, so that nobody
/// has to hear of all nodes that hold any of it.
pub const SHARD_FRAGMENTS: u32 = 256;

/// What a node says of itself now and then to everybody who has to do with the same shard of the same model. It is signed
/// on its way ([`network`](../network/index.html)), and says nothing about time but how long something takes: nobody's
/// clock is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// See [`crate::VERSION`].
    pub version: u32,
    /// The digest of the manifest.
    pub model: Digest,
    /// The fragments `shard * SHARD_FRAGMENTS` and so on are what this is about.
    pub shard: u32,
    /// Drawn at random when the node started, so that what it said before counts no more.
    pub run: u64,
    /// Counts the heartbeats of this run: what is overtaken on its way is old.
    pub number: u32,
    /// The next comes after this long. Who has missed three is gone.
    pub interval: Duration,
    /// How long the node has been there, in whole seconds.
    pub up: Duration,
    /// The fragments it computes on.
    pub computes: FragmentSet,
    /// Those that it only offers.
    pub stores: FragmentSet,
    /// Those that it is fetching, to compute on them.
    pub taking: FragmentSet,
    /// Requests of others that wait there.
    pub waiting: u32,
    /// Where others reach it.
    pub reach: Reach,
    /// Where it is, if it knows.
    pub place: Option<Place>,
    /// The layers that it runs for others, or will as soon as it has what it lacks of them.
    pub runs: Option<Range<u32>>,
    /// Bytes of weights that it multiplies with in a second, as far as it has measured that, in units of 2²⁰: with one token
    /// at a time, as answers are made.
    pub speed: u32,
    /// The same with many tokens at a time, as questions are read, each of them counted.
    pub speed_many: u32,
    /// Bytes that it has been seen to give others in a second, in units of 2¹⁰; 0 if that was not measured yet.
    pub sends: u32,
    /// Memory that it has to spare, in units of 2²⁰ bytes; 0 if it does not know.
    pub memory: u32,
}

/// How others reach a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Reach {
    /// Only if others help to arrange it.
    #[default]
    Arranged,
    /// At an address of its own.
    Dialled,
}

/// What a node shares with others that may be lost together with it. Hashes, salted with the model's name; equal ones mean
/// the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The line to the internet: a household's, an office's.
    pub line: u64,
    /// The provider's network around that.
    pub network: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "bytes", tag = "2")]
    model: Bytes,
    #[prost(uint32, tag = "3")]
    shard: u32,
    #[prost(fixed64, tag = "4")]
    run: u64,
    #[prost(uint32, tag = "5")]
    number: u32,
    #[prost(uint32, tag = "6")]
    interval_ms: u32,
    #[prost(uint32, tag = "7")]
    up_s: u32,
    #[prost(uint32, repeated, tag = "8")]
    computes: Vec<u32>,
    #[prost(uint32, repeated, tag = "9")]
    stores: Vec<u32>,
    #[prost(uint32, repeated, tag = "10")]
    taking: Vec<u32>,
    #[prost(uint32, tag = "11")]
    waiting: u32,
    #[prost(enumeration = "WireReach", tag = "12")]
    reach: i32,
    #[prost(message, optional, tag = "13")]
    place: Option<WirePlace>,
    #[prost(message, optional, tag = "14")]
    runs: Option<WireLayers>,
    #[prost(uint32, tag = "15")]
    speed: u32,
    #[prost(uint32, tag = "16")]
    sends: u32,
    #[prost(uint32, tag = "17")]
    memory: u32,
    #[prost(uint32, tag = "18")]
    speed_many: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct WireLayers {
    #[prost(uint32, tag = "1")]
    first: u32,
    /// The first that does not belong to it.
    #[prost(uint32, tag = "2")]
    end: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct WirePlace {
    #[prost(fixed64, tag = "1")]
    line: u64,
    #[prost(fixed64, tag = "2")]
    network: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
enum WireReach {
    Arranged = 0,
    Dialled = 1,
}

impl Heartbeat {
    /// As it is published.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let milliseconds = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Wire {
            version: self.version,
            model: Bytes::copy_from_slice(&self.model),
            shard: self.shard,
            run: self.run,
            number: self.number,
            interval_ms: milliseconds(self.interval),
            up_s: u32::try_from(self.up.as_secs()).unwrap_or(u32::MAX),
            computes: self.computes.runs(),
            stores: self.stores.runs(),
            taking: self.taking.runs(),
            waiting: self.waiting,
            reach: match self.reach {
                Reach::Arranged => WireReach::Arranged,
                Reach::Dialled => WireReach::Dialled,
            } as i32,
            place: self
                .place
                .map(|Place { line, network }| WirePlace { line, network }),
            runs: self.runs.as_ref().map(|layers| WireLayers {
                first: layers.start,
                end: layers.end,
            }),
            speed: self.speed,
            sends: self.sends,
            memory: self.memory,
            speed_many: self.speed_many,
        }
        .encode_to_vec()
    }

    /// Reads what a stranger has published.
    ///
    /// # Errors
    /// If it is too long, no heartbeat, or one that cannot be: sets with fragments of other shards.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_HEARTBEAT {
            return Err(Error::TooLong {
                len: bytes.len() as u64,
                max: MAX_HEARTBEAT,
            });
        }
        let wire = Wire::decode(bytes).map_err(|error| Error::Malformed(error.to_string()))?;
        let start = wire.shard.checked_mul(SHARD_FRAGMENTS);
        let start = start.ok_or(Error::Impossible("a shard that no model has"))?;
        let shard = start..start.saturating_add(SHARD_FRAGMENTS);
        let set = |runs: &[u32]| {
            let set = FragmentSet::from_runs(runs);
            let set = set.filter(|set| set.is_within(&shard));
            set.ok_or(Error::Impossible("a set that is none of its shard's"))
        };
        Ok(Self {
            version: wire.version,
            model: wire::digest(&wire.model)?,
            shard: wire.shard,
            run: wire.run,
            number: wire.number,
            interval: Duration::from_millis(wire.interval_ms.into()),
            up: Duration::from_secs(wire.up_s.into()),
            computes: set(&wire.computes)?,
            stores: set(&wire.stores)?,
            taking: set(&wire.taking)?,
            waiting: wire.waiting,
            reach: match WireReach::try_from(wire.reach) {
                Ok(WireReach::Dialled) => Reach::Dialled,
                // What the future adds is not more direct than that.
                Err(_) | Ok(WireReach::Arranged) => Reach::Arranged,
            },
            place: wire
                .place
                .map(|WirePlace { line, network }| Place { line, network }),
            // Nothing, if there is no layer in it.
            runs: wire
                .runs
                .map(|WireLayers { first, end }| first..end)
                .filter(|layers| !layers.is_empty()),
            speed: wire.speed,
            sends: wire.sends,
            memory: wire.memory,
            speed_many: wire.speed_many,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some() -> Heartbeat {
        Heartbeat {
            version: crate::VERSION,
            model: [7; 32],
            shard: 2,
            run: 0x1234_5678_9abc_def0,
            number: 17,
            interval: Duration::from_secs(30),
            up: Duration::from_secs(4000),
            computes: (512..768).step_by(2).collect(),
            stores: [513, 767].into_iter().collect(),
            taking: [515].into_iter().collect(),
            waiting: 3,
            reach: Reach::Dialled,
            place: Some(Place {
                line: 1,
                network: 2,
            }),
            runs: Some(3..40),
            speed: 10_000,
            speed_many: 90_000,
            sends: 3_000,
            memory: 8_000,
        }
    }

    #[test]
    fn what_was_said_is_heard() {
        let heartbeat = some();
        assert_eq!(Heartbeat::decode(&heartbeat.encode()), Ok(heartbeat));
        let modest = Heartbeat {
            computes: [600].into_iter().collect(),
            stores: FragmentSet::default(),
            taking: FragmentSet::default(),
            reach: Reach::Arranged,
            place: None,
            runs: None,
            speed: 0,
            speed_many: 0,
            sends: 0,
            memory: 0,
            ..some()
        };
        let bytes = modest.encode();
        assert!(bytes.len() < 80, "{} bytes for one fragment", bytes.len());
        assert_eq!(Heartbeat::decode(&bytes), Ok(modest));
    }

    #[test]
    fn the_fullest_is_short_enough() {
        let full = Heartbeat {
            stores: (513..768).step_by(2).collect(),
            taking: (512..768).step_by(2).collect(),
            ..some()
        };
        assert!(full.encode().len() < MAX_HEARTBEAT / 2);
    }

    #[test]
    fn fragments_of_another_shard_are_refused() {
        for shard in [1, 3, u32::MAX] {
            let moved = Heartbeat { shard, ..some() };
            let error = Heartbeat::decode(&moved.encode()).unwrap_err();
            assert!(matches!(error, Error::Impossible(_)), "{error}");
        }
        let long = vec![0; MAX_HEARTBEAT + 1];
        assert!(matches!(
            Heartbeat::decode(&long),
            Err(Error::TooLong { .. })
        ));
    }

    proptest! {
        #[test]
        fn nothing_that_a_stranger_says_is_more_than_an_error(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in 0_usize..100,
            to: u8,
        ) {
            let _ = Heartbeat::decode(&bytes);
            bytes = some().encode();
            let length = bytes.len();
            bytes[at % length] = to;
            let _ = Heartbeat::decode(&bytes);
        }
    }
}
