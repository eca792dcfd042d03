//! Messages that wait because a peer is slow: in order, and not without end.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    rc::Rc,
};

use network::{Handle, PeerId, SendError};
use protocol::{Channel, Message};
use wasm_bindgen_futures::spawn_local;

/// Bytes that wait for one peer at most, besides what the network itself queues. A peer so slow is dropped: it would
/// have to be asked again by somebody faster anyway.
const MOST: usize = 64 << 20;

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
}

type Key = (PeerId, Channel);

/// Sends messages; copies share what waits.
#[derive(Clone)]
pub(super) struct Outbox {
    handle: Handle,
    waiting: Rc<RefCell<HashMap<Key, Waiting>>>,
}

impl Outbox {
    pub(super) fn new(handle: Handle) -> Self {
        Self {
            handle,
            waiting: Rc::default(),
        }
    }

    /// Sends a message after those sent to the same peer before.
    pub(super) fn send(&self, peer: PeerId, message: Message) {
        let key = (peer, message.channel());
        let mut all = self.waiting.borrow_mut();
        if let Some(waiting) = all.get_mut(&key) {
            waiting.bytes += message.size();
            waiting.messages.push_back(message);
            if waiting.bytes > MOST {
                all.remove(&key);
                self.handle.disconnect(peer);
            }
            return;
        }
        match self.handle.send(peer, message) {
            // Whoever is gone has lost what was on its way, too; the swarm asks somebody else.
            Ok(()) | Err(SendError::NotConnected) => {}
            Err(SendError::Busy(message)) => {
                let waiting = Waiting {
                    bytes: message.size(),
                    messages: VecDeque::from([*message]),
                };
                all.insert(key, waiting);
                spawn_local(self.clone().flush(key));
            }
        }
    }

    /// Sends what waits for a peer, as fast as it takes it.
    async fn flush(self, key: Key) {
        while let Some(message) = self.next(key) {
            if self
                .handle
                .send_when_possible(key.0, message)
                .await
                .is_err()
            {
                self.waiting.borrow_mut().remove(&key);
            }
        }
    }

    fn next(&self, key: Key) -> Option<Message> {
        let mut all = self.waiting.borrow_mut();
        let waiting = all.get_mut(&key)?;
        let message = waiting.messages.pop_front();
        match &message {
            Some(message) => waiting.bytes -= message.size(),
            None => {
                all.remove(&key);
            }
        }
        message
    }
}
