//! The engine of the browser application, a worker: what this tab decides. It drives the pure cores, `swarm` and `inference`, and does for them what they
//! leave to a shell: clocks, storage, and messages to the page (which has the network) and to the compute workers.
//!
//! Everything happens on one thread. Whatever comes in, a message, a timer, the end of a storage operation, goes
//! through [`Engine::update`], which changes the state and then carries out what follows from it. It touches no network,
//! which exists on the page only, and shows nothing.

mod asking;
mod clock;
mod device;
mod elsewhere;
mod joining;
mod lending;
mod library;
mod report;
mod route;
mod state;
mod web_seed;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use protocol::{Heartbeat, JobId};
use swarm::{ComputeError, Event, PeerId, Ticket};
use wasm_bindgen_futures::spawn_local;
use web_bridge::{
    flow::Taken,
    messages::{Fault, FromCompute, FromEngine, FromNetwork, Ready, ToEngine, ToNetwork},
    port::{Incoming, Port},
    transfer,
};
use web_sys::MessagePort;

use state::State;

/// The engine itself; copies are the same one.
#[derive(Clone)]
struct Engine(Rc<Inner>);

struct Inner {
    /// `None` until the page says which swarm to join.
    state: RefCell<Option<State>>,
    page: Port,
    /// The compute workers there are.
    compute: RefCell<Vec<Port>>,
    timer: clock::Timer,
    /// What the network said and this engine has dealt with.
    taken: RefCell<Taken>,
    /// Somebody is choosing fragments to lend; and has to look again when done.
    lending: Cell<bool>,
    lend_again: Cell<bool>,
    /// The peers of the model had time to introduce themselves.
    acquainted: Cell<bool>,
}

fn main() {
    console_error_panic_hook::set_once();
    let Some(page) = Port::scope() else {
        web_sys::console::error_1(&"this program runs in a worker only".into());
        return;
    };
    let engine = Engine(Rc::new(Inner {
        state: RefCell::new(None),
        page: page.clone(),
        compute: RefCell::default(),
        timer: clock::Timer::default(),
        taken: RefCell::default(),
        lending: Cell::new(false),
        lend_again: Cell::new(false),
        acquainted: Cell::new(false),
    }));
    page.listen(move |message| engine.told(message));
    if let Err(error) = page.send(&Ready) {
        web_sys::console::error_1(&error.to_string().into());
    }
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
            ToEngine::Worker => message.ports.into_iter().for_each(|port| self.hire(port)),
            ToEngine::Workers(most) => {
                self.update(|state| state.employ(most as usize));
            }
            ToEngine::Join(join) => {
                if self.0.state.borrow().is_none() {
                    let compute = self.0.compute.borrow().clone();
                    let state = State::new(&join, self.0.page.clone(), compute);
                    self.0.state.replace(Some(state));
                    self.update(State::tell_graphics);
                    spawn_local(joining::join(self.clone(), join.model));
                }
            }
            ToEngine::Lend(fragments) => {
                self.update(|state| state.wish_to_lend(fragments));
                lending::lend(self);
            }
            ToEngine::Upload(limit) => {
                self.update(|state| state.limit_upload(limit));
            }
            ToEngine::Graphics(wish) => {
                self.update(|state| {
                    state.graphics_wish = wish;
                    state.tell_graphics();
                });
            }
            ToEngine::Ask {
                answer,
                turns,
                said,
                drawing,
                approximate,
            } => {
                self.update(|state| state.ask(answer, &turns, said, drawing, approximate));
            }
            ToEngine::GiveAway { answer, job } => {
                self.update(|state| state.give_away(answer, JobId(job)));
            }
            ToEngine::LookFor { answer, job, said } => {
                self.update(|state| state.look_for(answer, JobId(job), said));
            }
            ToEngine::Stop => {
                self.update(State::stop);
            }
            ToEngine::Network(event) => {
                self.heard(event, &message.body);
                self.took(&message.body);
            }
            ToEngine::Online(online) => {
                self.update(|state| state.online = online);
            }
            ToEngine::Tidy => spawn_local(lending::tidy(self.clone())),
        }
    }

    /// One more compute worker.
    fn hire(&self, port: MessagePort) {
        let (engine, port) = (self.clone(), Port::Channel(port));
        let mut all = self.0.compute.borrow_mut();
        let worker = all.len();
        port.listen(move |message| engine.computed(worker, message));
        all.push(port.clone());
        drop(all);
        self.update(|state| state.hire(port));
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
                FromNetwork::Heartbeat { peer } => match Heartbeat::decode(body) {
                    Ok(heartbeat) => Event::Heartbeat {
                        peer: PeerId::new(&peer),
                        heartbeat,
                    },
                    // The page decoded and encoded it itself a moment ago.
                    Err(_) => return,
                },
                FromNetwork::Observed { ip, dialled } => Event::Observed { ip, dialled },
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

    /// Dealt with an event that had this body.
    fn took(&self, body: &[u8]) {
        let weight = self.0.taken.borrow_mut().add(body);
        if let Some(weight) = weight {
            let told = FromEngine::Network(ToNetwork::Taken { weight });
            if let Err(error) = self.0.page.send(&told) {
                web_sys::console::error_1(&error.to_string().into());
            }
        }
    }

    fn computed(&self, worker: usize, message: Incoming<FromCompute>) {
        let lost = self.update(|state| {
            let (ticket, result, lost) = match message.header {
                FromCompute::Graphics(status) => {
                    state.graphics = Some(status);
                    return None;
                }
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
