//! Which fragments this tab lends: as many as the user wants, the rarest first, none that another tab of this browser
//! lends, and preferably those that are stored here already.

use std::{collections::BTreeSet, time::Duration};

use fragments::FragmentId;
use serde_bytes::ByteBuf;
use swarm::FragmentIndex;
use wasm_bindgen_futures::spawn_local;
use web_bridge::{
    locks,
    messages::ToCompute,
    status::{Problem, Stage},
    store,
};

use super::{
    Engine, clock,
    joining::{fetch, keep, problem},
    state::{Claim, State},
};

/// Name of the lock a tab has on a fragment it lends.
const LOCK: &str = "fragment:";
/// How long peers have to introduce themselves before this tab chooses what is rare.
const ACQUAINTANCE: Duration = Duration::from_secs(2);
/// How often it is looked whether what is stored is still there.
const LOOK: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(100);

/// Takes or gives back fragments until this tab lends as many as the user wants. Harmless to call at any time.
pub(super) fn lend(engine: &Engine) {
    if engine.0.lending.replace(true) {
        engine.0.lend_again.set(true);
        return;
    }
    let engine = engine.clone();
    spawn_local(async move {
        get_acquainted(&engine).await;
        loop {
            while step(&engine).await {}
            if !engine.0.lend_again.take() {
                break;
            }
        }
        engine.0.lending.set(false);
        engine.update(State::lent_enough);
    });
}

/// Gives the peers of the model time to be found and to say what they hold; once, and offline not for long.
///
/// A fixed time on purpose: the entry to the network greets first, and who has greeted only it would choose blindly.
async fn get_acquainted(engine: &Engine) {
    if !engine.0.acquainted.replace(true) {
        clock::sleep(ACQUAINTANCE).await;
    }
}

enum Step {
    Enough,
    GiveBack(FragmentIndex),
    Take(Vec<FragmentIndex>),
}

/// One fragment more or less; false when there is nothing to do (any more).
async fn step(engine: &Engine) -> bool {
    let siblings = claimed_anywhere(engine).await;
    let partial = match engine.update(|state| state.store.clone()).flatten() {
        Some(store) => store.partial().await.unwrap_or_default(),
        None => return false,
    };
    match engine.update(|state| state.next_step(&siblings, &partial)) {
        None | Some(Step::Enough) => false,
        Some(Step::GiveBack(index)) => {
            engine.update(|state| state.give_back(index));
            true
        }
        Some(Step::Take(candidates)) => {
            for index in candidates {
                if take(engine, index).await {
                    return true;
                }
            }
            // Other tabs have taken them all meanwhile: what is left is seen in the next look at the locks.
            clock::sleep(GLANCE).await;
            true
        }
    }
}

/// Claims a fragment, and sees that it is lent as soon as it is here. False if another tab has it.
async fn take(engine: &Engine, index: FragmentIndex) -> bool {
    let Some(Some(id)) = engine.update(|state| state.fragment_id(index)) else {
        return false;
    };
    let Some(lock) = locks::claim(&format!("{LOCK}{id}")).await else {
        return false;
    };
    let claim = Claim {
        _lock: lock,
        held: false,
    };
    let here = engine.update(|state| {
        state.claims.insert(index, claim);
        state.node.taking(index, clock::now());
        state.stored.contains(&index)
    });
    if here == Some(true) {
        engine.update(|state| state.hold(index));
    } else {
        spawn_local(get(engine.clone(), index, id));
    }
    true
}

/// The swarm lacks a fragment, and it is for this tab to lend it.
pub(super) async fn take_up(engine: Engine, index: FragmentIndex) {
    if !take(&engine, index).await {
        engine.update(|state| state.node.not_taken(index, clock::now()));
    }
}

/// Enough others lend a fragment, and another one takes its place here.
pub(super) async fn let_go(engine: Engine, index: FragmentIndex) {
    let known = engine.update(|state| {
        state.claims.remove(&index);
        state.release(index);
        let small = state.model.as_ref().map(|model| model.small_fragments());
        let needed = small.is_some_and(|small| small.contains(&index.0));
        let store = state.store.clone().filter(|_| !needed);
        (store, state.fragment_id(index))
    });
    if let Some((Some(store), Some(id))) = known {
        let id = id.to_string();
        // What cannot be deleted now can be another time.
        if store.forget_fragment(&id).await.is_ok() {
            engine.update(|state| state.forgotten(&id));
        }
    }
}

/// Fetches a claimed fragment.
async fn get(engine: Engine, index: FragmentIndex, id: FragmentId) {
    let Some(bytes) = fetch(&engine, id, Some(index)).await else {
        // Given back meanwhile.
        return;
    };
    match keep(&engine, index, &bytes).await {
        Ok(()) => {
            engine.update(|state| state.hold(index));
        }
        Err(error) => {
            engine.update(|state| state.no_room(index, error));
        }
    }
}

