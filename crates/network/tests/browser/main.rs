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

/// Where the native node listens for WebRTC-direct; it shows the certificate beside this file.
const DIRECT: &str = "/ip4/127.0.0.1/udp/42007/webrtc-direct/certhash/uEiDmP6TJGnZ0zpeciN3tKv_SHqKG-dxIWInpyEzlYpq3Qg";

/// Another native node, which listens nowhere. The page has to know its name before it runs.
#[cfg(target_arch = "wasm32")]
const HIDDEN: &str = "12D3KooWFuuhPsaidczXtozpLW7qCEyjJrNaYqvg12nNP42AXVKZ";
#[cfg(not(target_arch = "wasm32"))]
const HIDDEN_KEY: &str = "080112401d7134d3a367ce8d725eaf03f592d6cd3930711e944b4ae620c150e3bf5466685a91acc95c43dd2071c82a3d83d82c7feca23e46879b36cb3b61bd4b92ff84c4";

/// Runs a native node that sends every message back, and waits until it listens at so many addresses.
#[cfg(not(target_arch = "wasm32"))]
async fn echo(config: network::Config, listening: usize) {
    use futures::StreamExt;
    use network::Event;
    use protocol::Message;

    let (handle, mut events, driver) = network::start(config).unwrap();
    tokio::spawn(driver);
    for _ in 0..listening {
        match events.next().await.unwrap() {
            Event::Listening { .. } | Event::Connected { .. } => {}
            other => panic!("{other:?}; choose another port with IAP2P_TEST_BOOTSTRAP"),
        }
    }
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::Message { peer, message } = event
                && !matches!(message, Message::Hello(_))
            {
                // Whoever has left needs no answer.
                let _ = handle.send_when_possible(peer, message).await;
            }
        }
    });
}

#[cfg(not(target_arch = "wasm32"))]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and wasm-bindgen-test-runner"]
async fn browsers_meet_through_a_native_node() {
    use network::{Certificate, Config, Identity, Multiaddr, RelayLimits};

    let _turn = e2e::namespace::enter().unwrap();
    let mut config = Config::new(Identity::generate());
    let direct: Multiaddr = DIRECT.parse().unwrap();
    let without_certificate = direct.iter().take(3).collect();
    config.listen = vec![BOOTSTRAP.parse().unwrap(), without_certificate];
    config.relay_server = Some(RelayLimits::default());
    let certificate = Certificate::from_pem(include_str!("certificate.pem")).unwrap();
    config.certificate = Some(certificate);
    echo(config, 2).await;

    let key = hex::decode(HIDDEN_KEY).unwrap();
    let mut config = Config::new(Identity::from_bytes(&key).unwrap());
    config.bootstrap = vec![BOOTSTRAP.parse().unwrap()];
    config.reserve = network::Reserve::Always;
    config.kad_server = false;
    echo(config, 1).await;

    let page = tokio::process::Command::new(env!("CARGO"))
        .args(["test", "--offline", "--package", "network"])
        .args(["--target", "wasm32-unknown-unknown", "--test", "browser"])
        .args(["--", "--nocapture"])
        .env("WASM_BINDGEN_TEST_TIMEOUT", "120")
        .status();
    assert!(
        page.await.unwrap().success(),
        "the tests in the page, above"
    );
}
