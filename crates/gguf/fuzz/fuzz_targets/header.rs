//! Any bytes: refused, or read as the same well-formed header from memory and from a stream.
#![no_main]

use gguf::Header;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let len = Some(bytes.len() as u64);
    let parsed = Header::parse(bytes, len);
    let read = Header::read(&mut &bytes[..], len);
    assert_eq!(parsed.is_ok(), read.is_ok());
    if let Ok(header) = parsed {
        for tensor in &header.tensors {
            assert!(header.data_offset + tensor.offset + tensor.byte_len() <= bytes.len() as u64);
        }
    }
});
