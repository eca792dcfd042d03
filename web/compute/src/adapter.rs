//! What the browser says about the graphics processor before anything is asked of it.

use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// What it calls itself, which browsers keep short or to themselves; `None` where there is none.
pub(crate) async fn name() -> Option<String> {
    let found = adapter().await.ok()?;
    if !found.is_object() {
        return None;
    }
    let info = get(&found, "info").unwrap_or(JsValue::UNDEFINED);
    let word = |key| get(&info, key).ok().and_then(|word| word.as_string());
    let description = word("description").filter(|words| !words.is_empty());
    let parts = || {
        let parts = [word("vendor"), word("architecture")];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(" ").trim().to_owned()
    };
    Some(description.unwrap_or_else(parts))
}

async fn adapter() -> Result<JsValue, JsValue> {
    let gpu = get(&get(&js_sys::global(), "navigator")?, "gpu")?;
    let request: Function = get(&gpu, "requestAdapter")?.dyn_into()?;
    let options = Object::new();
    // As it will be opened. Setting a property of a fresh plain object cannot fail.
    let _ = Reflect::set(
        &options,
        &"powerPreference".into(),
        &"high-performance".into(),
    );
    JsFuture::from(Promise::resolve(&request.call1(&gpu, &options)?)).await
}

fn get(object: &JsValue, key: &str) -> Result<JsValue, JsValue> {
    Reflect::get(object, &key.into())
}
