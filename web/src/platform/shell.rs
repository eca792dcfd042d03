//! The service worker: keeps the application for visits without a network, and brings new versions.

use std::cell::Cell;

use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ServiceWorkerContainer, ServiceWorkerRegistration, ServiceWorkerState};

use super::window;

const SCRIPT: &str = "service-worker.js";

/// Registers the service worker, and calls back when a newer version of the application waits.
/// The application works without one, so nothing here fails.
pub(crate) fn register(update_waits: impl Fn() + Clone + 'static) {
    let Some(container) = container() else { return };
    follow(&container);
    spawn_local(async move {
        let Ok(registration) = JsFuture::from(container.register(SCRIPT)).await else {
            return;
        };
        let registration: ServiceWorkerRegistration = registration.unchecked_into();
        if registration.waiting().is_some() && container.controller().is_some() {
            update_waits();
        }
        watch(&container, &registration, update_waits);
    });
}

/// Loads the page anew when another version takes over, whichever tab has agreed to it: the files of this one are gone then.
fn follow(container: &ServiceWorkerContainer) {
    let (source, had_one) = (
        container.clone(),
        Cell::new(container.controller().is_some()),
    );
    let changed = Closure::<dyn FnMut()>::new(move || {
        // The first one that there is takes over a page of its own version.
        if had_one.replace(source.controller().is_some()) {
            let _ = window().location().reload();
        }
    });
    container.set_oncontrollerchange(Some(changed.as_ref().unchecked_ref()));
    changed.forget();
}

fn watch(
    container: &ServiceWorkerContainer,
    registration: &ServiceWorkerRegistration,
    update_waits: impl Fn() + Clone + 'static,
) {
    let (container, source) = (container.clone(), registration.clone());
    let found = Closure::<dyn FnMut()>::new(move || {
        let Some(worker) = source.installing() else {
            return;
        };
        let (container, update_waits, observed) =
            (container.clone(), update_waits.clone(), worker.clone());
        let changed = Closure::<dyn FnMut()>::new(move || {
            // The first installation has no controller before it and is no update.
            if observed.state() == ServiceWorkerState::Installed && container.controller().is_some()
            {
                update_waits();
            }
        });
        worker.set_onstatechange(Some(changed.as_ref().unchecked_ref()));
        changed.forget();
    });
    registration.set_onupdatefound(Some(found.as_ref().unchecked_ref()));
    found.forget();
}

/// Lets the waiting version take over; all tabs are loaded anew with it.
pub(crate) fn update() {
    let Some(container) = container() else { return };
    spawn_local(async move {
        let Ok(registration) = JsFuture::from(container.get_registration()).await else {
            return;
        };
        if let Ok(registration) = registration.dyn_into::<ServiceWorkerRegistration>()
            && let Some(worker) = registration.waiting()
        {
            let _ = worker.post_message(&JsValue::from_str("activate"));
        }
    });
}

fn container() -> Option<ServiceWorkerContainer> {
    // Absent on pages that are neither HTTPS nor local, and in some private windows.
    js_sys::Reflect::get(&window().navigator(), &"serviceWorker".into())
        .ok()?
        .dyn_into()
        .ok()
}
