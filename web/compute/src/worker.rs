//! Reads fragments from IndexedDB itself, and answers requests about them.
//!
//! It answers one request after the other. Fragments stay in memory once read, the one longest unused makes room.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use fragments::{Fragment, FragmentId};
use inference::compute;
use wasm_bindgen_futures::spawn_local;
use web_bridge::{
    messages::{Fault, FromCompute, ToCompute},
    port::Port,
    store::Store,
};

/// Bytes of fragments in memory at most; a worker's memory ends at 4 GiB.
const MEMORY: usize = 1 << 30;

struct Request {
    ticket: u64,
    fragment: FragmentId,
    body: Vec<u8>,
}

struct Failure {
    fault: Fault,
    reason: String,
}

impl Failure {
    fn new(fault: Fault, reason: impl ToString) -> Self {
        Self {
            fault,
            reason: reason.to_string(),
        }
    }
}

/// Fragments in memory, the one used last at the end.
#[derive(Default)]
struct Memory(Vec<(FragmentId, Fragment<Vec<u8>>)>);

impl Memory {
    fn find(&mut self, id: &FragmentId) -> Option<&Fragment<Vec<u8>>> {
        let at = self.0.iter().position(|(known, _)| known == id)?;
        self.0[at..].rotate_left(1);
        self.0.last().map(|(_, fragment)| fragment)
    }

    fn keep(&mut self, id: FragmentId, fragment: Fragment<Vec<u8>>) {
        self.0.push((id, fragment));
        let mut bytes: usize = self.0.iter().map(|(_, one)| one.bytes().len()).sum();
        while bytes > MEMORY && self.0.len() > 1 {
            bytes -= self.0.remove(0).1.bytes().len();
        }
    }

    fn release(&mut self, id: &FragmentId) {
        self.0.retain(|(known, _)| known != id);
    }
}

#[derive(Default)]
struct Worker {
    queue: RefCell<VecDeque<Request>>,
    memory: RefCell<Memory>,
    store: RefCell<Option<Rc<Store>>>,
    running: Cell<bool>,
}

/// Answers the engine at the other end of `port` from now on.
pub(crate) fn start(port: Port) {
    let worker = Rc::new(Worker::default());
    let answers = port.clone();
    port.listen(move |message| match message.header {
        ToCompute::Compute { ticket, fragment } => {
            // The engine is our own code: it sends digests of 32 bytes.
            let Ok(digest) = <[u8; 32]>::try_from(&fragment[..]) else {
                return;
            };
            let request = Request {
                ticket,
                fragment: FragmentId(digest),
                body: message.body,
            };
            worker.queue.borrow_mut().push_back(request);
            if !worker.running.replace(true) {
                spawn_local(run(worker.clone(), answers.clone()));
            }
        }
        ToCompute::Release { fragment } => {
            if let Ok(digest) = <[u8; 32]>::try_from(&fragment[..]) {
                worker.memory.borrow_mut().release(&FragmentId(digest));
            }
        }
    });
}

/// Works until there is nothing left to do.
async fn run(worker: Rc<Worker>, port: Port) {
    loop {
        let Some(request) = worker.queue.borrow_mut().pop_front() else {
            worker.running.set(false);
            return;
        };
        let ticket = request.ticket;
        let sent = match answer(&worker, &request).await {
            Ok(body) => port.send_with(&FromCompute::Computed { ticket }, &body),
            Err(Failure { fault, reason }) => port.send(&FromCompute::Failed {
                ticket,
                fault,
                reason,
            }),
        };
        if let Err(error) = sent {
            web_sys::console::error_1(&error.to_string().into());
        }
    }
}

async fn answer(worker: &Worker, request: &Request) -> Result<Vec<u8>, Failure> {
    let asked = compute::decode_request(&request.body)
        .map_err(|error| Failure::new(Fault::Request, error))?;
    if worker.memory.borrow_mut().find(&request.fragment).is_none() {
        let fragment = read(worker, &request.fragment).await?;
        worker.memory.borrow_mut().keep(request.fragment, fragment);
    }
    let mut memory = worker.memory.borrow_mut();
    // Was kept a moment ago, and there is room for at least one.
    let fragment = memory
        .find(&request.fragment)
        .ok_or_else(|| Failure::new(Fault::Lost, "released meanwhile"))?;
    let answer =
        compute::answer(fragment, &asked).map_err(|error| Failure::new(Fault::Request, error))?;
    Ok(compute::encode_response(&answer))
}

/// Reads a fragment from the browser's storage; what is there need not be what was stored.
async fn read(worker: &Worker, id: &FragmentId) -> Result<Fragment<Vec<u8>>, Failure> {
    let storage = |error| Failure::new(Fault::Storage, error);
    let known = worker.store.borrow().clone();
    let store = match known {
        Some(store) => store,
        None => Rc::new(Store::open().await.map_err(storage)?),
    };
    worker.store.replace(Some(store.clone()));
    let bytes = store.fragment(&id.to_string()).await.map_err(storage)?;
    let bytes = bytes.ok_or_else(|| Failure::new(Fault::Lost, "not stored"))?;
    Fragment::open_verified(bytes, id).map_err(|error| Failure::new(Fault::Lost, error))
}
