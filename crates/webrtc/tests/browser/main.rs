//! Connections between two `RTCPeerConnection`s of one page, in a real Chromium.
//!
//! One program with two faces. Compiled for the browser it is the tests; compiled natively it has Cargo run the other
//! face, in a network namespace of its own where the system allows one, and breaks that network when the page asks:
//!
//! ```text
//! cargo test -p webrtc --test browser -- --ignored
//! ```
//!
//! It needs `wasm-bindgen-test-runner` of the locked version and chromedriver (`CHROMEDRIVER`, or on the path).

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[cfg(not(target_arch = "wasm32"))]
mod breaker;
#[cfg(target_arch = "wasm32")]
mod page;
#[cfg(target_arch = "wasm32")]
mod side;

/// Where the page asks for silence. It cannot be told at run time: the port is compiled in.
const BREAKER: &str = "127.0.0.1:42008";

#[cfg(not(target_arch = "wasm32"))]
#[test]
#[ignore = "needs Chromium and wasm-bindgen-test-runner"]
fn two_connections_in_a_page() {
    let _turn = e2e::namespace::enter().unwrap();
    std::thread::spawn(breaker::serve);
    let page = std::process::Command::new(env!("CARGO"))
        .args(["test", "--offline", "--package", "webrtc"])
        .args(["--target", "wasm32-unknown-unknown", "--test", "browser"])
        .args(["--", "--nocapture"])
        .env("WASM_BINDGEN_TEST_TIMEOUT", "120")
        .status();
    assert!(page.unwrap().success(), "the tests in the page, above");
}
