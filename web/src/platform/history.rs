//! The browser's back button.

use wasm_bindgen::{JsCast, JsValue, prelude::Closure};

use super::window;

/// Notes a step; the address stays as it is.
pub(crate) fn push(state: &str) {
    if let Ok(history) = window().history() {
        // Browsers refuse hundreds of steps a minute; then the back button skips some.
        let _ = history.push_state_with_url(&state.into(), "", None);
    }
}

/// Calls back with the state of the step the user went back to; `None` is the step the page began with.
pub(crate) fn on_back(mut heard: impl FnMut(Option<String>) + 'static) {
    listen("popstate", move |event| {
        let state = js_sys::Reflect::get(&event, &"state".into()).ok();
        heard(state.and_then(|state| state.as_string()));
    });
}

/// Loads the page anew when another invite link is pasted over its address.
pub(crate) fn reload_on_new_fragment() {
    listen("hashchange", |_| {
        let _ = window().location().reload();
    });
}

/// Loads the page anew when the browser takes it out of its cache of pages left: its connections are gone.
pub(crate) fn reload_when_revived() {
    listen("pageshow", |event| {
        let kept = js_sys::Reflect::get(&event, &"persisted".into());
        if kept.is_ok_and(|kept| kept.is_truthy()) {
            let _ = window().location().reload();
        }
    });
}

/// Hears an event of the window as long as the page lives.
pub(crate) fn listen(event: &str, heard: impl FnMut(JsValue) + 'static) {
    let listener = Closure::<dyn FnMut(JsValue)>::new(heard);
    // Listening to an event that exists cannot fail.
    let _ = window().add_event_listener_with_callback(event, listener.as_ref().unchecked_ref());
    listener.forget();
}
