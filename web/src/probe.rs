//! `window.__iap2p`: what the application knows, for end-to-end tests and for the curious. Only ever written here.

use js_sys::{Object, Reflect};
use serde::Serialize;
use wasm_bindgen::JsValue;
use web_bridge::status::{Ending, Status};

use crate::platform::window;

const NAME: &str = "__iap2p";

/// The latest status, as `__iap2p.status`.
pub(crate) fn status(status: &Status) {
    show("status", status);
}

/// The latest finished answer with its tokens, as `__iap2p.answer`.
pub(crate) fn answer(ending: &Ending) {
    show("answer", ending);
}

fn show(name: &str, value: &impl Serialize) {
    let Ok(value) = value.serialize(&serde_wasm_bindgen::Serializer::json_compatible()) else {
        return;
    };
    let window = window();
    let known = Reflect::get(&window, &NAME.into()).unwrap_or(JsValue::UNDEFINED);
    let all = if known.is_object() {
        known
    } else {
        Object::new().into()
    };
    // Setting a property of a plain object, or of the window, cannot fail.
    let _ = Reflect::set(&all, &name.into(), &value);
    let _ = Reflect::set(&window, &NAME.into(), &all);
}