/// A compute worker found a stored fragment gone or damaged: forget it, and fetch it again.
pub(super) async fn lost(engine: Engine, index: FragmentIndex) {
    let known = engine.update(|state| {
        let now = clock::now();
        state.stored.remove(&index);
        state.node.remove_holding(index, now);
        let claimed = state.claims.get_mut(&index).map(|claim| claim.held = false);
        if claimed.is_some() {
            // Otherwise its place would be free for another one that the swarm lacks.
            state.node.taking(index, now);
        }
        (
            state.store.clone(),
            state.fragment_id(index),
            claimed.is_some(),
        )
    });
    let Some((store, Some(id), claimed)) = known else {
        return;
    };
    if let Some(store) = store {
        // If it cannot even be deleted, storing it anew will overwrite it, or fail and say so.
        let _ = store.forget_fragment(&id.to_string()).await;
    }
    if claimed {
        get(engine, index, id).await;
    }
}

/// Looks now and then whether what is stored is still there: browsers delete it when they want room, and their users when
/// they want to be forgotten. What this tab lends is fetched again.
pub(super) async fn watch_storage(engine: Engine) {
    loop {
        clock::sleep(LOOK).await;
        // What is stored while the list is made may be missing in it.
        let before = engine.update(|state| (state.store.clone(), state.stored.clone()));
        let Some((Some(store), before)) = before else {
            return;
        };
        // A store that does not answer says so where it is needed.
        let Ok(here) = store.fragments().await else {
            continue;
        };
        let here: BTreeSet<String> = here.into_iter().collect();
        let gone = engine.update(|state| state.gone(&before, &here));
        for (index, claimed) in gone.unwrap_or_default() {
            if claimed {
                spawn_local(lost(engine.clone(), index));
            } else {
                engine.update(|state| {
                    state.stored.remove(&index);
                    state.node.remove_holding(index, clock::now());
                });
            }
        }
    }
}

/// Deletes every stored fragment that no tab lends and this one does not need for itself.
pub(super) async fn tidy(engine: Engine) {
    let claimed: BTreeSet<String> = claimed_names().await.into_iter().collect();
    let Some(Some(store)) = engine.update(|state| state.store.clone()) else {
        return;
    };
    let needed = engine.update(|state| {
        let small = state.model.as_ref().map(|model| model.small_fragments());
        let needed = small.into_iter().flatten().copied().map(FragmentIndex);
        let needed = needed.filter_map(|index| state.fragment_id(index));
        needed.map(|id| id.to_string()).collect::<BTreeSet<_>>()
    });
    let needed = needed.unwrap_or_default();
    for id in store.fragments().await.unwrap_or_default() {
        if !claimed.contains(&id)
            && !needed.contains(&id)
            && store.forget_fragment(&id).await.is_ok()
        {
            engine.update(|state| state.forgotten(&id));
        }
    }
    for id in store.partial().await.unwrap_or_default() {
        if !claimed.contains(&id) {
            // What cannot be deleted now can be another time.
            let _ = store.forget_chunks(&id).await;
        }
    }
    // There may be room again.
    engine.update(|state| state.wish_to_lend(state.lend));
    lend(&engine);
}

async fn claimed_names() -> Vec<String> {
    let names = locks::held().await.into_iter();
    names
        .filter_map(|name| name.strip_prefix(LOCK).map(str::to_owned))
        .collect()
}

/// The fragments that tabs of this browser lend, this one included.
async fn claimed_anywhere(engine: &Engine) -> BTreeSet<FragmentIndex> {
    let names = claimed_names().await;
    let indices = engine.update(|state| {
        let index = |name: &String| state.index_of(name);
        names.iter().filter_map(index).collect()
    });
    indices.unwrap_or_default()
}

impl State {
    /// The user wants to lend so many.
    pub(super) fn wish_to_lend(&mut self, fragments: u32) {
        self.lend = fragments;
        self.lend_at_most = None;
        self.node.set_capacity(fragments as usize);
        if self.problem == Some(Problem::Quota) {
            self.problem = None;
        }
    }

