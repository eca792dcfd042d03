//! Reads fragments from IndexedDB itself, and answers requests about them.
//!
//! It answers one request after the other. Fragments stay in memory once read.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use fragments::{Fragment, FragmentId};
use inference::compute::{self, Arithmetic};
use wasm_bindgen_futures::spawn_local;
use web_bridge::{
    messages::{Fault, FromCompute, ToCompute, UseGraphics},
    port::{Port, SendError},
    status,
    store::Store,
};

use super::{
    graphics::Graphics,
    memory::Limits,
    products::{Memory, Products},
};

/// A worker's memory ends at 4 GiB, and graphics processors of phones share theirs with everything else.
const LIMITS: Limits = Limits {
    fragments: 1 << 30,
    matrices: 512 << 20,
};

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

struct Worker {
    queue: RefCell<VecDeque<Request>>,
    memory: RefCell<Memory>,
    store: RefCell<Option<Rc<Store>>>,
    running: Cell<bool>,
    graphics: Graphics,
    /// What the engine was told about it.
    told: RefCell<Option<status::Graphics>>,
}

/// Answers the engine at the other end of `port` from now on.
pub(crate) fn start(port: Port) {
    let worker = Rc::new(Worker {
        queue: RefCell::default(),
        memory: RefCell::new(Memory::new(LIMITS)),
        store: RefCell::default(),
        running: Cell::default(),
        graphics: Graphics::default(),
        told: RefCell::default(),
    });
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
        ToCompute::Graphics(wish) => {
            let (worker, port) = (worker.clone(), answers.clone());
            spawn_local(async move {
                worker.graphics.wish(wish).await;
                if wish == UseGraphics::Never {
                    worker.memory.borrow_mut().forget_matrices();
                }
                tell_graphics(&worker, &port);
            });
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
        log(sent);
        tell_graphics(&worker, &port);
    }
}

/// Says how the graphics processor does, if that is new.
fn tell_graphics(worker: &Worker, port: &Port) {
    let status = worker.graphics.status();
    if let Some(status) = status
        && worker.told.borrow().as_ref() != Some(&status)
    {
        if matches!(status.state, status::GraphicsState::Failed(_)) {
            worker.memory.borrow_mut().forget_matrices();
        }
        log(port.send(&FromCompute::Graphics(status.clone())));
        worker.told.replace(Some(status));
    }
}

fn log(sent: Result<(), SendError>) {
    if let Err(error) = sent {
        web_sys::console::error_1(&error.to_string().into());
    }
}

async fn answer(worker: &Worker, request: &Request) -> Result<Vec<u8>, Failure> {
    let asked = compute::decode_request(&request.body)
        .map_err(|error| Failure::new(Fault::Request, error))?;
    let known = worker.memory.borrow_mut().fragment(&request.fragment);
    let fragment = match known {
        Some(fragment) => fragment,
        None => {
            let fragment = read(worker, &request.fragment).await?;
            let bytes = fragment.bytes().len();
            let mut memory = worker.memory.borrow_mut();
            memory.keep(request.fragment, bytes, fragment)
        }
    };
    let gpu = match asked.arithmetic {
        Arithmetic::Approximate => worker.graphics.device().await,
        Arithmetic::Quantised | Arithmetic::Reference => None,
    };
    let answer = match gpu {
        Some(gpu) => {
            let products = Products {
                graphics: &worker.graphics,
                gpu,
                memory: &worker.memory,
                fragment: request.fragment,
            };
            compute::answer_by(&products, &fragment, &asked).await
        }
        None => compute::answer(&fragment, &asked),
    };
    let answer = answer.map_err(|error| Failure::new(Fault::Request, error))?;
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
