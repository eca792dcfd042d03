//! The whole system in real browsers and real processes, inside a network of its own.

mod answer;
mod contribution;
mod conversations;
mod dht;
mod executor;
mod failover;
mod graphics;
mod harness;
mod hostile;
mod interop;
mod invitation;
mod mishaps;
mod offline;
mod onboarding;
mod overhead;
mod partition;
mod routers;
mod screenshots;
mod secure;
mod soak;

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
    // For the list, too: which tests it has depends on it.
    let _turn = match e2e::namespace::enter() {
        Ok(turn) => turn,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    // All of them use one network here. Nextest gives each a process, and so a network of its own.
    arguments.test_threads.get_or_insert(1);
    let mut tests = tests![
        harness::a_page_can_be_driven_and_photographed,
        harness::an_exception_nobody_caught_fails_the_test,
        harness::an_exception_in_a_worker_fails_the_test,
        harness::two_tabs_reach_each_other_directly,
        interop::js_libp2p_is_understood_by_webrtc_direct,
        interop::js_libp2p_and_a_tab_meet_whoever_begins,
        interop::js_libp2p_and_a_native_node_meet_whoever_begins,
        dht::fragments_are_found_when_the_entry_is_gone,
        offline::a_browser_may_install_the_page,
        offline::without_a_network_the_page_opens_and_says_what_is_missing,
        offline::without_a_network_a_tab_that_holds_the_whole_model_answers,
        offline::a_new_version_takes_over_and_the_answer_goes_on,
        offline::shortcuts_and_what_is_shared_with_the_application_arrive,
        invitation::an_invitation_is_read_by_the_camera,
        invitation::a_page_finds_back_by_those_it_has_met_when_the_entry_is_gone,
        invitation::a_private_swarm_lets_in_who_has_the_whole_link,
        secure::a_page_that_came_by_tls_enters_and_answers,
        screenshots::every_screen_fits_a_phone_and_a_desktop_in_both_languages,
        answer::tabs_and_a_worker_answer_as_one_process_does,
        answer::a_tab_closed_in_mid_answer_changes_no_token,
        answer::an_answer_goes_on_after_a_reload,
        answer::an_answer_is_finished_while_its_page_is_closed,
        answer::an_answer_given_to_a_node_that_is_killed_is_finished_by_the_page,
        answer::what_a_tab_lends_is_heard_of,
        answer::cores_that_come_and_go_change_no_token,
        conversations::conversations_are_kept_found_and_gone_on_with,
        conversations::an_answer_whose_tab_is_closed_is_gone_on_with_by_another,
        conversations::a_question_is_asked_otherwise_and_the_way_of_the_answer_is_told,
        conversations::what_a_model_writes_is_shown_as_markdown_and_loads_nothing,
        contribution::a_device_contributes_when_its_user_says,
        contribution::who_is_here_to_ask_only_lends_nothing_and_is_answered,
        contribution::what_is_done_for_others_is_counted_and_thanked_for,
        mishaps::storage_that_is_cleared_is_filled_again,
        mishaps::a_clock_that_is_wrong_does_no_harm,
        graphics::what_a_graphics_processor_computes_is_asked_for_and_said,
        executor::a_tabs_tokens_go_through_layers_that_others_run,
        executor::the_page_goes_on_when_the_node_that_runs_its_layers_is_killed,
        onboarding::joining_shows_progress_and_goes_on_after_a_reload,
        onboarding::fragments_that_nobody_has_come_from_a_web_server,
        onboarding::a_full_storage_is_said_plainly_and_loses_nothing,
        onboarding::a_fragment_with_a_flipped_bit_is_refused_and_fetched_elsewhere,
    ];
    // Routers and the usual ports of servers can only be had in a network of our own.
    let alone = tests![
        mishaps::an_answer_goes_on_when_the_network_is_back,
        hostile::a_node_under_attack_answers_and_says_what_it_has_kept_off,
        soak::nothing_stays_behind_of_those_that_come_and_go,
        secure::an_authority_certifies_the_domain_once,
        routers::nodes_behind_routers_compute_for_each_other_as_directly_as_can_be,
        routers::a_tab_and_a_native_node_behind_two_routers_connect_directly,
        routers::tabs_behind_two_routers_compute_for_each_other_directly,
        routers::tabs_whose_routers_let_nothing_else_through_compute_for_each_other_by_turn,
        routers::a_node_whose_router_lets_others_in_is_dialled_by_them,
    ];
    let shared = !e2e::namespace::is_entered();
    tests.extend(alone.into_iter().map(|it| it.with_ignored_flag(shared)));
    // Links with a length are devices (TUN), which some containers lack.
    let linked = tests![
        executor::an_answer_goes_on_when_those_who_run_its_layers_are_lost,
        executor::tokens_go_through_layers_that_others_run,
        failover::nodes_that_fail_in_mid_answer_change_no_token,
        overhead::everything_arrives_over_long_links_and_lossy_ones,
        partition::a_swarm_that_fell_into_two_halves_is_whole_again,
    ];
    let unlinked = shared || !e2e::link::is_possible();
    tests.extend(linked.into_iter().map(|it| it.with_ignored_flag(unlinked)));
    libtest_mimic::run(&arguments, tests).exit_code()
}
