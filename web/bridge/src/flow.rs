//! What the network says waits in the network until the engine gets on, and not without end between the two: a
//! browser queues whatever is posted to a worker.
//!
//! The page posts no more than [`ROOM`] that the engine has not taken; the engine tells it now and then how much it
//! has taken ([`ToNetwork::Taken`](crate::messages::ToNetwork::Taken)). While the page waits, the network's own queues
//! fill up, and then those of the peers who send.

/// The weight of what may be on its way at most.
pub const ROOM: u32 = 16 << 20;

/// Told after so much: a message for each would cost more than those it is about.
const TOLD: u32 = ROOM / 16;

/// What any event weighs besides its bytes, for its header.
const HEADER: u32 = 512;

/// What an event with this body weighs. One that exceeds the room weighs half of it, so that it comes through, too.
pub fn weight(body: &[u8]) -> u32 {
    let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    bytes.saturating_add(HEADER).min(ROOM / 2)
}

/// What the engine has taken and not told yet.
#[derive(Debug, Default)]
pub struct Taken(u32);

impl Taken {
    /// An event with this body was dealt with. Returns what to tell the page, where it is time to.
    pub fn add(&mut self, body: &[u8]) -> Option<u32> {
        self.0 += weight(body);
        (self.0 >= TOLD).then(|| std::mem::take(&mut self.0))
    }
}
