//! Small values kept by the browser. Where it forbids that, nothing is kept and nothing fails.

use web_sys::Storage;

use super::window;

/// Values of one scope.
pub(crate) struct Values(Option<Storage>);

/// Shared by all tabs, kept until the user clears it.
pub(crate) fn browser() -> Values {
    Values(window().local_storage().ok().flatten())
}

/// This tab's own, survives a reload.
pub(crate) fn tab() -> Values {
    Values(window().session_storage().ok().flatten())
}

impl Values {
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.0.as_ref()?.get_item(key).ok()?
    }

    pub(crate) fn set(&self, key: &str, value: &str) {
        if let Some(storage) = &self.0 {
            // Full or forbidden: the value lasts as long as the page.
            let _ = storage.set_item(key, value);
        }
    }

    pub(crate) fn remove(&self, key: &str) {
        if let Some(storage) = &self.0 {
            let _ = storage.remove_item(key);
        }
    }
}
