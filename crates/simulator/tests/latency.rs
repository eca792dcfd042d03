//! The short form of `cargo xtask lab latency`, and what its figures rest on.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;

use simulator::{
    Model,
    latency::study::{self, Options},
};

fn options(seed: u64) -> Options {
    Options {
        seed,
        nodes: vec![600],
        servers: 16,
    }
}

#[test]
fn a_token_is_ten_times_faster_than_planned_at_first_and_every_decision_helps() {
    let models = [Model::magistral().unwrap()];
    let study = study::run(&models, &options(1), |_, _, _| {});
    assert_eq!(study.broken, [""; 0]);
    assert_eq!(study.predicted.len(), 4);
    for predicted in &study.predicted {
        if predicted.conditions == "LAN" {
            // Many who each read a little are faster than one who reads all, where asking costs a millisecond.
            assert_eq!((predicted.waits, predicted.hops), (122, 0));
        } else if predicted.conditions == "world" {
            // Where no server near by runs some of the layers, others are asked about them.
            assert!((2..=10).contains(&predicted.waits), "{predicted:?}");
        } else {
            // Servers run all layers of a dense model; what is left is the embedding and the output head.
            assert_eq!(predicted.waits, 2, "{predicted:?}");
            assert!(predicted.hops >= 2, "{predicted:?}");
        }
        // Three steps for each of 40 layers, the embedding and the output head.
        let shortest = match predicted.conditions {
            "LAN" => 0.001,
            "fibre" => 0.020,
            _ => 0.050,
        };
        assert!(predicted.steps_at_once >= 122.0 * shortest);
        assert!(predicted.one_by_one > 10.0 * predicted.steps_at_once);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let models = [Model::magistral().unwrap()];
    let page = |seed| {
        let study = study::run(&models, &options(seed), |_, _, _| {});
        study.page(&models).unwrap()
    };
    assert_eq!(page(1), page(1));
    assert_ne!(page(1), page(2));
}

#[test]
fn a_token_asks_for_everything_that_every_token_needs() {
    let models = [
        (Model::magistral().unwrap(), 40, 0),
        (Model::mistral_large().unwrap(), 61, 58),
        (Model::first_plan(), 88, 88),
    ];
    for (model, layers, with_experts) in models {
        assert_eq!(model.layers.len(), layers + 2, "{}", model.name);
        let private: Vec<_> = model.layers.iter().map(|layer| layer.private).collect();
        assert!(private[0] && private[layers + 1]);
        assert_eq!(private.iter().filter(|private| **private).count(), 2);
        let steps = || {
            model.layers[1..=layers]
                .iter()
                .flat_map(|layer| &layer.steps)
        };
        let experts = steps().filter_map(|step| step.some.as_ref());
        assert_eq!(
            experts.filter(|choice| choice.groups.len() == 128).count(),
            with_experts
        );
        let all = model.layers.iter().flat_map(|layer| &layer.steps);
        let asked: BTreeSet<_> = all
            .flat_map(|step| {
                let some = step.some.iter().flat_map(|choice| &choice.groups);
                step.always.iter().chain(some.flatten())
            })
            .map(|part| part.fragment.0)
            .collect();
        let count = model.catalogue.fragments.len();
        assert!(asked.iter().all(|index| (*index as usize) < count));
        // Besides the few that hold nothing but norms, routers, and the like.
        assert!(
            asked.len() * 100 > count * 98,
            "{}: {} of {count}",
            model.name,
            asked.len()
        );
    }
}
