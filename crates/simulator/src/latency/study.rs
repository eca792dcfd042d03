//! All of it: how long a token takes for each model, under each condition, and which decision saves how much.

use serde::Serialize;
use swarm::{Replication, replication::MOST_REPLICAS, routing};

use super::{CONDITIONS, Conditions, Seen, one_by_one};
use crate::{Growth, Model, Placed, Population};

/// How large the study is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What all that is drawn depends on.
    pub seed: u64,
    /// How many nodes each swarm has.
    pub nodes: Vec<usize>,
    /// How many servers the one who asks knows that run layers for others.
    pub servers: usize,
}

/// How long a token takes, in seconds, by what is decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Predicted {
    /// Of which model.
    pub model: &'static str,
    /// In a swarm of so many nodes, as far as all could get something to do.
    pub nodes: usize,
    /// Replicas of each fragment.
    pub replicas: u32,
    /// What lies between two nodes.
    pub conditions: &'static str,
    /// The one who asks runs all layers and sends one request after the other.
    pub one_by_one: f64,
    /// All of a step at the same time.
    pub steps_at_once: f64,
    /// Layers are run by servers that hold what every token needs of them.
    pub stages: f64,
    /// And of those who hold a fragment the quickest is asked.
    pub quickest: f64,
    /// How often somebody waits for somebody else in the end.
    pub waits: usize,
    /// How often the token is handed on.
    pub hops: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Study {
    /// Each model, swarm and condition.
    pub predicted: Vec<Predicted>,
    /// What should hold and does not.
    pub broken: Vec<String>,
}

/// The first plan's estimates should be beaten by so much.
const TIMES_BETTER: f64 = 10.0;

/// Grows swarms and plans the way of a token. `told` hears what is grown, and of how many fragments how many have all
/// their replicas.
#[must_use]
pub fn run(models: &[Model], options: &Options, mut told: impl FnMut(&str, usize, usize)) -> Study {
    let mut study = Study::default();
    for model in models {
        let fragments = model.catalogue.fragments.len();
        for nodes in &options.nodes {
            let population = Population::Mixed;
            let room = *nodes as f64 * population.mean_capacity() / fragments as f64;
            let replicas = (room as u32).clamp(1, MOST_REPLICAS);
            let growth = Growth {
                population,
                at_once: (nodes / 500).max(1),
                wanted: Replication::uniform(replicas),
                places_known: true,
                surplus: 0.0,
            };
            let what = format!("{}, {nodes} nodes", model.name);
            let placed = Placed::new(model, &growth, options.seed, |complete| {
                told(&what, complete, fragments);
            });
            for conditions in CONDITIONS {
                study.predict(model, *nodes, replicas, &placed, conditions, options);
            }
        }
    }
    study
}

impl Study {
    fn predict(
        &mut self,
        model: &Model,
        nodes: usize,
        replicas: u32,
        placed: &Placed,
        conditions: Conditions,
        options: &Options,
    ) {
        let what = format!("{}, {nodes} nodes, {}", model.name, conditions.name);
        let seen = Seen::alone(model, placed, conditions);
        let slowest = one_by_one(model, &seen);
        let alone = routing::plan(&seen, &model.layers);
        let seen = seen.with_stages(model, options.servers);
        let stages = routing::plan(&seen, &model.layers);
        let quickest = routing::plan(&seen.quickest(), &model.layers);
        let (Some(slowest), Some(alone), Some(stages), Some(quickest)) =
            (slowest, alone, stages, quickest)
        else {
            self.broken.push(format!("{what}: there is no way"));
            return;
        };
        let predicted = Predicted {
            model: model.name,
            nodes,
            replicas,
            conditions: conditions.name,
            one_by_one: slowest.as_secs_f64(),
            steps_at_once: alone.time.as_secs_f64(),
            stages: stages.time.as_secs_f64(),
            quickest: quickest.time.as_secs_f64(),
            waits: quickest.stages.iter().map(|stage| stage.waits).sum(),
            hops: quickest.stages.len().saturating_sub(1),
        };
        let times = [
            predicted.one_by_one,
            predicted.steps_at_once,
            predicted.stages,
            predicted.quickest,
        ];
        if times.windows(2).any(|pair| pair[1] > pair[0]) {
            self.broken
                .push(format!("{what}: a decision makes it slower: {times:?}"));
        }
        let most = conditions.estimate.1 / TIMES_BETTER;
        if predicted.quickest > most {
            let is = predicted.quickest;
            self.broken
                .push(format!("{what}: {is:.2} s instead of {most:.1} at most"));
        }
        self.predicted.push(predicted);
    }
}
