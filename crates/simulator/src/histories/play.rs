//! One history.

use std::collections::BTreeSet;

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use swarm::{Config, DownloadId, FragmentIndex, PeerId, Priority, RequestId};

use crate::world::{MS, Manner, S, World, compute, name};

const FRAGMENTS: u32 = 6;
/// Those of them that somebody always has. The others come and go with those who hold them.
const LASTING: u32 = 5;
/// Three blocks.
const BYTES: u64 = 600_000;
/// The most that are there at the same time.
const MOST: usize = 10;

/// What a history had in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Played {
    /// Things that were made to happen.
    pub steps: usize,
    /// Requests of honest nodes that stayed until they were answered.
    pub answered: usize,
    /// Downloads of such nodes.
    pub downloaded: usize,
    /// Requests that were asked of somebody else, because one was late or erred.
    pub asked_again: u64,
    /// Bans.
    pub banned: usize,
    /// Times that the swarm was cut into two halves.
    pub cuts: usize,
    /// Fragments that were taken up because they had too few replicas.
    pub taken_up: usize,
    /// Fragments that were let go because they had too many.
    pub let_go: usize,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}: {what}")]
pub struct Broken {
    /// The history's seed.
    pub seed: u64,
    /// What was wrong.
    pub what: String,
    /// What everybody did until then.
    pub log: Vec<String>,
}

struct Asked {
    by: PeerId,
    id: RequestId,
    fragment: u32,
    body: u8,
}

struct Fetched {
    by: PeerId,
    id: DownloadId,
    fragment: u32,
}

struct History {
    world: World,
    rng: ChaCha8Rng,
    played: Played,
    asked: Vec<Asked>,
    fetched: Vec<Fetched>,
    /// Who has ever been something else than honest.
    tainted: BTreeSet<PeerId>,
    /// Answers that were to be lost.
    lost: usize,
    /// Somebody has called requests malformed.
    refused: bool,
    /// How many have come so far: nobody comes twice.
    visitors: u32,
}

/// Lets the history with this seed happen.
///
/// # Errors
/// If a promise is broken.
///
/// # Panics
/// If a node breaks one that the [world](crate::world) watches.
pub fn play(seed: u64) -> Result<Played, Broken> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::new(FRAGMENTS as u8, BYTES);
    world.latency = MS * rng.random_range(1..40);
    let most = rng.random_range(1..120);
    let mut jitter = ChaCha8Rng::seed_from_u64(!seed);
    world.set_jitter(move || MS * jitter.random_range(0..most));
    // They stay, and on either side of a cut there is one.
    for rock in rocks() {
        let all: Vec<_> = (0..LASTING).collect();
        world.join_with(rock, &all, beat_often);
    }
    let mut history = History {
        world,
        rng,
        played: Played::default(),
        asked: Vec::new(),
        fetched: Vec::new(),
        tainted: BTreeSet::new(),
        lost: 0,
        refused: false,
        visitors: 0,
    };
    history.played.steps = history.rng.random_range(20..120);
    let result = (0..history.played.steps)
        .try_for_each(|_| {
            let before = history.holders();
            history.step();
            history.nothing_lost(&before)?;
            history.bounds()
        })
        .and_then(|()| history.end());
    match result {
        Ok(()) => Ok(history.played),
        Err(what) => Err(Broken {
            seed,
            what,
            log: history.world.log,
        }),
    }
}

/// So that much happens in a short time.
fn beat_often(config: &mut Config) {
    config.heartbeat = 5 * S;
}

fn rocks() -> [&'static str; 2] {
    ["rock 0", "rock 1"]
}

impl History {
    fn anybody(&mut self) -> PeerId {
        let all: Vec<_> = self.world.inhabitants.keys().cloned().collect();
        // The rocks are always there.
        all.choose(&mut self.rng)
            .cloned()
            .unwrap_or_else(|| name("rock 0"))
    }

    fn visitor(&mut self) -> Option<PeerId> {
        let all: Vec<_> = self.world.inhabitants.keys().cloned().collect();
        let rocks = rocks().map(name);
        let visitors: Vec<_> = all.iter().filter(|it| !rocks.contains(it)).collect();
        visitors.choose(&mut self.rng).map(|it| (*it).clone())
    }

    fn step(&mut self) {
        match self.rng.random_range(0..16) {
            0..5 => self.ask(),
            5..7 => self.fetch(),
            7..9 => self.come(),
            9 => {
                if let Some(peer) = self.visitor() {
                    self.world.leave(&peer);
                }
            }
            10 => self.turn(),
            11 => {
                // Answers are lost, as when a stream breaks: as many as a request survives if both are its own.
                if self.lost < 2 {
                    self.lost += 1;
                    self.world.lose += 1;
                }
            }
            12 => self.cut(),
            13 => self.reconnect(),
            _ => {
                let time = MS * self.rng.random_range(0..2000);
                self.world.run(time);
            }
        }
    }

