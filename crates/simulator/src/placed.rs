//! A swarm after everybody has joined: who holds what.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use swarm::{
    FragmentIndex, Replication,
    placement::{self, Newcomer},
};

use crate::{
    Model,
    counts::Counts,
    population::{Member, Population},
};

/// How a swarm comes about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// Who joins.
    pub population: Population,
    /// So many decide what to hold before they hear of each other.
    pub at_once: usize,
    /// How often each fragment is wanted. Who joins takes no more, and the swarm is complete when all are held so often.
    pub wanted: Replication,
    /// Nodes know where others are. As it should be; without, to see what it is good for.
    pub places_known: bool,
    /// When it is complete, this share of all nodes joins besides and takes as much as it has room for.
    pub surplus: f64,
}

/// Who is in the swarm, and who holds which fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Everybody, in the order in which they joined.
    pub members: Vec<Member>,
    /// For each fragment the members that hold it.
    pub holders: Vec<Vec<u32>>,
    /// Those who found nothing to do.
    pub idle: usize,
}

impl Placed {
    /// Lets nodes join until the model is held as often as wanted. `told` hears how many fragments are, after each
    /// round.
    #[must_use]
    pub fn new(model: &Model, growth: &Growth, seed: u64, mut told: impl FnMut(usize)) -> Self {
        let catalogue = &model.catalogue;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut placed = Self {
            members: Vec::new(),
            holders: vec![Vec::new(); catalogue.fragments.len()],
            idle: 0,
        };
        let mut counts = Counts::new(catalogue.fragments.len());
        let wanted: Vec<_> = catalogue
            .fragments
            .iter()
            .map(|info| growth.wanted.of(info))
            .collect();
        loop {
            let complete = (0..wanted.len())
                .filter(|index| counts.is_enough(*index, wanted[*index], growth.places_known))
                .count();
            told(complete);
            if complete == wanted.len() {
                break;
            }
            placed.join(
                model,
                growth,
                growth.at_once,
                Some(&wanted),
                &mut counts,
                &mut rng,
            );
        }
        let mut surplus = (growth.surplus * placed.members.len() as f64) as usize;
        while surplus > 0 {
            let joining = surplus.min(growth.at_once);
            placed.join(model, growth, joining, None, &mut counts, &mut rng);
            surplus -= joining;
        }
        placed
    }

    /// Some join at the same moment, and take what there is too little of: no more than is `wanted`, or as much as they have
    /// room for.
    fn join(
        &mut self,
        model: &Model,
        growth: &Growth,
        joining: usize,
        wanted: Option<&[u32]>,
        counts: &mut Counts,
        rng: &mut ChaCha8Rng,
    ) {
        let begin = self.members.len();
        let numbers = begin as u32..(begin + joining) as u32;
        self.members
            .extend(numbers.map(|number| growth.population.draw(number, rng)));
        // All of them see what was there before them, so it does not matter who decides first.
        let chosen: Vec<_> = self.members[begin..]
            .par_iter()
            .map(|member| {
                let newcomer = Newcomer {
                    me: &member.peer,
                    capacity: member.capacity,
                    stable: member.is_stable(),
                };
                let seen = counts.seen_by(member, growth.places_known);
                let enough = |index: FragmentIndex| {
                    wanted.is_some_and(|wanted| {
                        !placement::lacks(wanted[index.0 as usize], &seen(index))
                    })
                };
                placement::assign(&newcomer, &model.catalogue, growth.wanted, &seen, enough)
            })
            .collect();
        for ((number, member), chosen) in (begin as u32..).zip(&self.members[begin..]).zip(chosen) {
            self.idle += usize::from(chosen.is_empty());
            for index in chosen {
                counts.add(member, index);
                self.holders[index.0 as usize].push(number);
            }
        }
    }

    /// Replicas of all fragments together.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.holders.iter().map(Vec::len).sum()
    }
}
