/// A datagram that is what it says it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Datagram<'a> {
    /// A STUN message.
    Message {
        /// Method and class.
        kind: u16,
        /// For how many seconds a client wants its place.
        lifetime: Option<u32>,
    },
    /// What goes through a channel.
    Channel {
        /// Which one.
        number: u16,
        /// What goes through it.
        data: &'a [u8],
    },
}

/// Looks at a datagram to the last byte: is it a STUN message (RFC 8489, sections 5 and 14) or what goes through a channel
/// (RFC 8656, section 12.4)?
///
/// The codec behind it reads past the end of what is cut short.
pub(crate) fn read(datagram: &[u8]) -> Option<Datagram<'_>> {
    let (head, rest) = datagram.split_at_checked(4)?;
    let kind = u16::from_be_bytes([head[0], head[1]]);
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    match kind >> 14 {
        0 => {
            let lifetime = lifetime(rest, length)?;
            Some(Datagram::Message { kind, lifetime })
        }
        1 => {
            let (data, padding) = rest.split_at_checked(length)?;
            // As much as makes it a multiple of four.
            (padding.len() < 4).then_some(Datagram::Channel { number: kind, data })
        }
        _ => None,
    }
}

const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
/// The cookie, and the number of the transaction.
const HEAD: usize = 4 + 12;
const CHANNEL_NUMBER: u16 = 0x000C;
const LIFETIME: u16 = 0x000D;
const PASSWORD_ALGORITHM: u16 = 0x001D;

/// Looks at what comes after a message's type and length, and says which lifetime is in it, if it is right.
fn lifetime(rest: &[u8], length: usize) -> Option<Option<u32>> {
    let (head, mut attributes) = rest.split_at_checked(HEAD)?;
    if !head.starts_with(&COOKIE) || attributes.len() != length {
        return None;
    }
    let mut lifetime = None;
    while !attributes.is_empty() {
        let (head, more) = attributes.split_at_checked(4)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (value, more) = more.split_at_checked(length.next_multiple_of(4))?;
        match (kind, length, value) {
            // Of several the first counts.
            (LIFETIME, 4, &[a, b, c, d]) => {
                lifetime = lifetime.or(Some(u32::from_be_bytes([a, b, c, d])));
            }
            (CHANNEL_NUMBER, 4, _) => {}
            // Neither of those that there are takes parameters.
            (PASSWORD_ALGORITHM, 4, &[_, _, 0, 0]) => {}
            (LIFETIME | CHANNEL_NUMBER | PASSWORD_ALGORITHM, ..) => return None,
            _ => {}
        }
        attributes = more;
    }
    Some(lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(attributes: &[u8]) -> Vec<u8> {
        let length = attributes.len() as u16;
        let head = [&[0, 3][..], &length.to_be_bytes(), &COOKIE, &[7; 12]].concat();
        [head, attributes.to_vec()].concat()
    }

    fn is_right(datagram: &[u8]) -> bool {
        read(datagram).is_some()
    }

    #[test]
    fn a_message_says_what_it_is_and_for_how_long() {
        let kind = 3;
        let plain = Datagram::Message {
            kind,
            lifetime: None,
        };
        assert_eq!(read(&message_of(&[])), Some(plain));
        let lasting = message_of(&[0, 0x0D, 0, 4, 0, 0, 1, 2, 0, 0x0D, 0, 4, 9, 9, 9, 9]);
        let lifetime = Some(0x102);
        assert_eq!(read(&lasting), Some(Datagram::Message { kind, lifetime }));
    }

    #[test]
    fn messages_are_right_to_the_last_byte() {
        let good = message_of(&[0x80, 0x22, 0, 3, 1, 2, 3, 0, 0, 0x0C, 0, 4, 0x40, 0, 0, 0]);
        assert!(is_right(&good));
        assert!(is_right(&message_of(&[])));
        for length in 0..good.len() {
            assert!(!is_right(&good[..length]), "{length}");
        }
        assert!(!is_right(&[&good[..], &[0; 4]].concat()));
        let mut old = good.clone();
        old[4] ^= 1;
        assert!(!is_right(&old), "without the cookie");
        for attributes in [
            // Padding that is not there, a length that is too long, too short for what it is, parameters of nothing.
            &[0x80, 0x22, 0, 3, 1, 2, 3][..],
            &[0x80, 0x22, 0, 9, 1, 2, 3, 4],
            &[0, 0x0C, 0, 1, 1, 0, 0, 0],
            &[0, 0x0D, 0, 0],
            &[0, 0x1D, 0, 4, 0, 1, 0, 4],
            &[0, 0x1D, 0, 0],
        ] {
            assert!(!is_right(&message_of(attributes)), "{attributes:?}");
        }
    }

    #[test]
    fn channels_say_how_much_goes_through_them() {
        let channel = Some(Datagram::Channel {
            number: 0x4001,
            data: &[1, 2, 3],
        });
        assert_eq!(read(&[0x40, 1, 0, 3, 1, 2, 3]), channel);
        assert_eq!(read(&[0x40, 1, 0, 3, 1, 2, 3, 0]), channel);
        assert!(!is_right(&[0x40, 0, 0, 3, 1, 2]));
        assert!(!is_right(&[0x40, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0]));
        assert!(!is_right(&[0x80, 0, 0, 0]));
        assert!(!is_right(&[]));
    }
}
