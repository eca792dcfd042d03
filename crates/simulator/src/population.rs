//! Who takes part: devices, and where they are.

use std::fmt;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use swarm::PeerId;

/// What kind of device a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    /// A phone, which comes and goes.
    Phone,
    /// A computer at home.
    Home,
    /// A server that stays.
    Server,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub peer: PeerId,
    /// What it is.
    pub device: Device,
    /// Fragments that it has room for.
    pub capacity: usize,
    /// The part of the world it is in, below [`REGIONS`].
    pub region: u8,
    /// Whose line or data centre it hangs on.
    pub network: u16,
}

/// Parts of the world. Half of all are in the first, because the swarm begins somewhere.
pub const REGIONS: u8 = 6;

/// Providers or data centres of each region and kind of device.
const NETWORKS: u16 = 20;

/// Which devices there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Population {
    /// Phones with room for one fragment each: nothing is lost together.
    OneEach,
    /// Of a hundred nodes 60 are phones with one or two fragments, 35 computers with 4 to 32 (of about 10 MB), and 5
    /// servers with 100 to 400.
    Mixed,
}

impl fmt::Display for Population {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneEach => "one each",
            Self::Mixed => "mixed",
        })
    }
}

impl Population {
    /// How many fragments a node has room for on average.
    #[must_use]
    pub fn mean_capacity(self) -> f64 {
        match self {
            Self::OneEach => 1.0,
            Self::Mixed => 0.6 * 1.5 + 0.35 * 18.0 + 0.05 * 250.0,
        }
    }

    /// The next who joins.
    pub(crate) fn draw(self, number: u32, rng: &mut ChaCha8Rng) -> Member {
        let (device, capacity) = match (self, rng.random_range(0..100)) {
            (Self::OneEach, _) => (Device::Phone, 1),
            (Self::Mixed, 0..60) => (Device::Phone, rng.random_range(1..=2)),
            (Self::Mixed, 60..95) => (Device::Home, rng.random_range(4..=32)),
            (Self::Mixed, _) => (Device::Server, rng.random_range(100..=400)),
        };
        let region = match rng.random_range(0..2) {
            0 => 0,
            _ => rng.random_range(1..REGIONS),
        };
        let kinds = u16::from(region) * 3 + device as u16;
        Member {
            peer: PeerId::new(blake3::hash(&number.to_le_bytes()).as_bytes()),
            device,
            capacity,
            region,
            network: kinds * NETWORKS + rng.random_range(0..NETWORKS),
        }
    }
}

impl Member {
    /// Whether it has been seen to stay, by the time that it is asked to hold something.
    #[must_use]
    pub fn is_stable(&self) -> bool {
        self.device == Device::Server
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn members_have_as_much_room_as_is_said() {
        for population in [Population::OneEach, Population::Mixed] {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let room: usize = (0..20_000)
                .map(|number| population.draw(number, &mut rng).capacity)
                .sum();
            let mean = room as f64 / 20_000.0;
            let said = population.mean_capacity();
            assert!((mean / said - 1.0).abs() < 0.05, "{mean} {said}");
        }
    }

    #[test]
    fn half_are_in_the_first_region_and_some_in_each_other() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut regions = [0; REGIONS as usize];
        for number in 0..10_000 {
            let member = Population::Mixed.draw(number, &mut rng);
            regions[usize::from(member.region)] += 1;
        }
        assert!((4500..5500).contains(&regions[0]), "{regions:?}");
        assert!(regions.iter().all(|count| *count > 700), "{regions:?}");
    }
}
