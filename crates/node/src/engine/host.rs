//! Layers run for others, on a thread of their own: attention over a long text takes its time, and nothing else waits for
//! it.

use super::core::Done;
use anyhow::Result;
use bytes::Bytes;
use fragments::FragmentId;
use inference::executor::Missing;
use inference::stage::{self, Host, Limits};
use inference::{Model, RequestId, SmallTensors, compute};
use protocol::SessionId;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use swarm::{ComputeError, PeerId, Ticket};
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What waits for the thread. Beyond it tokens are refused.
const WAITING: usize = 8192;
/// Of strangers' tokens at most so many KiB wait, also of those for which nobody waits any more.
const WAITING_KIB: usize = 128 << 10;

/// Somebody's session.
pub(super) type Key = (PeerId, SessionId);

enum Order {
    Begin {
        ticket: Ticket,
        key: Key,
        body: Bytes,
        /// Held until the thread has come to it.
        _room: OwnedSemaphorePermit,
        layers: Range<u32>,
    },
    Stop(Key),
    Answer {
        request: RequestId,
        body: Bytes,
    },
    DoWithout {
        request: RequestId,
        why: String,
    },
}

/// What the thread wants of others.
pub(super) enum Wanted {
    /// A request of a session is to be answered.
    Ask {
        request: RequestId,
        fragment: FragmentId,
        body: Bytes,
    },
    /// An answer was good, or was not.
    Judge { request: RequestId, good: bool },
    /// Tokens have come through, or have not.
    Done {
        ticket: Ticket,
        result: Result<Bytes, ComputeError>,
    },
}

/// The thread.
pub(super) struct Hosting {
    orders: SyncSender<Order>,
    room: Arc<Semaphore>,
}

impl Hosting {
    /// What it wants is sent to `results`.
    pub(super) fn start(
        model: Arc<Model>,
        small: Arc<SmallTensors>,
        limits: Limits,
        results: Sender<Done>,
    ) -> std::io::Result<Self> {
        let (orders, orders_end) = sync_channel(WAITING);
        let all = 0..model.hyperparameters().layers;
        let host = Host::new(model, small, all, limits);
        let thread = Thread {
            host,
            tickets: HashMap::new(),
            results,
        };
        std::thread::Builder::new()
            .name("layers".into())
            .spawn(move || thread.run(&orders_end))?;
        let room = Arc::new(Semaphore::new(WAITING_KIB));
        Ok(Self { orders, room })
    }

    /// False if too much waits there.
    fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    pub(super) fn begin(&self, ticket: Ticket, key: Key, body: Bytes, layers: Range<u32>) -> bool {
        // A message is shorter than 4 TiB.
        let kib = u32::try_from(body.len().div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let Ok(_room) = self.room.clone().try_acquire_many_owned(kib) else {
            return false;
        };
        self.order(Order::Begin {
            ticket,
            key,
            body,
            _room,
            layers,
        })
    }

    pub(super) fn stop(&self, key: Key) -> bool {
        self.order(Order::Stop(key))
    }

    pub(super) fn answer(&self, request: RequestId, body: Bytes) -> bool {
        self.order(Order::Answer { request, body })
    }

    /// Nobody answers a request.
    pub(super) fn do_without(&self, request: RequestId, why: String) -> bool {
        self.order(Order::DoWithout { request, why })
    }
}

struct Thread {
    host: Host<Key>,
    /// Of the tokens that are on their way.
    tickets: HashMap<Key, Ticket>,
    results: Sender<Done>,
}

impl Thread {
    fn run(mut self, orders: &Receiver<Order>) {
        // Ends with the task that gives the orders, or that takes the results.
        while let Ok(order) = orders.recv() {
            if self.obey(order).and_then(|()| self.tell()).is_err() {
                return;
            }
        }
    }

    fn want(&self, wanted: Wanted) -> Result<()> {
        Ok(self.results.blocking_send(Done::Host(wanted))?)
    }

    fn done(&mut self, key: &Key, result: Result<Bytes, ComputeError>) -> Result<()> {
        match self.tickets.remove(key) {
            Some(ticket) => self.want(Wanted::Done { ticket, result }),
            None => Ok(()),
        }
    }

    fn fail(&mut self, key: &Key, error: ComputeError) -> Result<()> {
        self.host.cancel(key);
        self.done(key, Err(error))
    }

    fn obey(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Begin {
                ticket,
                key,
                body,
                layers,
                _room,
            } => {
                self.tickets.insert(key.clone(), ticket);
                self.host.set_layers(layers);
                let begun = match stage::decode_request(&body) {
                    Ok(request) => self
                        .host
                        .begin(key.clone(), request)
                        .map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                if let Err(error) = begun {
                    return self.fail(&key, ComputeError::BadRequest(error));
                }
            }
            Order::Stop(key) => {
                self.tickets.remove(&key);
                self.host.cancel(&key);
            }
            Order::Answer { request, body } => {
                let answer = compute::decode_response(&body).map_err(|error| error.to_string());
                let taken = answer.and_then(|answer| {
                    let taken = self.host.handle_response(request, answer);
                    taken.map_err(|error| error.to_string())
                });
                let good = taken.is_ok();
                self.want(Wanted::Judge { request, good })?;
            }
            Order::DoWithout { request, why } => {
                let Some(key) = self.host.asked_by(request) else {
                    return Ok(());
                };
                match self.host.do_without(request) {
                    Ok(Missing::LeftOut) => {}
                    Ok(Missing::Needed | Missing::TooMany { .. }) => {
                        self.fail(&key, ComputeError::Internal(why))?;
                    }
                    Err(error) => self.fail(&key, ComputeError::Internal(error.to_string()))?,
                }
            }
        }
        Ok(())
    }

    /// Says what became of it.
    fn tell(&mut self) -> Result<()> {
        while let Some((request, asked)) = self.host.poll_request() {
            self.want(Wanted::Ask {
                request,
                fragment: asked.fragment,
                body: compute::encode_request(&asked).into(),
            })?;
        }
        while let Some((key, response)) = self.host.poll_done() {
            let result = Ok(stage::encode_response(&response).into());
            self.done(&key, result)?;
        }
        Ok(())
    }
}
