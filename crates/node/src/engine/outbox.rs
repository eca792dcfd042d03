//! Answers that wait because a peer is slow: in order, and not without end.
//!
//! A peer that reads nothing may ask all the same, and what it asks is much shorter than what it is answered.

use network::{Handle, PeerId, SendError};
use protocol::{
    Channel, ComputeResponse, ContentResponse, ErrorCode, Failure, JobResponse, Message,
    StageResponse,
};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that wait for one peer on one channel at most, besides what the network itself queues: the answers to a long
/// prompt over a slow line. Beyond them it is told that it asks too much.
const MOST: usize = 64 << 20;
/// The same for all peers together.
const MOST_OF_ALL: usize = 512 << 20;
/// A peer that goes on asking is told so often, before it is given up.
const MOST_REFUSALS: usize = 1024;
/// What a message takes besides what it says.
const OVERHEAD: usize = 256;

/// Why a peer is not answered.
pub(super) fn congested() -> Failure {
    Failure {
        code: ErrorCode::Busy,
        message: "the way there is congested".into(),
    }
}

/// To whom, and how.
type Key = (PeerId, Channel);

/// Sends answers; copies share what waits.
#[derive(Clone, Default)]
pub(super) struct Outbox(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    /// There is a task for each of these.
    waiting: HashMap<Key, Waiting>,
    bytes: usize,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    /// What has been taken out and is not yet sent included.
    bytes: usize,
    /// The part of it that has been taken out.
    taken: usize,
    /// Answers that were too much.
    refusals: usize,
    given_up: bool,
}

/// What has become of a message.
#[derive(Debug, PartialEq, Eq)]
enum Put {
    /// It is the first; somebody has to send it.
    First,
    /// It is sent after those before it.
    Waits,
    /// The peer has let too much lie.
    GiveUp,
    /// It was given up already.
    Dropped,
}

impl Outbox {
    /// Sends an answer after those to the same peer for which there was no room.
    pub(super) fn send(&self, network: &Handle, peer: PeerId, answer: Message) {
        let key = (peer, answer.channel());
        let mut all = self.lock();
        let answer = if all.waiting.contains_key(&key) {
            answer
        } else {
            match network.send(peer, answer) {
                Err(SendError::Busy(answer)) => *answer,
                // Whoever is gone has lost what was on its way, too.
                Ok(()) | Err(SendError::NotConnected) => return,
            }
        };
        match all.put(key, answer) {
            Put::First => _ = tokio::spawn(self.clone().flush(network.clone(), key)),
            Put::Waits | Put::Dropped => {}
            Put::GiveUp => network.disconnect(peer),
        }
    }

