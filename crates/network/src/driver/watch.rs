//! Peers that begin something and do not go on with it: a stream without hello, a message without an end.
//!
//! Each of them costs little, and there may be many. Time is counted in rounds, of which there is none while this node
//! sleeps or has no time to read: then it is not the peer's fault.

use std::time::Duration;

use super::{Done, Driver};
use crate::{handle::lock, reader::Source};

/// Between two looks at what is being read.
const ROUND: Duration = Duration::from_secs(5);

/// Bytes of unfinished messages of all peers together; beyond it, the longest is given up.
const MAX_UNFINISHED: usize = if cfg!(target_arch = "wasm32") {
    64 << 20
} else {
    512 << 20
};

/// Rounds in which a message must end.
const PATIENCE: usize = 6;
/// It gets another one for each such piece of it that has come: 16 KiB a second.
const PIECE: usize = 80 << 10;

/// Rounds for which a stream may wait for its turn while earlier ones of the same kind are read. A connection that is dead
/// takes no longer to be noticed.
pub(super) const TURN: usize = 15;

/// Whether what was begun so many rounds ago should have ended, of which so much has come.
fn is_overdue(rounds: usize, bytes: usize) -> bool {
    rounds > PATIENCE + bytes / PIECE
}

impl Driver {
    pub(super) fn plan_watch(&mut self) {
        self.after(ROUND, Done::Watch);
    }

    pub(super) fn watch(&mut self) {
        let mut unfinished = Vec::new();
        let mut overdue = Vec::new();
        for reader in self.readers.iter_mut() {
            let (rounds, bytes) = reader.count_round();
            if is_overdue(rounds, bytes) {
                overdue.push(reader.source());
            } else {
                unfinished.push((bytes, reader.source()));
            }
        }
        unfinished.sort_unstable_by_key(|(bytes, _)| *bytes);
        let mut total: usize = unfinished.iter().map(|(bytes, _)| bytes).sum();
        while total > MAX_UNFINISHED
            && let Some((bytes, source)) = unfinished.pop()
        {
            total -= bytes;
            overdue.push(source);
        }
        for Source {
            peer,
            session,
            connection,
            channel,
        } in overdue
        {
            // A peer may have begun many things, and its connection may take a while to close; it is counted once.
            // What is left of an earlier time says nothing of the peer as it is now.
            let Some(known) = self.peers.get_mut(&peer).filter(|it| it.session == session) else {
                continue;
            };
            if known.connection(connection).is_none_or(|it| it.closing) {
                continue;
            }
            tracing::debug!(%peer, ?channel, "does not go on with what it has begun");
            lock(&self.ends.shared).refusals.count_stalled();
            self.part_from(peer);
            self.discovery.leave_alone(peer);
        }
        for known in self.peers.values_mut() {
            known.keep_waiting(TURN);
        }
        self.plan_watch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_peer_has_time_for_a_long_message_and_a_silent_one_has_none() {
        let longest = protocol::Channel::Compute.max_message();
        // At 32 KiB a second.
        let per_round = 160 << 10;
        for rounds in 0..longest / per_round {
            assert!(!is_overdue(rounds, rounds * per_round), "{rounds}");
        }
        assert!(is_overdue(7, 0));
        // Who sends a byte now and then, too.
        assert!((0..100).any(|rounds| is_overdue(rounds, rounds)));
    }
}
