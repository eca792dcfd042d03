//! Time. A worker's timers go on at full speed when the tab is hidden, which those of the page do not.

use std::{
    cell::{Cell, OnceCell},
    time::Duration,
};

use js_sys::{Array, Function, Promise};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, WorkerGlobalScope};

use super::Engine;

fn scope() -> Option<WorkerGlobalScope> {
    js_sys::global()
        .dyn_into::<DedicatedWorkerGlobalScope>()
        .ok()
        .map(Into::into)
}

/// Time since the worker was started; never goes back.
pub(crate) fn now() -> Duration {
    let milliseconds = scope()
        .and_then(|scope| scope.performance())
        .map_or(0.0, |clock| clock.now());
    Duration::from_secs_f64(milliseconds / 1e3)
}

/// The engine's one timer.
#[derive(Default)]
pub(crate) struct Timer {
    /// The browser's handle of the time-out under way, and when it is due.
    under_way: Cell<Option<(i32, Duration)>>,
    /// What the browser calls; made once.
    wake: OnceCell<Function>,
}

impl Timer {
    /// Wakes the engine at `due` at the latest. It may be woken before, which is harmless.
    pub(crate) fn set(&self, due: Option<Duration>, engine: &Engine) {
        let (Some(due), Some(scope)) = (due, scope()) else {
            return;
        };
        if let Some((handle, planned)) = self.under_way.get() {
            if planned <= due {
                return;
            }
            scope.clear_timeout_with_handle(handle);
        }
        let wake = self.wake.get_or_init(|| {
            let engine = engine.clone();
            let wake = Closure::<dyn FnMut()>::new(move || {
                engine.0.timer.under_way.set(None);
                engine.wake();
            });
            wake.into_js_value().unchecked_into()
        });
        // Rounded up, or the timer would fire a moment too early, again and again.
        let wait = due.saturating_sub(now()).as_secs_f64() * 1e3;
        let wait = wait.ceil().min(f64::from(i32::MAX)) as i32;
        let handle = scope.set_timeout_with_callback_and_timeout_and_arguments_0(wake, wait);
        self.under_way.set(handle.ok().map(|handle| (handle, due)));
    }
}

/// Waits.
pub(crate) async fn sleep(time: Duration) {
    // Never rejected.
    let _ = JsFuture::from(after(time)).await;
}

/// What a promise brings, which is not `undefined`; `None` when it takes too long.
pub(crate) async fn within(time: Duration, promise: &Promise) -> Result<Option<JsValue>, JsValue> {
    let first = Promise::race(&Array::of2(promise, &after(time)));
    let brought = JsFuture::from(first).await?;
    Ok((!brought.is_undefined()).then_some(brought))
}

fn after(time: Duration) -> Promise {
    Promise::new(&mut |resolve, _| {
        if let Some(scope) = scope() {
            let wait = time.as_millis() as i32;
            // Fails only for a function that is none.
            let _ = scope.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, wait);
        }
    })
}
