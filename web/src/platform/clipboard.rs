//! Handing a text to another application.

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::ShareData;

use super::{document, window};

/// Copies a text; says whether that worked.
pub(crate) async fn copy(text: &str) -> bool {
    let clipboard = js_sys::Reflect::get(&window().navigator(), &"clipboard".into()).ok();
    match clipboard.and_then(|value| value.dyn_into::<web_sys::Clipboard>().ok()) {
        Some(clipboard) => JsFuture::from(clipboard.write_text(text)).await.is_ok(),
        // Pages served over plain HTTP from another machine have no clipboard object, only the old command.
        None => copy_by_selection(text).unwrap_or(false),
    }
}

fn copy_by_selection(text: &str) -> Result<bool, JsValue> {
    let document = document();
    let area: web_sys::HtmlTextAreaElement = document.create_element("textarea")?.dyn_into()?;
    area.set_value(text);
    area.set_class_name("visually-hidden");
    let body = document.body().ok_or("no body")?;
    body.append_child(&area)?;
    area.select();
    let command: js_sys::Function =
        js_sys::Reflect::get(&document, &"execCommand".into())?.dyn_into()?;
    let copied = command.call1(&document, &"copy".into());
    area.remove();
    Ok(copied?.is_truthy())
}

/// Whether the device has a share menu.
pub(crate) fn can_share() -> bool {
    js_sys::Reflect::has(&window().navigator(), &"share".into()).unwrap_or(false)
}

/// Opens the device's share menu.
pub(crate) fn share(title: &str, text: &str, url: &str) {
    let data = ShareData::new();
    data.set_title(title);
    data.set_text(text);
    data.set_url(url);
    let promise = window().navigator().share_with_data(&data);
    // The user may change their mind, which rejects the promise: no error.
    wasm_bindgen_futures::spawn_local(async move {
        let _ = JsFuture::from(promise).await;
    });
}
