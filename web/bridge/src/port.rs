//! One end of a typed conversation between the page and its workers.
//!
//! A message is a header (any serde type) and at most one body of bytes. The body is copied once, out of the
//! sender's wasm memory, which cannot be handed over; from there its buffer is transferred, never cloned.

use js_sys::{Array, Function, Object, Reflect, Uint8Array};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent, MessagePort, Worker};

const HEADER: &str = "header";
const BODY: &str = "body";
const PORTS: &str = "ports";

/// A message that could not be sent.
#[derive(Debug, thiserror::Error)]
#[error("a message could not be sent: {0}")]
pub struct SendError(String);

/// A message as it arrives.
pub struct Incoming<T> {
    /// What it says.
    pub header: T,
    /// The bytes beside it; empty where it has none.
    pub body: Vec<u8>,
    /// The ports that came along.
    pub ports: Vec<MessagePort>,
}

/// Whatever has a `postMessage`.
#[derive(Debug, Clone)]
pub enum Port {
    /// The page's end of a worker.
    Worker(Worker),
    /// Either end of a channel.
    Channel(MessagePort),
    /// A worker's end, towards its creator.
    Scope(DedicatedWorkerGlobalScope),
}

impl Port {
    /// The current worker's own end, or `None` outside of a worker.
    pub fn scope() -> Option<Self> {
        js_sys::global().dyn_into().ok().map(Self::Scope)
    }

    /// Sends a header alone.
    pub fn send(&self, header: &impl Serialize) -> Result<(), SendError> {
        self.post(header, None, &[])
    }

    /// Sends a header with a body.
    pub fn send_with(&self, header: &impl Serialize, body: &[u8]) -> Result<(), SendError> {
        self.post(header, Some(body), &[])
    }

    /// Sends a header and hands over ports.
    pub fn send_ports(
        &self,
        header: &impl Serialize,
        ports: &[MessagePort],
    ) -> Result<(), SendError> {
        self.post(header, None, ports)
    }

    fn post(
        &self,
        header: &impl Serialize,
        body: Option<&[u8]>,
        ports: &[MessagePort],
    ) -> Result<(), SendError> {
        let header =
            serde_wasm_bindgen::to_value(header).map_err(|error| SendError(error.to_string()))?;
        let message = Object::new();
        let transfer = Array::new();
        set(&message, HEADER, &header);
        if let Some(body) = body {
            let bytes = Uint8Array::from(body);
            set(&message, BODY, &bytes);
            transfer.push(&bytes.buffer());
        }
        if !ports.is_empty() {
            let list: Array = ports.iter().collect();
            set(&message, PORTS, &list);
            ports.iter().for_each(|port| {
                transfer.push(port);
            });
        }
        match self {
            Self::Worker(worker) => worker.post_message_with_transfer(&message, &transfer),
            Self::Channel(port) => port.post_message_with_transferable(&message, &transfer),
            Self::Scope(scope) => scope.post_message_with_transfer(&message, &transfer),
        }
        .map_err(|error| SendError(format!("{error:?}")))
    }

    /// Hears everything that arrives from now on; what is no `T` is dropped with a line in the console.
    ///
    /// The listener lives as long as the port: a page and its workers end together.
    pub fn listen<T: DeserializeOwned + 'static>(
        &self,
        mut heard: impl FnMut(Incoming<T>) + 'static,
    ) {
        let listener = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            match decode(&event.data()) {
                Ok(message) => heard(message),
                Err(error) => web_sys::console::error_2(&"unreadable message".into(), &error),
            }
        });
        let function: &Function = listener.as_ref().unchecked_ref();
        match self {
            Self::Worker(worker) => worker.set_onmessage(Some(function)),
            // Setting `onmessage` also starts a port.
            Self::Channel(port) => port.set_onmessage(Some(function)),
            Self::Scope(scope) => scope.set_onmessage(Some(function)),
        }
        listener.forget();
    }
}

fn set(message: &Object, key: &str, value: &JsValue) {
    // Setting a property of a fresh plain object cannot fail.
    let _ = Reflect::set(message, &key.into(), value);
}

fn decode<T: DeserializeOwned>(data: &JsValue) -> Result<Incoming<T>, JsValue> {
    let header = serde_wasm_bindgen::from_value(Reflect::get(data, &HEADER.into())?)?;
    let body = Reflect::get(data, &BODY.into())?
        .dyn_into::<Uint8Array>()
        .map_or_else(|_| Vec::new(), |bytes| bytes.to_vec());
    let ports = Reflect::get(data, &PORTS.into())?
        .dyn_into::<Array>()
        .map_or_else(
            |_| Vec::new(),
            |list| {
                list.iter()
                    .filter_map(|port| port.dyn_into().ok())
                    .collect()
            },
        );
    Ok(Incoming {
        header,
        body,
        ports,
    })
}
