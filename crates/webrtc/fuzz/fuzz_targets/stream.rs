//! Any bytes in any pieces: a stream stays within its bounds and has little to say about it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webrtc::core::{Limits, Stream};

const LIMITS: Limits = Limits {
    window: 1000,
    max_unread: 4000,
};

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let mut stream = Stream::new(LIMITS);
    let mut said = 0;
    for piece in pieces {
        let result = stream.handle_input(&piece);
        assert!(stream.unread() <= LIMITS.max_unread);
        while stream.transmit().is_some() {
            said += 1;
        }
        if result.is_err() {
            assert!(stream.is_finished());
        }
    }
    assert!(said <= 4);
});
