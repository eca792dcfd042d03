//! How much the browser stores, and for how long.

use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{StorageEstimate, StorageManager};

use super::window;

/// What the browser grants this origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quota {
    pub(crate) used: u64,
    pub(crate) granted: u64,
    /// Nothing is deleted without the user.
    pub(crate) persisted: bool,
}

impl Quota {
    pub(crate) fn free(self) -> u64 {
        self.granted.saturating_sub(self.used)
    }
}

/// Asks the browser; `None` where it does not tell (pages without HTTPS, old browsers).
pub(crate) async fn estimate() -> Option<Quota> {
    let storage = manager()?;
    let estimate: StorageEstimate = JsFuture::from(storage.estimate().ok()?)
        .await
        .ok()?
        .unchecked_into();
    let persisted = match storage.persisted() {
        Ok(promise) => JsFuture::from(promise)
            .await
            .is_ok_and(|value| value.is_truthy()),
        Err(_) => false,
    };
    Some(Quota {
        used: estimate.get_usage()? as u64,
        granted: estimate.get_quota()? as u64,
        persisted,
    })
}

/// Asks that nothing be deleted without the user. Browsers want a gesture for it: call it from a click.
pub(crate) fn persist() -> impl Future<Output = bool> {
    let promise = manager().and_then(|storage| storage.persist().ok());
    async move {
        match promise {
            Some(promise) => JsFuture::from(promise)
                .await
                .is_ok_and(|value| value.is_truthy()),
            None => false,
        }
    }
}

fn manager() -> Option<StorageManager> {
    // Absent on pages that are neither HTTPS nor local.
    js_sys::Reflect::get(&window().navigator(), &"storage".into())
        .ok()?
        .dyn_into()
        .ok()
}
