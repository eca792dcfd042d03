//! Browser nodes in a real Chromium, and the native bootstrap node they meet through.
//!
//! One program with two faces. Compiled for the browser it is the tests; compiled natively it is a bootstrap node that
//! then has Cargo run the other face:
//!
//! ```text
//! cargo test -p network --test browser -- --ignored
//! ```
//!
//! Both run in a network namespace of their own where the system allows it, so that nothing is fetched meanwhile. It
//! needs `wasm-bindgen-test-runner` of the locked version and chromedriver (`CHROMEDRIVER`, or on the path).

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[cfg(target_arch = "wasm32")]
mod page;

/// Where the two faces meet unless told otherwise. The page cannot be told at run time: it is compiled in.
const BOOTSTRAP: &str = match option_env!("IAP2P_TEST_BOOTSTRAP") {
    Some(address) => address,
    None => "/ip4/127.0.0.1/tcp/42007/ws",
};

#[cfg(not(target_arch = "wasm32"))]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and wasm-bindgen-test-runner"]
async fn browsers_meet_through_a_native_node() {
    use futures::StreamExt;
    use network::{Config, Event, Identity, RelayLimits};

    e2e::namespace::enter().unwrap();
    let mut config = Config::new(Identity::generate());
    config.listen = vec![BOOTSTRAP.parse().unwrap()];
    config.relay_server = Some(RelayLimits::default());
    let (_handle, mut events, driver) = network::start(config).unwrap();
    tokio::spawn(driver);
    match events.next().await.unwrap() {
        Event::Listening { .. } => {}
        other => panic!("{other:?}; choose another port with IAP2P_TEST_BOOTSTRAP"),
    }
    tokio::spawn(async move { while events.next().await.is_some() {} });

    let page = tokio::process::Command::new(env!("CARGO"))
        .args([
            "test",
            "--offline",
            "--package",
            "network",
            "--target",
            "wasm32-unknown-unknown",
            "--test",
            "browser",
            "--",
            "--nocapture",
        ])
        .env("WASM_BINDGEN_TEST_TIMEOUT", "120")
        .status();
    assert!(
        page.await.unwrap().success(),
        "the tests in the page, above"
    );
}
