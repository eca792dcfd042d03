//! The name in the first packet of a client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webrtc::core::direct::Greeting;

fuzz_target!(|username: &str| {
    if let Some(greeting) = Greeting::parse(username) {
        // What it understands it understands again from what it made of it.
        let again = format!("{}:{}", greeting.server.fragment, greeting.client.fragment);
        assert_eq!(Greeting::parse(&again).as_ref(), Some(&greeting));
    }
});