    fn ask(&mut self) {
        let by = self.anybody();
        let fragment = self.rng.random_range(0..LASTING);
        let body = self.rng.random();
        let priority = Priority::ALL[self.rng.random_range(0..Priority::ALL.len())];
        let id = self.world.ask_with(priority, &by, fragment, vec![body]);
        self.asked.push(Asked {
            by,
            id,
            fragment,
            body,
        });
    }

    fn fetch(&mut self) {
        let by = self.anybody();
        let fragment = self.rng.random_range(0..LASTING);
        let content = self.world.fragment(fragment);
        if self.world.get(&by).content.contains_key(&content) {
            return;
        }
        let id = self.world.fetch(&by, fragment);
        self.fetched.push(Fetched { by, id, fragment });
    }

    fn come(&mut self) {
        if self.world.inhabitants.len() >= MOST {
            return;
        }
        self.visitors += 1;
        let visitor = format!("visitor {}", self.visitors);
        let peer = name(&visitor);
        let holds: Vec<_> = (0..FRAGMENTS)
            .filter(|_| self.rng.random_bool(0.4))
            .collect();
        self.world.join_with(&visitor, &holds, beat_often);
        let room = holds.len() + self.rng.random_range(0..3);
        self.world.get(&peer).node.set_capacity(room);
        let pace = MS * self.rng.random_range(1..60);
        self.world.get(&peer).pace = pace;
    }

    fn turn(&mut self) {
        let Some(peer) = self.visitor() else {
            return;
        };
        let manners = [
            Manner::Honest,
            Manner::Garbage,
            Manner::Silent,
            Manner::Refuses,
            Manner::Corrupt,
            Manner::Repeats,
        ];
        let manner = manners[self.rng.random_range(0..manners.len())];
        // Two who call a request malformed are believed.
        if manner == Manner::Refuses && self.refused {
            return;
        }
        self.refused |= manner == Manner::Refuses;
        self.world.get(&peer).manner = manner;
        if manner != Manner::Honest {
            self.tainted.insert(peer);
        }
    }

    /// The swarm falls into two halves with a rock in each, for less time than nodes are patient.
    fn cut(&mut self) {
        let all: Vec<_> = self.world.inhabitants.keys().cloned().collect();
        let mut side: BTreeSet<_> = all
            .iter()
            .filter(|_| self.rng.random_bool(0.5))
            .cloned()
            .collect();
        side.insert(name(rocks()[0]));
        side.remove(&name(rocks()[1]));
        for one in all.iter().filter(|one| side.contains(*one)) {
            for other in all.iter().filter(|other| !side.contains(*other)) {
                self.world.unlink(one, other);
            }
        }
        self.played.cuts += 1;
        let time = MS * self.rng.random_range(100..8000);
        let until = self.world.now + time;
        while self.world.now < until {
            self.ask();
            let time = MS * self.rng.random_range(50..1500);
            self.world.run(time);
        }
        self.connect_all();
    }

    /// Two lose each other and come back.
    fn reconnect(&mut self) {
        let (one, other) = (self.anybody(), self.anybody());
        if one != other {
            self.world.unlink(&one, &other);
            let time = MS * self.rng.random_range(0..500);
            self.world.run(time);
            self.connect_all();
        }
    }

