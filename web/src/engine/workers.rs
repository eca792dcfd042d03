//! Starting the workers and connecting them with each other.

use std::{cell::RefCell, rc::Rc};

use futures_channel::oneshot;
use js_sys::Function;
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use web_bridge::{
    messages::{Ready, Serve, ToEngine},
    port::Port,
};
use web_sys::{MessageChannel, Worker, WorkerOptions, WorkerType};

use crate::platform::window;

// Not named by their content, but the service worker versions them.
const ENGINE: &str = "web-engine_loader.js";
const COMPUTE: &str = "web-compute_loader.js";
/// The same built with instructions that not every browser has.
const COMPUTE_RELAXED: &str = "web-compute-relaxed_loader.js";

/// Compute workers at most: each has its own copy of the program.
const MOST: u32 = 16;

/// A module whose only function uses an instruction of relaxed SIMD, `i8x16.relaxed_swizzle`.
const RELAXED_PROBE: [u8; 36] = [
    0, 97, 115, 109, 1, 0, 0, 0, // magic and version
    1, 5, 1, 96, 0, 1, 123, // types: () -> v128
    3, 2, 1, 0, // functions: one of type 0
    10, 15, 1, 13, 0, // code: one body without locals
    65, 1, 253, 15, // i8x16.splat (i32.const 1)
    65, 2, 253, 15, // i8x16.splat (i32.const 2)
    253, 128, 2, // i8x16.relaxed_swizzle
    11,
];

/// How many compute workers this device can keep busy: one for each core.
pub(crate) fn cores() -> u32 {
    let cores = window().navigator().hardware_concurrency();
    (cores as u32).clamp(1, MOST)
}

/// The engine and the compute workers it has.
pub(super) struct Workers<F> {
    engine: Port,
    count: u32,
    crashed: F,
}

impl<F: Fn(String) + Clone + 'static> Workers<F> {
    /// Starts the engine. `crashed` hears when a worker ends later.
    pub(super) async fn start(crashed: F) -> Result<Self, String> {
        Ok(Self {
            engine: spawn("engine", ENGINE, crashed.clone()).await?,
            count: 0,
            crashed,
        })
    }

    pub(super) fn engine(&self) -> Port {
        self.engine.clone()
    }

    /// Has so many compute workers work: starts those that are missing, and lets the others rest.
    pub(super) async fn employ(&mut self, wanted: u32) -> Result<(), String> {
        let wanted = wanted.clamp(1, MOST);
        while self.count < wanted {
            let worker = spawn("compute", compute_script(), self.crashed.clone()).await?;
            let channel = MessageChannel::new().map_err(describe)?;
            let sent = worker.send_ports(&Serve, &[channel.port1()]);
            sent.map_err(|error| error.to_string())?;
            let sent = self
                .engine
                .send_ports(&ToEngine::Worker, &[channel.port2()]);
            sent.map_err(|error| error.to_string())?;
            self.count += 1;
        }
        let sent = self.engine.send(&ToEngine::Workers(wanted));
        sent.map_err(|error| error.to_string())
    }
}

/// The quickest build of the compute worker that this browser can run. All of them compute the same bits.
fn compute_script() -> &'static str {
    match has_relaxed_simd() {
        true => COMPUTE_RELAXED,
        false => COMPUTE,
    }
}

/// Whether this browser has the quicker instructions.
pub(crate) fn has_relaxed_simd() -> bool {
    let probe = js_sys::Uint8Array::from(&RELAXED_PROBE[..]);
    js_sys::WebAssembly::validate(&probe) == Ok(true)
}

/// Starts a worker and waits until it can hear.
async fn spawn(
    name: &str,
    script: &'static str,
    crashed: impl Fn(String) + 'static,
) -> Result<Port, String> {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    options.set_name(name);
    let worker = Worker::new_with_options(script, &options).map_err(describe)?;
    let port = Port::Worker(worker.clone());
    let (sender, started) = oneshot::channel();
    let sender = Rc::new(RefCell::new(Some(sender)));
    let failed = {
        let sender = sender.clone();
        // The script cannot be loaded, or has come upon an error it cannot go on from.
        Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| {
            let message = js_sys::Reflect::get(&event, &"message".into()).ok();
            let message = message.and_then(|message| message.as_string());
            let message = message.unwrap_or_else(|| script.into());
            let waiting = sender.borrow_mut().take();
            match waiting {
                // Whoever waits for the worker waits as long as the page lives.
                Some(sender) => _ = sender.send(Err(message)),
                None => crashed(message),
            }
        })
    };
    worker.set_onerror(Some(failed.as_ref().unchecked_ref::<Function>()));
    failed.forget();
    port.listen(move |message| {
        let Ready = message.header;
        if let Some(sender) = sender.borrow_mut().take() {
            let _ = sender.send(Ok(()));
        }
    });
    started
        .await
        .unwrap_or_else(|_| Err("the worker went away".into()))?;
    Ok(port)
}

fn describe(error: JsValue) -> String {
    let message = js_sys::Reflect::get(&error, &"message".into()).ok();
    let message = message.and_then(|message| message.as_string());
    message.unwrap_or_else(|| format!("{error:?}"))
}
