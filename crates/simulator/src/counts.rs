//! What everybody knows: how many hold each fragment, and where.

use std::collections::BTreeMap;

use swarm::{
    FragmentIndex,
    placement::{self, Replicas},
};

use crate::population::Member;

/// How many hold each fragment.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) all: Vec<u32>,
    stable: Vec<u32>,
    regions: Places,
    networks: Places,
}

/// How many hold each fragment in each place of a kind.
#[derive(Debug, Clone)]
struct Places {
    held: BTreeMap<u16, Vec<u32>>,
    /// For each fragment the places that hold it.
    different: Vec<u32>,
}

impl Places {
    fn new(fragments: usize) -> Self {
        Self {
            held: BTreeMap::new(),
            different: vec![0; fragments],
        }
    }

    fn add(&mut self, place: u16, index: usize) {
        let fragments = self.different.len();
        let held = self.held.entry(place);
        let held = &mut held.or_insert_with(|| vec![0; fragments])[index];
        self.different[index] += u32::from(*held == 0);
        *held += 1;
    }

    fn remove(&mut self, place: u16, index: usize) {
        // Whoever is taken out was counted.
        if let Some(held) = self.held.get_mut(&place) {
            held[index] -= 1;
            self.different[index] -= u32::from(held[index] == 0);
        }
    }
}

impl Counts {
    pub(crate) fn new(fragments: usize) -> Self {
        Self {
            all: vec![0; fragments],
            stable: vec![0; fragments],
            regions: Places::new(fragments),
            networks: Places::new(fragments),
        }
    }

    pub(crate) fn add(&mut self, member: &Member, index: FragmentIndex) {
        let index = index.0 as usize;
        self.all[index] += 1;
        self.stable[index] += u32::from(member.is_stable());
        self.regions.add(member.region.into(), index);
        self.networks.add(member.network, index);
    }

    pub(crate) fn remove(&mut self, member: &Member, index: FragmentIndex) {
        let index = index.0 as usize;
        self.all[index] -= 1;
        self.stable[index] -= u32::from(member.is_stable());
        self.regions.remove(member.region.into(), index);
        self.networks.remove(member.network, index);
    }

    /// Whether nobody, wherever it is, sees that a fragment lacks replicas.
    pub(crate) fn is_enough(&self, index: usize, wanted: u32, places_known: bool) -> bool {
        let replicas = Replicas {
            all: self.all[index],
            regions: if places_known {
                self.regions.different[index]
            } else {
                0
            },
            ..Replicas::default()
        };
        !placement::lacks(wanted, &replicas)
    }

    pub(crate) fn seen_by(
        &self,
        member: &Member,
        places_known: bool,
    ) -> impl Fn(FragmentIndex) -> Replicas + use<'_> {
        let region = self.regions.held.get(&member.region.into());
        let network = self.networks.held.get(&member.network);
        let at = |held: Option<&Vec<u32>>, index: usize| held.map_or(0, |held| held[index]);
        move |index| {
            let index = index.0 as usize;
            let blind = Replicas {
                all: self.all[index],
                stable: self.stable[index],
                ..Replicas::default()
            };
            if !places_known {
                return blind;
            }
            Replicas {
                same_network: at(network, index),
                same_region: at(region, index),
                networks: self.networks.different[index],
                regions: self.regions.different[index],
                ..blind
            }
        }
    }
}
