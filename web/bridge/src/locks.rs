//! Web Locks: what one tab of this browser has and the others must not take.
//!
//! The browser itself releases the locks of a tab that is closed or crashes. Pages that are neither HTTPS nor local
//! have no locks; then nothing is known of other tabs.

use std::{cell::RefCell, rc::Rc};

use futures_channel::oneshot;
use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// A lock, held until it is dropped.
#[derive(Debug)]
pub struct Lock(Option<Function>);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            // Resolving a promise does not fail.
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }
}

/// Takes a lock if nobody has it. Without Web Locks everybody gets every lock.
pub async fn claim(name: &str) -> Option<Lock> {
    let Some(locks) = manager() else {
        return Some(Lock(None));
    };
    let (sender, answer) = oneshot::channel();
    let sender = Rc::new(RefCell::new(Some(sender)));
    let reply = {
        let sender = sender.clone();
        move |lock: Option<Lock>| {
            if let Some(sender) = sender.borrow_mut().take() {
                // Whoever waited may have given up; then the lock is released with the message.
                let _ = sender.send(lock);
            }
        }
    };
    let granted = Closure::once_into_js({
        let reply = reply.clone();
        move |lock: JsValue| -> JsValue {
            if lock.is_null() {
                reply(None);
                return JsValue::UNDEFINED;
            }
            // The lock is held until the promise given back is resolved.
            let mut release = None;
            let held = Promise::new(&mut |resolve, _| release = Some(resolve));
            reply(Some(Lock(release)));
            held.into()
        }
    });
    let options = Object::new();
    // Setting a property of a fresh plain object cannot fail.
    let _ = Reflect::set(&options, &"ifAvailable".into(), &JsValue::TRUE);
    let requested = method(&locks, "request")
        .and_then(|request| request.call3(&locks, &name.into(), &options, &granted))
        .map(Promise::from);
    match requested {
        Ok(promise) => spawn_local(async move {
            if JsFuture::from(promise).await.is_err() {
                reply(Some(Lock(None)));
            }
        }),
        Err(_) => reply(Some(Lock(None))),
    }
    answer.await.unwrap_or_default()
}

/// The names of all locks that are held, by this tab and others.
pub async fn held() -> Vec<String> {
    names().await.unwrap_or_default()
}

async fn names() -> Result<Vec<String>, JsValue> {
    let Some(locks) = manager() else {
        return Ok(Vec::new());
    };
    let snapshot = JsFuture::from(Promise::from(method(&locks, "query")?.call0(&locks)?)).await?;
    let held: Array = Reflect::get(&snapshot, &"held".into())?.dyn_into()?;
    let name = |lock: JsValue| Reflect::get(&lock, &"name".into()).ok()?.as_string();
    Ok(held.iter().filter_map(name).collect())
}

fn manager() -> Option<JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into()).ok()?;
    let locks = Reflect::get(&navigator, &"locks".into()).ok()?;
    locks.is_object().then_some(locks)
}

fn method(object: &JsValue, name: &str) -> Result<Function, JsValue> {
    Reflect::get(object, &name.into())?.dyn_into()
}
