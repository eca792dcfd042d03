//! The whole system in real browsers and real processes, inside a network of its own.

mod harness;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// Lists functions as tests named by their sentences.
macro_rules! tests {
    ($($module:ident :: $test:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($test), || $module::$test().map_err(|error| Failed::from(format!("{error:?}"))))),*]
    };
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if !arguments.list
        && let Err(error) = e2e::namespace::enter()
    {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    // Each test starts a browser and several processes; two at once would only measure each other's patience.
    arguments.test_threads.get_or_insert(1);
    let tests = tests![
        harness::a_page_can_be_driven_and_photographed,
        harness::an_exception_nobody_caught_fails_the_test,
        harness::an_exception_in_a_worker_fails_the_test,
        harness::two_tabs_reach_each_other_directly,
    ];
    libtest_mimic::run(&arguments, tests).exit_code()
}
