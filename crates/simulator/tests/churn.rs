//! The short form of `cargo xtask lab churn`.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use simulator::{
    Model,
    churn::study::{self, Mode, Options, Study},
};

fn model() -> Model {
    Model::of_fragments("small", "Small", 100, 900)
}

fn options(seed: u64) -> Options {
    Options {
        seed,
        at_once: 20,
        before: 1.0,
        hours: 3.0,
        floor: 0.9,
    }
}

fn study(seed: u64) -> Study {
    study::run(&[model()], &options(seed), |_, _, _| {})
}

#[test]
fn as_many_replicas_as_churn_asks_for_keep_everything() {
    let study = study(1);
    assert_eq!(study.broken, [""; 0]);
    assert_eq!(study.kept.len(), 3);
    for kept in &study.kept {
        assert!(kept.nodes > 100.0 && kept.went > 50.0, "{kept:?}");
        assert!(kept.always_active_loss > 0.0 && kept.conditional_loss > 0.0);
        assert!(kept.whole <= kept.usable, "{kept:?}");
    }
    let by_churn = study.kept.iter().find(|kept| kept.mode == Mode::Month);
    let by_churn = by_churn.unwrap();
    assert_eq!((by_churn.whole, by_churn.usable), (1.0, 1.0));
    // More than at least, and not as many as if everybody were a phone.
    let wanted = [by_churn.always_active, by_churn.conditional];
    assert!(wanted.iter().all(|it| (3..=8).contains(it)), "{wanted:?}");
    assert!(wanted.iter().any(|it| *it > 3), "{wanted:?}");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let page = |seed| study(seed).page(&[model()], &options(seed)).unwrap();
    assert_eq!(page(1), page(1));
    assert_ne!(page(1), page(2));
}