    /// Everybody finds everybody again whom it has not banned.
    fn connect_all(&mut self) {
        let all: Vec<_> = self.world.inhabitants.keys().cloned().collect();
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                let banned = |me: &PeerId, you: &PeerId| {
                    let me = self.world.inhabitants.get(me);
                    me.is_some_and(|me| me.banned.contains(you))
                };
                if !banned(one, other) && !banned(other, one) {
                    self.world.link(one, other);
                }
            }
        }
    }

    /// Who has each fragment.
    fn holders(&self) -> Vec<BTreeSet<PeerId>> {
        let holders = |index: u32| {
            let content = self.world.fragment(index);
            let all = self.world.inhabitants.iter();
            let all = all.filter(|(_, it)| it.content.contains_key(&content));
            all.map(|(who, _)| who.clone()).collect()
        };
        (0..FRAGMENTS).map(holders).collect()
    }

    /// As long as somebody stays who had a fragment, somebody has it.
    fn nothing_lost(&self, before: &[BTreeSet<PeerId>]) -> Result<(), String> {
        for (index, (before, after)) in before.iter().zip(self.holders()).enumerate() {
            let stay = |who: &&PeerId| self.world.inhabitants.contains_key(*who);
            let stayed: Vec<_> = before.iter().filter(stay).collect();
            if after.is_empty() && !stayed.is_empty() {
                return Err(format!(
                    "nobody has fragment {index} any more, though {stayed:?} stayed"
                ));
            }
        }
        Ok(())
    }

    /// Nobody holds more than it may.
    fn bounds(&self) -> Result<(), String> {
        for (who, it) in &self.world.inhabitants {
            let (config, stats) = (it.node.config(), it.node.stats());
            let most = stats.peers.iter().map(|peer| peer.in_flight).max();
            if most.unwrap_or(0) > config.max_requests_per_peer
                || stats.in_flight > config.max_requests
                || stats.incoming > config.max_incoming
            {
                return Err(format!("{who:?} holds more than it may: {stats:?}"));
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.connect_all();
        // Liars are banned, and promised nothing.
        let counts = |world: &World, peer: &PeerId| {
            world.inhabitants.contains_key(peer) && !self.tainted.contains(peer)
        };
        self.asked.retain(|asked| counts(&self.world, &asked.by));
        self.fetched
            .retain(|fetched| counts(&self.world, &fetched.by));
        let (asked, fetched) = (&self.asked, &self.fetched);
        self.world.run_until(400 * S, |world| {
            asked.iter().all(|it| {
                let by = world.get(&it.by);
                by.answers.contains_key(&it.id) || by.failures.contains_key(&it.id)
            }) && fetched
                .iter()
                .all(|it| world.get(&it.by).done.contains(&it.id))
        });
        self.answers()?;
        let before = self.holders();
        // Until all that was late has come and gone.
        self.world.run(200 * S);
        self.nothing_lost(&before)?;
        self.played.taken_up = self.world.taken_up;
        self.played.let_go = self.world.let_go;
        self.quiet()
    }

    fn answers(&mut self) -> Result<(), String> {
        for it in &self.asked {
            let by = self.world.get(&it.by);
            if let Some(failure) = by.failures.get(&it.id) {
                return Err(format!("{:?} of {:?} failed: {failure}", it.id, it.by));
            }
            match by.answers.get(&it.id) {
                None => return Err(format!("{:?} of {:?} is not answered", it.id, it.by)),
                Some((_, answer)) if *answer != compute(FragmentIndex(it.fragment), &[it.body]) => {
                    return Err(format!("{:?} of {:?} is answered wrongly", it.id, it.by));
                }
                Some(_) => self.played.answered += 1,
            }
        }
        for it in &self.fetched {
            let wanted = self.world.bytes(it.fragment).clone();
            let by = self.world.get(&it.by);
            if !by.done.contains(&it.id) || by.files.get(&it.id).is_none_or(|file| *file != wanted)
            {
                return Err(format!(
                    "{:?} of {:?} is not what it should be",
                    it.id, it.by
                ));
            }
            self.played.downloaded += 1;
        }
        Ok(())
    }

    fn quiet(&mut self) -> Result<(), String> {
        let all: Vec<_> = self.world.inhabitants.keys().cloned().collect();
        for who in all.iter().filter(|who| !self.tainted.contains(who)) {
            let it = self.world.get(who);
            let totals = it.node.stats().totals;
            let stats = it.node.stats();
            // What is taken up may be with somebody who does not give it.
            let own = stats
                .downloads
                .len()
                .saturating_sub(stats.membership.taking);
            if (stats.in_flight, stats.waiting, own) != (0, 0, 0)
                || stats.peers.iter().any(|peer| peer.in_flight > 0)
            {
                return Err(format!(
                    "something is left in the books of {who:?}: {stats:?}"
                ));
            }
            let banned = it.banned.clone();
            self.played.asked_again += totals.hedged + totals.resent;
            self.played.banned += banned.len();
            if let Some(honest) = banned.iter().find(|peer| !self.tainted.contains(peer)) {
                return Err(format!(
                    "{who:?} has banned {honest:?}, who was always honest"
                ));
            }
            let links = self.world.get(who).links.clone();
            for fragment in (0..FRAGMENTS).map(FragmentIndex) {
                let content = self.world.fragment(fragment.0);
                let holding = links.iter().filter(|peer| {
                    let peer = self.world.inhabitants.get(peer);
                    peer.is_some_and(|peer| peer.content.contains_key(&content))
                });
                let holding = holding.count() as u32;
                let known = self.world.get(who).node.replicas(fragment);
                if known != holding {
                    return Err(format!(
                        "{who:?} knows of {known} that hold {fragment:?}, but {holding} do"
                    ));
                }
            }
        }
        Ok(())
    }
}
