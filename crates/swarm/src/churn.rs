//! How often replicas are seen to go, and how many are wanted because of that.
//!
//! What is counted is not nodes but what they hold, in each class of fragments by itself: who stays holds what every token
//! needs, so those replicas go seldomer than others, and fewer of them are enough.

use crate::members::Member;
use crate::replication::{Losses, Target, loss_within};
use crate::{Catalogue, Node, Replication};
use std::time::Duration;

/// What was seen before that counts no more.
const MEMORY: Duration = Duration::from_secs(24 * 3600);

/// What is taken for granted before anything was seen: one replica went while one was there for so long.
const AT_FIRST: Duration = Duration::from_secs(4 * 3600);

/// In so many heartbeats what is lacking is taken up, from when it was lost: three are missed, and nine of ten are there
/// again after seven (`docs/simulation/repair.md`).
const REPAIR: u32 = 8;

/// Replicas of both classes of fragments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Of those that every token needs.
    pub always_active: u64,
    /// Of the others.
    pub conditional: u64,
}

/// One class of fragments.
#[derive(Debug, Clone, Copy)]
struct Class {
    /// Replicas that went.
    lost: f64,
    /// The seconds that all replicas together were there.
    seconds: f64,
}

impl Default for Class {
    fn default() -> Self {
        Self {
            lost: 1.0,
            seconds: AT_FIRST.as_secs_f64(),
        }
    }
}

impl Class {
    fn pass(&mut self, held: u64, lost: u64, time: Duration) {
        let kept = 1.0 - (time.as_secs_f64() / MEMORY.as_secs_f64()).min(1.0);
        self.lost = self.lost * kept + lost as f64;
        self.seconds = self.seconds * kept + held as f64 * time.as_secs_f64();
    }
}

/// What was seen of replicas coming and going.
#[derive(Debug, Clone, Copy, Default)]
pub struct Churn {
    always_active: Class,
    conditional: Class,
}

impl Churn {
    /// So many were there during `time`, `lost` of which have gone now.
    pub fn pass(&mut self, held: Held, lost: Held, time: Duration) {
        self.always_active
            .pass(held.always_active, lost.always_active, time);
        self.conditional
            .pass(held.conditional, lost.conditional, time);
    }

    /// Of each class the share that goes while what has gone is being replaced, where there is a heartbeat in each
    /// `interval`.
    #[must_use]
    pub fn losses(&self, interval: Duration) -> Losses {
        let share = |class: Class| loss_within(interval * REPAIR, class.lost, class.seconds);
        Losses {
            always_active: share(self.always_active),
            conditional: share(self.conditional),
        }
    }

    /// How many replicas meet `target`, if replicas go on going as they are seen to.
    #[must_use]
    pub fn wanted(
        &self,
        target: &Target,
        interval: Duration,
        catalogue: &Catalogue,
    ) -> Replication {
        let periods = target.over.as_secs_f64() / (interval * REPAIR).as_secs_f64();
        Replication::keeping(target, self.losses(interval), periods, catalogue)
    }
}

/// What a node has seen, and concludes from it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    churn: Churn,
    looked: Option<Duration>,
    wanted: Option<Replication>,
}

impl Node {
    /// How many replicas are wanted: as [configured](crate::Config::replication), or as many as are
    /// [to keep the model](crate::Config::target) while nodes come and go as they are seen to.
    #[must_use]
    pub fn replication(&self) -> Replication {
        let wanted = self.config.target.and(self.churn.wanted);
        wanted.unwrap_or(self.config.replication)
    }

    /// Counts what is there, and what `gone` held; then says anew how many replicas are wanted.
    pub(crate) fn note_churn(&mut self, gone: &[Member], interval: Duration, now: Duration) {
        let there = self.replicas_of(self.members.iter().map(|(_, member)| member));
        let lost = self.replicas_of(gone.iter());
        let held = Held {
            always_active: there.always_active + lost.always_active,
            conditional: there.conditional + lost.conditional,
        };
        let watch = &mut self.churn;
        let time = now.saturating_sub(watch.looked.replace(now).unwrap_or(now));
        watch.churn.pass(held, lost, time);
        if let Some(target) = self.config.target {
            let wanted = watch.churn.wanted(&target, interval, &self.catalogue);
            watch.wanted = Some(wanted);
        }
    }

    fn replicas_of<'a>(&self, members: impl Iterator<Item = &'a Member>) -> Held {
        let mut held = Held::default();
        for index in members.flat_map(|member| member.computes.iter()) {
            match self.catalogue.get(crate::FragmentIndex(index)) {
                Some(info) if info.always_active => held.always_active += 1,
                Some(_) => held.conditional += 1,
                None => {}
            }
        }
        held
    }
}
