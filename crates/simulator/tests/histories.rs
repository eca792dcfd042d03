//! The short form of `cargo xtask lab histories`.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use simulator::histories::{play, study};

#[test]
fn no_history_breaks_a_promise() {
    let study = study::run(1, 60, |_| {});
    let broken: Vec<_> = study.broken.iter().map(ToString::to_string).collect();
    assert_eq!(broken, [""; 0]);
    // All of it happens.
    let total = &study.total;
    assert!(total.answered > 500 && total.downloaded > 20, "{total:?}");
    assert!(
        total.banned > 10 && total.cuts > 10 && total.asked_again > 10 && total.taken_up > 10,
        "{total:?}"
    );
}

#[test]
fn a_seed_gives_the_same_history() {
    assert_eq!(play(7).unwrap(), play(7).unwrap());
    assert_ne!(play(7).unwrap(), play(8).unwrap());
}
