//! The engine: what this tab decides. It drives the pure cores, `swarm` and `inference`, and does for them what they
//! leave to a shell: clocks, storage, and messages to the page (which has the network) and to the compute workers.
//!
//! Everything happens on one thread. Whatever comes in, a message, a timer, the end of a storage operation, goes
//! through [`Engine::update`], which changes the state and then carries out what follows from it.

mod asking;
mod clock;
mod joining;
mod lending;
mod library;
mod report;
mod state;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use swarm::{ComputeError, Event, PeerId, Ticket};
use wasm_bindgen_futures::spawn_local;
use web_bridge::{
    messages::{Fault, FromCompute, FromNetwork, ToEngine},
    port::{Incoming, Port},
    transfer,
};

use state::State;

/// The engine itself; copies are the same one.
#[derive(Clone)]
pub(crate) struct Engine(Rc<Inner>);

struct Inner {
    /// `None` until the page says which swarm to join.
    state: RefCell<Option<State>>,
    page: Port,
    compute: Vec<Port>,
    timer: clock::Timer,
    /// Somebody is choosing fragments to lend; and has to look again when done.
    lending: Cell<bool>,
    lend_again: Cell<bool>,
    /// The peers of the model had time to introduce themselves.
    acquainted: Cell<bool>,
}

/// Listens to the page from now on.
pub(crate) fn start(page: Port, compute: Vec<Port>) {
    let engine = Engine(Rc::new(Inner {
        state: RefCell::new(None),
        page: page.clone(),
        compute,
        timer: clock::Timer::default(),
        lending: Cell::new(false),
        lend_again: Cell::new(false),
        acquainted: Cell::new(false),
    }));
    for (worker, port) in engine.0.compute.iter().enumerate() {
        let engine = engine.clone();
        port.listen(move |message| engine.computed(worker, message));
    }
    page.listen(move |message| engine.told(message));
}

impl Engine {
    /// Changes the state, and carries out what follows. Before joining nothing happens.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.0.state.borrow_mut();
        let state = state.as_mut()?;
        let result = change(state);
        state.work(self);
        self.0.timer.set(state.next_wake(), self);
        Some(result)
    }

    /// The timer is due.
    fn wake(&self) {
        self.update(|state| {
            let now = clock::now();
            state.node.handle_timeout(now);
            state.report_if_due(now);
        });
    }

    fn told(&self, message: Incoming<ToEngine>) {
        match message.header {
            ToEngine::Join(join) => {
                if self.0.state.borrow().is_none() {
                    let state = State::new(&join, self.0.page.clone(), self.0.compute.clone());
                    self.0.state.replace(Some(state));
                    spawn_local(joining::join(self.clone(), join.model));
                }
            }
            ToEngine::Lend(fragments) => {
                self.update(|state| state.wish_to_lend(fragments));
                lending::lend(self);
            }
            ToEngine::Ask {
                answer,
                turns,
                drawing,
            } => {
                self.update(|state| state.ask(answer, &turns, drawing));
            }
            ToEngine::Stop => {
                self.update(State::stop);
            }
            ToEngine::Network(event) => self.heard(event, &message.body),
            ToEngine::Online(online) => {
                self.update(|state| state.online = online);
            }
            ToEngine::Tidy => spawn_local(lending::tidy(self.clone())),
        }
    }

    fn heard(&self, event: FromNetwork, body: &[u8]) {
        self.update(|state| {
            let now = clock::now();
            let event = match event {
                FromNetwork::Connected {
                    peer,
                    name,
                    relayed,
                } => {
                    let peer = PeerId::new(&peer);
                    state.names.insert(peer.clone(), name);
                    Event::Connected { peer, relayed }
                }
                FromNetwork::Disconnected { peer } => {
                    let peer = PeerId::new(&peer);
                    state.names.remove(&peer);
                    Event::Disconnected { peer }
                }
                FromNetwork::Message { peer, channel } => {
                    match transfer::unpack(channel, body) {
                        Some(message) => Event::Message {
                            peer: PeerId::new(&peer),
                            message,
                        },
                        // The page decoded and encoded it itself a moment ago.
                        None => return,
                    }
                }
                FromNetwork::RoundTrip { peer, milliseconds } => {
                    let peer = PeerId::new(&peer);
                    let time = Duration::from_secs_f64(milliseconds.max(0.0) / 1e3);
                    Event::RoundTrip { peer, time }
                }
                FromNetwork::Violation { peer, reason } => Event::Violation {
                    peer: PeerId::new(&peer),
                    reason,
                },
            };
            state.node.handle_event(event, now);
        });
    }

    fn computed(&self, worker: usize, message: Incoming<FromCompute>) {
        let lost = self.update(|state| {
            let (ticket, result, lost) = match message.header {
                FromCompute::Computed { ticket } => (ticket, Ok(Bytes::from(message.body)), false),
                FromCompute::Failed {
                    ticket,
                    fault,
                    reason,
                } => match fault {
                    Fault::Lost => (ticket, Err(ComputeError::NotHeld), true),
                    Fault::Request => (ticket, Err(ComputeError::BadRequest(reason)), false),
                    Fault::Storage => (ticket, Err(ComputeError::Internal(reason)), false),
                },
            };
            let ticket = Ticket(ticket);
            let fragment = state.computing.remove(&ticket);
            let event = Event::Computed { ticket, result };
            state.node.handle_event(event, clock::now());
            fragment.filter(|_| lost)
        });
        if let Some(Some(fragment)) = lost {
            web_sys::console::warn_1(
                &format!("worker {worker}: fragment {} is lost", fragment.0).into(),
            );
            spawn_local(lending::lost(self.clone(), fragment));
        }
    }
}
