//! A stream of a stranger: any bytes, in pieces of any length. What decodes is the same when it has been sent on, and
//! what came before a mistake does not depend on how it was cut up.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{Channel, FrameDecoder, FrameEncoder, Message};

/// What a stream says until it ends or is refused.
fn said<'a>(channel: Channel, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Message> {
    let mut decoder = FrameDecoder::new(channel);
    let mut messages = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            match decoder.decode(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => {
                    assert_eq!(decoder.decode(&mut piece), Err(protocol::Error::Broken));
                    return messages;
                }
            }
        }
    }
    messages
}

fuzz_target!(|data: &[u8]| {
    let Some((&length, bytes)) = data.split_first() else {
        return;
    };
    for channel in Channel::ALL {
        let whole = said(channel, std::iter::once(bytes));
        assert_eq!(whole, said(channel, bytes.chunks(usize::from(length) + 1)));
        let mut wire = Vec::new();
        let encoder = FrameEncoder::new(channel);
        for message in &whole {
            assert_eq!(message.channel(), channel);
            encoder
                .encode(message, &mut wire)
                .expect("what came this way may go back");
        }
        assert_eq!(whole, said(channel, std::iter::once(&wire[..])));
    }
});
