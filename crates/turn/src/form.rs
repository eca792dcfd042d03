/// Whether a datagram is what it says it is, to the last byte: a STUN message (RFC 8489, sections 5 and 14) or what goes
/// through a channel (RFC 8656, section 12.4).
///
/// The codec behind it reads past the end of what is cut short.
pub(crate) fn is_right(datagram: &[u8]) -> bool {
    let Some((head, rest)) = datagram.split_at_checked(4) else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    match head[0] >> 6 {
        0 => message(rest, length),
        // It may be followed by as much as makes it a multiple of four.
        1 => (length..length + 4).contains(&rest.len()),
        _ => false,
    }
}

const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
/// The cookie, and the number of the transaction.
const HEAD: usize = 4 + 12;
const CHANNEL_NUMBER: u16 = 0x000C;
const PASSWORD_ALGORITHM: u16 = 0x001D;

/// What comes after a message's type and length.
fn message(rest: &[u8], length: usize) -> bool {
    let Some((head, mut attributes)) = rest.split_at_checked(HEAD) else {
        return false;
    };
    if !head.starts_with(&COOKIE) || attributes.len() != length {
        return false;
    }
    while !attributes.is_empty() {
        let Some((head, more)) = attributes.split_at_checked(4) else {
            return false;
        };
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some((value, more)) = more.split_at_checked(length.next_multiple_of(4)) else {
            return false;
        };
        let sound = match kind {
            CHANNEL_NUMBER => length == 4,
            // Neither of those that there are takes parameters.
            PASSWORD_ALGORITHM => length == 4 && value[2..] == [0, 0],
            _ => true,
        };
        if !sound {
            return false;
        }
        attributes = more;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(attributes: &[u8]) -> Vec<u8> {
        let length = attributes.len() as u16;
        let head = [&[0, 3][..], &length.to_be_bytes(), &COOKIE, &[7; 12]].concat();
        [head, attributes.to_vec()].concat()
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
            &[0, 0x1D, 0, 4, 0, 1, 0, 4],
            &[0, 0x1D, 0, 0],
        ] {
            assert!(!is_right(&message_of(attributes)), "{attributes:?}");
        }
    }

    #[test]
    fn channels_say_how_much_goes_through_them() {
        assert!(is_right(&[0x40, 0, 0, 3, 1, 2, 3]));
        assert!(is_right(&[0x40, 0, 0, 3, 1, 2, 3, 0]));
        assert!(!is_right(&[0x40, 0, 0, 3, 1, 2]));
        assert!(!is_right(&[0x40, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0]));
        assert!(!is_right(&[0x80, 0, 0, 0]));
        assert!(!is_right(&[]));
    }
}