    /// Sends what waits for a peer, as fast as it takes it.
    async fn flush(self, network: Handle, key: Key) {
        loop {
            let next = self.lock().take(key);
            let Some(message) = next else { return };
            if network.send_when_possible(key.0, message).await.is_err() {
                return self.lock().forget(key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn put(&mut self, key: Key, answer: Message) -> Put {
        let first = !self.waiting.contains_key(&key);
        let waiting = self.waiting.entry(key).or_default();
        if waiting.given_up {
            return Put::Dropped;
        }
        let cost = cost(&answer);
        let answer = if waiting.bytes + cost > MOST || self.bytes + cost > MOST_OF_ALL {
            waiting.refusals += 1;
            refusal(answer)
        } else {
            answer
        };
        if waiting.refusals > MOST_REFUSALS {
            // The task is still there, and ends with the connection.
            waiting.given_up = true;
            for message in waiting.messages.drain(..) {
                let cost = self::cost(&message);
                waiting.bytes -= cost;
                self.bytes -= cost;
            }
            return Put::GiveUp;
        }
        let cost = self::cost(&answer);
        waiting.bytes += cost;
        self.bytes += cost;
        waiting.messages.push_back(answer);
        if first { Put::First } else { Put::Waits }
    }

    /// The next message for a peer; the one taken before is sent. Without one, the peer has all that waited.
    fn take(&mut self, key: Key) -> Option<Message> {
        let waiting = self.waiting.get_mut(&key)?;
        let sent = std::mem::take(&mut waiting.taken);
        waiting.bytes -= sent;
        self.bytes -= sent;
        match waiting.messages.pop_front() {
            Some(message) => {
                waiting.taken = cost(&message);
                Some(message)
            }
            None => {
                self.waiting.remove(&key);
                None
            }
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(gone) = self.waiting.remove(&key) {
            self.bytes -= gone.bytes;
        }
    }
}

fn cost(message: &Message) -> usize {
    message.size() + OVERHEAD
}

/// What is said instead of an answer that is too much. The asker turns to somebody else, or asks again later.
fn refusal(answer: Message) -> Message {
    match answer {
        Message::ComputeResponse(ComputeResponse { id, result: Ok(_) }) => {
            Message::ComputeResponse(ComputeResponse {
                id,
                result: Err(congested()),
            })
        }
        Message::StageResponse(StageResponse { id, result: Ok(_) }) => {
            Message::StageResponse(StageResponse {
                id,
                result: Err(congested()),
            })
        }
        Message::JobResponse(JobResponse { id, result: Ok(_) }) => {
            Message::JobResponse(JobResponse {
                id,
                result: Err(congested()),
            })
        }
        Message::ContentResponse(ContentResponse { id, result: Ok(_) }) => {
            Message::ContentResponse(ContentResponse {
                id,
                result: Err(congested()),
            })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use network::{Config, Event, Identity};
    use protocol::RequestId;
    use std::time::Duration;

    const LEN: usize = 1 << 20;

    fn answer(id: u64) -> Message {
        Message::ComputeResponse(ComputeResponse {
            id: RequestId(id),
            result: Ok(vec![0; LEN].into()),
        })
    }

    fn key() -> Key {
        (PeerId::random(), Channel::Compute)
    }

    #[test]
    fn who_reads_nothing_is_refused_and_then_given_up() {
        let (mut all, key) = (All::default(), key());
        assert_eq!(all.put(key, answer(0)), Put::First);
        // It is being sent, and counts as long as it is not.
        let taken = all.take(key);
        assert_eq!(taken, Some(answer(0)));
        let mut id = 0;
        let last = loop {
            id += 1;
            match all.put(key, answer(id)) {
                Put::Waits => assert!(all.bytes <= MOST + MOST_REFUSALS * 512),
                other => break other,
            }
        };
        assert_eq!(last, Put::GiveUp);
        let fit = (MOST / (LEN + OVERHEAD)) as u64;
        assert_eq!(id, fit + MOST_REFUSALS as u64);
        // Nothing waits any more, and nothing will.
        assert_eq!(all.put(key, answer(0)), Put::Dropped);
        assert_eq!(all.bytes, cost(&answer(0)));
        assert_eq!(all.take(key), None);
        assert_eq!((all.bytes, all.waiting.len()), (0, 0));
    }

    #[test]
    fn all_comes_in_order_and_room_is_given_back() {
        let (mut all, key) = (All::default(), key());
        for round in 0..3 {
            for id in 0..100 {
                let first = id == 0;
                let expected = if first { Put::First } else { Put::Waits };
                assert_eq!(all.put(key, answer(id)), expected, "{round}");
            }
            let got: Vec<_> = std::iter::from_fn(|| all.take(key)).collect();
            let fit = MOST / (LEN + OVERHEAD);
            for (id, message) in (0..).zip(&got) {
                let whole = answer(id);
                let expected = match (id as usize) < fit {
                    true => whole,
                    false => refusal(whole),
                };
                assert_eq!(*message, expected);
            }
            assert_eq!(got.len(), 100);
            assert_eq!(all.bytes, 0);
        }
    }

    #[test]
    fn many_who_read_nothing_share_what_there_is() {
        let mut all = All::default();
        let keys: Vec<_> = (0..20).map(|_| key()).collect();
        for key in &keys {
            for id in 0..100 {
                all.put(*key, answer(id));
            }
        }
        assert!(all.bytes <= MOST_OF_ALL + keys.len() * MOST_REFUSALS * 512);
        keys.into_iter().for_each(|key| all.forget(key));
        assert_eq!(all.bytes, 0);
    }

    fn config() -> Config {
        Config {
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            ..Config::new(Identity::generate())
        }
    }

    #[tokio::test]
    async fn however_much_a_silent_peer_asks_there_is_one_task_for_it_and_then_no_connection() {
        let (network, mut events, driver) = network::start(config()).unwrap();
        tokio::spawn(driver);
        // Nobody takes its events: it reads nothing.
        let (silent, _unread, driver) = network::start(config()).unwrap();
        tokio::spawn(driver);
        let peer = silent.local_peer();
        let told = async {
            loop {
                match events.next().await.unwrap() {
                    Event::Listening { address } => silent.dial(address),
                    Event::Connected { peer: it, .. } if it == peer => break,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), told)
            .await
            .unwrap();
        let outbox = Outbox::default();
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        let before = tasks();
        // All at once, so that nothing is sent meanwhile.
        let answers = (MOST + (32 << 20)) / LEN + MOST_REFUSALS + 1;
        for id in 0..answers as u64 {
            outbox.send(&network, peer, answer(id));
        }
        assert_eq!(tasks(), before + 1);
        let gone = async {
            while !matches!(events.next().await.unwrap(), Event::Disconnected { peer: it } if it == peer)
            {
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone)
            .await
            .unwrap();
    }
}
