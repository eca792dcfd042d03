//! The short form of `cargo xtask lab survival`, and what its figures rest on.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::{collections::BTreeSet, fs};

use simulator::{
    Growth, Model, Placed, Population,
    survival::{
        Trial, after_loss, left,
        study::{self, Options},
    },
};
use swarm::Replication;

const OPTIONS: Options = Options {
    seed: 1,
    trial: Trial {
        runs: 300,
        floor: 0.9,
    },
    at_once: 10,
};

fn model() -> Model {
    Model::of_fragments("small", "Small", 60, 540)
}

fn growth(wanted: Replication) -> Growth {
    Growth {
        population: Population::Mixed,
        at_once: 10,
        wanted,
        places_known: true,
        surplus: 0.0,
    }
}

#[test]
fn the_simulation_meets_the_formula_and_keeps_what_is_promised() {
    let study = study::run(&[model()], &OPTIONS, |_, _, _| {});
    assert_eq!(study.broken, [""; 0]);
    assert_eq!(study.survived.len(), 7 * 8);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let models = [model()];
    let page = |seed| {
        let options = Options { seed, ..OPTIONS };
        let study = study::run(&models, &options, |_, _, _| {});
        study.page(&models).unwrap()
    };
    assert_eq!(page(1), page(1));
    assert_ne!(page(1), page(2));
}

#[test]
fn a_page_lies_beside_all_the_files_it_shows() {
    let models = [model()];
    let study = study::run(&models, &OPTIONS, |_, _, _| {});
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new");
    let page = study.page(&models).unwrap();
    page.write(&folder, "survival.md").unwrap();
    let text = fs::read_to_string(folder.join("survival.md")).unwrap();
    let shown: Vec<_> = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(file, _)| file)
        .filter(|file| file.ends_with(".svg"))
        .collect();
    assert_eq!(shown.len(), 2);
    for file in shown {
        let svg = fs::read_to_string(folder.join(file)).unwrap();
        assert!(svg.starts_with("<svg"), "{file}");
    }
    let mut figures = csv::Reader::from_path(folder.join("survival.csv")).unwrap();
    assert_eq!(figures.records().count(), study.survived.len());
}

#[test]
fn every_fragment_is_held_as_often_as_wanted_and_by_nobody_twice() {
    let wanted = Replication {
        always_active: 7,
        conditional: 2,
    };
    let model = model();
    let placed = Placed::new(&model, &growth(wanted), 3, |_| {});
    for (info, holders) in model.catalogue.fragments.iter().zip(&placed.holders) {
        assert!(holders.len() >= wanted.of(info) as usize);
        let different: BTreeSet<_> = holders.iter().collect();
        assert_eq!(different.len(), holders.len());
    }
    for (number, member) in (0..).zip(&placed.members) {
        let holds = placed.holders.iter().filter(|it| it.contains(&number));
        assert!(holds.count() <= member.capacity);
    }
}

#[test]
fn replicas_lie_in_different_networks_because_nodes_know_where_others_are() {
    let model = model();
    let alone = |places_known| {
        let growth = Growth {
            places_known,
            ..growth(Replication::THREE)
        };
        let placed = Placed::new(&model, &growth, 1, |_| {});
        let holders = placed.holders.iter();
        holders
            .filter(|holders| {
                let networks: BTreeSet<_> = holders
                    .iter()
                    .map(|member| placed.members[*member as usize].network)
                    .collect();
                networks.len() < 2
            })
            .count()
    };
    assert_eq!(alone(true), 0);
}

#[test]
fn what_every_token_needs_is_held_by_those_who_stay() {
    let model = model();
    let placed = Placed::new(&model, &growth(Replication::FIVE), 1, |_| {});
    let share = |always_active| {
        let (mut stable, mut all) = (0, 0);
        for (info, holders) in model.catalogue.fragments.iter().zip(&placed.holders) {
            if info.always_active == always_active {
                all += holders.len();
                let members = holders.iter().map(|it| &placed.members[*it as usize]);
                stable += members.filter(|it| it.is_stable()).count();
            }
        }
        stable as f64 / all as f64
    };
    assert!(
        share(true) > share(false),
        "{} {}",
        share(true),
        share(false)
    );
}

#[test]
fn a_loss_of_nobody_and_of_everybody() {
    let model = model();
    let placed = Placed::new(&model, &growth(Replication::THREE), 1, |_| {});
    let nobody = after_loss(&model, &placed, 0.0, &OPTIONS.trial, 1);
    assert_eq!((nobody.whole, nobody.usable), (1.0, 1.0));
    let everybody = after_loss(&model, &placed, 1.0, &OPTIONS.trial, 1);
    assert_eq!((everybody.whole, everybody.usable), (0.0, 0.0));
    let left = left(&model, &placed, &vec![true; placed.members.len()]);
    assert_eq!((left.always_active_lost, left.conditional_lost), (60, 540));
}

#[test]
fn the_models_are_those_that_the_planner_cuts() {
    let magistral = Model::magistral().unwrap();
    assert_eq!(magistral.classes().1, 0);
    assert!((1400..1600).contains(&magistral.classes().0));
    let large = Model::mistral_large().unwrap();
    assert!((40_000..47_000).contains(&large.catalogue.fragments.len()));
    assert!(
        (200..2000).contains(&large.classes().0),
        "{:?}",
        large.classes()
    );
}
