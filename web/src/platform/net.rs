//! The address of the page and files beside it.

use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{RequestCache, RequestInit, Response, UrlSearchParams};

use super::{document, history, window};

/// The URL fragment of the page, with its `#`.
pub(crate) fn fragment() -> String {
    window().location().hash().unwrap_or_default()
}

/// The value of a query parameter.
pub(crate) fn query(name: &str) -> Option<String> {
    let search = window().location().search().ok()?;
    UrlSearchParams::new_with_str(&search).ok()?.get(name)
}

/// Takes the query parameters out of the address, so that a reload does not heed them again.
pub(crate) fn forget_query() {
    let address = page() + &fragment();
    if let Ok(history) = window().history() {
        // Browsers refuse hundreds of changes a minute; then the parameters stay.
        let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&address));
    }
}

/// Goes to another address.
pub(crate) fn go(address: &str) {
    let _ = window().location().set_href(address);
}

/// The page's address without query and fragment.
pub(crate) fn page() -> String {
    document().base_uri().ok().flatten().unwrap_or_default()
}

/// Whether only this device reaches the page's address.
pub(crate) fn is_loopback() -> bool {
    window()
        .location()
        .hostname()
        .is_ok_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
}

/// Fetches a small text file beside the page, never from a cache.
pub(crate) async fn text(path: &str) -> Option<String> {
    let options = RequestInit::new();
    options.set_cache(RequestCache::NoStore);
    let response: Response = JsFuture::from(window().fetch_with_str_and_init(path, &options))
        .await
        .ok()?
        .dyn_into()
        .ok()?;
    if !response.ok() {
        return None;
    }
    JsFuture::from(response.text().ok()?)
        .await
        .ok()?
        .as_string()
}

/// Calls back whenever the browser goes online or offline, and once now.
pub(crate) fn on_line_change(heard: impl Fn(bool) + Clone + 'static) {
    heard(window().navigator().on_line());
    for (event, online) in [("online", true), ("offline", false)] {
        let heard = heard.clone();
        history::listen(event, move |_| heard(online));
    }
}
