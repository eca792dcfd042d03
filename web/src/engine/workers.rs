//! Starting the workers and connecting them with each other.

use std::{cell::RefCell, rc::Rc};

use futures_channel::oneshot;
use js_sys::Function;
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use web_bridge::{
    messages::{Ready, Role},
    port::Port,
};
use web_sys::{MessageChannel, Worker, WorkerOptions, WorkerType};

use crate::platform::window;

/// Written by Trunk; not named by its content, but the service worker versions it.
const SCRIPT: &str = "web-worker_loader.js";
/// Compute workers at most: each has its own copy of the program and of its fragments.
const MOST: usize = 4;

/// Starts the engine with its compute workers. `crashed` hears when one of them ends later.
pub(super) async fn start(crashed: impl Fn(String) + Clone + 'static) -> Result<Port, String> {
    // Half of the cores are left to the engine, the page and the rest of the device.
    let cores = window().navigator().hardware_concurrency() as usize;
    let count = (cores / 2).clamp(1, MOST);
    let engine = spawn("engine", crashed.clone()).await?;
    let mut ports = Vec::new();
    for _ in 0..count {
        let worker = spawn("compute", crashed.clone()).await?;
        let channel = MessageChannel::new().map_err(describe)?;
        let role = worker.send_ports(&Role::Compute, &[channel.port1()]);
        role.map_err(|error| error.to_string())?;
        ports.push(channel.port2());
    }
    let role = engine.send_ports(&Role::Engine, &ports);
    role.map_err(|error| error.to_string())?;
    Ok(engine)
}

/// Starts a worker and waits until it can hear.
async fn spawn(name: &str, crashed: impl Fn(String) + 'static) -> Result<Port, String> {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    options.set_name(name);
    let worker = Worker::new_with_options(SCRIPT, &options).map_err(describe)?;
    let port = Port::Worker(worker.clone());
    let (sender, started) = oneshot::channel();
    let sender = Rc::new(RefCell::new(Some(sender)));
    let failed = {
        let sender = sender.clone();
        // The script cannot be loaded, or has come upon an error it cannot go on from.
        Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| {
            let message = js_sys::Reflect::get(&event, &"message".into()).ok();
            let message = message.and_then(|message| message.as_string());
            let message = message.unwrap_or_else(|| SCRIPT.into());
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
        let Ready { simd } = message.header;
        if let Some(sender) = sender.borrow_mut().take() {
            let built = simd.then_some(()).ok_or("built without SIMD".to_owned());
            let _ = sender.send(built);
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
