//! Any bytes: what decodes is encoded to the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webrtc::core::signaling::Decoder;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new();
    let mut input = bytes;
    while let Ok(Some(message)) = decoder.decode(&mut input) {
        // Fails for the longest ones that left out what can be left out.
        if let Ok(encoded) = message.encode() {
            let again = Decoder::new().decode(&mut &encoded[..]);
            assert_eq!(again, Ok(Some(message)));
        }
    }
});
