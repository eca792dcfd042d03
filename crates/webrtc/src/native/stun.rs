//! STUN without credentials ([RFC 8489](https://www.rfc-editor.org/rfc/rfc8489)): who asks is told by which address it
//! is seen.

use std::net::SocketAddr;

use bytecodec::{DecodeExt as _, EncodeExt as _};
use stun_codec::{
    Message, MessageClass, MessageDecoder, MessageEncoder, TransactionId,
    rfc5389::{Attribute, attributes::XorMappedAddress, methods::BINDING},
};

/// The longest request that is answered: the header, and a little of what clients say of themselves. An answer is hardly
/// longer than its request, so that nobody gains by asking in another's name.
const MAX_REQUEST: usize = 128;

/// A binding request without credentials, as STUN servers answer it.
pub(super) fn request(id: [u8; 12]) -> Vec<u8> {
    let message = Message::<Attribute>::new(MessageClass::Request, BINDING, TransactionId::new(id));
    // There is nothing in it that could not be written.
    MessageEncoder::new()
        .encode_into_bytes(message)
        .unwrap_or_default()
}

/// To which request it is the answer, and the address in it.
pub(super) fn answer(data: &[u8]) -> Option<([u8; 12], SocketAddr)> {
    let message = decode(data)?;
    let ours = message.class() == MessageClass::SuccessResponse && message.method() == BINDING;
    let address = message.get_attribute::<XorMappedAddress>()?.address();
    ours.then(|| (*message.transaction_id().as_bytes(), address))
}

/// The answer to a request without credentials; `None` for everything else.
pub(super) fn reply(data: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    // The first two bits of STUN are zero, and what is no request need not be decoded.
    if data.len() > MAX_REQUEST || !data.starts_with(&[0, 1]) {
        return None;
    }
    let request = decode(data)?;
    let ours = request.class() == MessageClass::Request && request.method() == BINDING;
    // With a name it is a check of a connection, and none of ours.
    if !ours
        || request
            .attributes()
            .any(|it| matches!(it, Attribute::Username(_)))
    {
        return None;
    }
    let id = request.transaction_id();
    let mut reply = Message::<Attribute>::new(MessageClass::SuccessResponse, BINDING, id);
    reply.add_attribute(XorMappedAddress::new(source));
    MessageEncoder::new().encode_into_bytes(reply).ok()
}

fn decode(data: &[u8]) -> Option<Message<Attribute>> {
    MessageDecoder::new().decode_from_bytes(data).ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_told_its_address() {
        for source in ["192.0.2.7:4000", "[2001:db8::7]:4000"] {
            let source = source.parse().unwrap();
            let reply = reply(&request([7; 12]), source).unwrap();
            assert_eq!(answer(&reply), Some(([7; 12], source)));
        }
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        let source = "192.0.2.7:4000".parse().unwrap();
        let request = request([7; 12]);
        let answered = reply(&request, source).unwrap();
        assert!(
            reply(&answered, source).is_none(),
            "two servers would talk for ever"
        );
        assert!(reply(&request[..19], source).is_none());
        assert!(reply(&[0, 1].repeat(64), source).is_none());
        assert!(reply(&[], source).is_none());
    }
}