    fn next_step(&self, siblings: &BTreeSet<FragmentIndex>, partial: &[String]) -> Step {
        let wanted = self.lend.min(self.lend_at_most.unwrap_or(u32::MAX)) as usize;
        if self.claims.len() > wanted {
            let replicas = self.node.replicas_of_all();
            let replicas = |index: &&FragmentIndex| replicas.get(index.0 as usize).copied();
            return match self.claims.keys().max_by_key(replicas) {
                Some(index) => Step::GiveBack(*index),
                None => Step::Enough,
            };
        }
        if self.claims.len() == wanted {
            return Step::Enough;
        }
        let mut taken = siblings | &self.not_lent;
        taken.extend(self.claims.keys());
        let room = wanted - self.claims.len();
        let mut candidates = self.preferred(&taken, partial);
        candidates.extend(self.node.assign(room, &taken, clock::now()));
        if candidates.is_empty() {
            Step::Enough
        } else {
            Step::Take(candidates)
        }
    }

    /// Fragments that are here already, wholly or in part, unless others are much rarer.
    fn preferred(&self, taken: &BTreeSet<FragmentIndex>, partial: &[String]) -> Vec<FragmentIndex> {
        let all = self.node.replicas_of_all();
        let replicas = |index: FragmentIndex| all.get(index.0 as usize).copied().unwrap_or(0);
        let free = self.node.catalogue().indices();
        let free = free.filter(|index| !taken.contains(index));
        let Some(rarest) = free.map(replicas).min() else {
            return Vec::new();
        };
        // What nobody has is needed most; otherwise one replica more or less is not worth a download.
        let rare_enough = if rarest == 0 { 0 } else { rarest + 1 };
        let partial = partial.iter().filter_map(|id| self.index_of(id));
        let here = self.stored.iter().copied().chain(partial);
        let fits =
            |index: &FragmentIndex| !taken.contains(index) && replicas(*index) <= rare_enough;
        let mut here: Vec<_> = here.filter(fits).collect();
        here.sort_by_key(|index| (!self.stored.contains(index), replicas(*index)));
        here
    }

    /// A claimed fragment is here: compute on it from now on.
    fn hold(&mut self, index: FragmentIndex) {
        // Given back meanwhile.
        let Some(claim) = self.claims.get_mut(&index) else {
            return;
        };
        claim.held = true;
        self.node.add_holding(index, true, clock::now());
        self.lent_enough();
    }

    /// What was fetched cannot be stored: do not try again until something changes.
    fn no_room(&mut self, index: FragmentIndex, error: store::Error) {
        self.claims.remove(&index);
        self.node.not_taken(index, clock::now());
        self.node.set_capacity(self.claims.len());
        self.lend_at_most = Some(self.claims.len() as u32);
        self.problem = Some(problem(error));
        self.lent_enough();
    }

    fn give_back(&mut self, index: FragmentIndex) {
        self.claims.remove(&index);
        self.node.not_taken(index, clock::now());
        let waited_for: Vec<_> = self
            .incoming
            .iter()
            .filter(|(_, incoming)| incoming.index == Some(index))
            .map(|(id, _)| *id)
            .collect();
        for download in waited_for {
            self.incoming.remove(&download);
            self.node.cancel_download(download, clock::now());
        }
        if self.stored.contains(&index) {
            self.node.remove_holding(index, clock::now());
            self.node.add_holding(index, false, clock::now());
        }
        self.release(index);
    }

    /// What was stored, should still be and is not `here`, and whether it is lent.
    fn gone(
        &self,
        before: &BTreeSet<FragmentIndex>,
        here: &BTreeSet<String>,
    ) -> Vec<(FragmentIndex, bool)> {
        let missing = |index: &FragmentIndex| {
            let id = self.fragment_id(*index);
            id.is_some_and(|id| !here.contains(&id.to_string()))
        };
        let stored = self.stored.intersection(before).copied();
        let gone = stored.filter(missing);
        gone.map(|index| (index, self.claims.contains_key(&index)))
            .collect()
    }

    fn forgotten(&mut self, id: &str) {
        match self.index_of(id) {
            Some(index) => {
                self.stored.remove(&index);
                self.node.remove_holding(index, clock::now());
            }
            None => self.strangers = self.strangers.saturating_sub(1),
        }
    }

    /// The compute worker may free the fragment's memory.
    pub(super) fn release(&self, index: FragmentIndex) {
        if let (Some(port), Some(id)) = (self.worker(index), self.fragment_id(index)) {
            let fragment = ByteBuf::from(id.0);
            // A worker that is gone has freed everything.
            let _ = port.send(&ToCompute::Release { fragment });
        }
    }

    /// Joining is over when everything that was claimed is here.
    fn lent_enough(&mut self) {
        if self.stage == Stage::Lent && self.claims.values().all(|claim| claim.held) {
            let wanted = self.lend.min(self.lend_at_most.unwrap_or(u32::MAX)) as usize;
            let all = self.node.catalogue().fragments.len() - self.not_lent.len();
            if self.claims.len() >= wanted.min(all) || self.claims.is_empty() {
                self.stage = Stage::Ready;
            }
        }
    }
}
