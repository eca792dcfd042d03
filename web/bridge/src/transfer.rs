//! Protocol messages on their way between the page and the engine: as the same bytes that go over the network.

use crate::messages::Channel;
use protocol::{FrameDecoder, FrameEncoder, Message};

/// A message's bytes and channel; `None` for one that is too long for any peer.
pub fn pack(message: &Message) -> Option<(Channel, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(message.size());
    let channel = message.channel();
    FrameEncoder::new(channel)
        .encode(message, &mut bytes)
        .ok()?;
    let channel = match channel {
        protocol::Channel::Compute => Channel::Compute,
        protocol::Channel::Content => Channel::Content,
    };
    Some((channel, bytes))
}

/// The message that [`pack`] packed on the other side.
pub fn unpack(channel: Channel, mut bytes: &[u8]) -> Option<Message> {
    let channel = match channel {
        Channel::Compute => protocol::Channel::Compute,
        Channel::Content => protocol::Channel::Content,
    };
    FrameDecoder::new(channel).decode(&mut bytes).ok()?
}
