//! The short form of `cargo xtask lab repair`.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use simulator::{
    Model,
    repair::study::{self, Options},
};

fn options(seed: u64) -> Options {
    Options { seed, at_once: 20 }
}

fn model() -> Model {
    Model::of_fragments("small", "Small", 100, 1900)
}

#[test]
fn what_is_lacking_is_repaired_without_a_stampede() {
    let study = study::run(&[model()], &options(1), |_, _, _| {});
    for r in &study.repaired {
        eprintln!("{r:?}");
    }
    assert_eq!(study.broken, [""; 0]);
    assert_eq!(study.repaired.len(), 2 * 3);
    let lacking: Vec<_> = study
        .repaired
        .iter()
        .filter(|repaired| repaired.lacking > 0)
        .collect();
    assert!(lacking.len() >= 3, "{:?}", study.repaired);
    for repaired in lacking {
        // Nobody does anything before three heartbeats have been missed.
        assert!(repaired.half >= Some(90.0), "{repaired:?}");
        assert!(repaired.half <= repaired.nine_tenths && repaired.nine_tenths <= repaired.all);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let models = [model()];
    let page = |seed| {
        let study = study::run(&models, &options(seed), |_, _, _| {});
        study.page(&models).unwrap()
    };
    assert_eq!(page(1), page(1));
    assert_ne!(page(1), page(2));
}
