//! Protocol messages on their way between this worker and the page: as the same bytes that go over the network.

use protocol::{FrameDecoder, FrameEncoder, Message};
use web_bridge::messages::Channel;

/// A message's bytes and channel; `None` for one that is too long for any peer.
pub(super) fn pack(message: &Message) -> Option<(Channel, Vec<u8>)> {
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
pub(super) fn unpack(channel: Channel, mut bytes: &[u8]) -> Option<Message> {
    let channel = match channel {
        Channel::Compute => protocol::Channel::Compute,
        Channel::Content => protocol::Channel::Content,
    };
    FrameDecoder::new(channel).decode(&mut bytes).ok()?
}
