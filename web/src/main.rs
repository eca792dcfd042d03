//! The page: user interface on the main thread, and the network, which exists only there.
//!
//! Everything that takes more than a few milliseconds happens in the workers `web-engine` and `web-compute`; this
//! program shows what they report ([`web_bridge::status`]), tells them what the user wants, and carries messages
//! between them and libp2p.
// Leptos makes the properties of every component `pub`.
#![allow(unreachable_pub)]

mod app;
mod components;
mod contribute;
mod engine;
mod i18n;
mod invite;
mod platform;
mod probe;
mod start;
mod state;
mod views;

fn main() {
    console_error_panic_hook::set_once();
    if let Some(splash) = platform::document().get_element_by_id("splash") {
        splash.remove();
    }
    leptos::mount::mount_to_body(app::App);
}
