//! What a stranger has published: any bytes. What is a heartbeat is the same when it has been published again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::Heartbeat;

fuzz_target!(|data: &[u8]| {
    if let Ok(heartbeat) = Heartbeat::decode(data) {
        assert_eq!(Heartbeat::decode(&heartbeat.encode()), Ok(heartbeat));
    }
});
