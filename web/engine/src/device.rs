//! What the device has.

use js_sys::Reflect;
use wasm_bindgen::JsCast;
use web_sys::WorkerGlobalScope;

/// Its memory in bytes, roughly, as browsers say it; 0 where they do not.
pub(crate) fn memory() -> u64 {
    let scope: Result<WorkerGlobalScope, _> = js_sys::global().dyn_into();
    // Not among what web-sys knows as stable, and not in every browser.
    let said = scope.map(|scope| Reflect::get(&scope.navigator(), &"deviceMemory".into()));
    let gibibytes = said.ok().and_then(Result::ok).and_then(|it| it.as_f64());
    (gibibytes.unwrap_or_default() * f64::from(1 << 30)) as u64
}
