//! Dates as people of a language write them.

use js_sys::{Array, Date, Intl, Object, Reflect};

/// Day and time of a number of milliseconds since 1970, where the device is.
pub(crate) fn short(language: &str, milliseconds: f64) -> String {
    let options = Object::new();
    for (name, value) in [("dateStyle", "medium"), ("timeStyle", "short")] {
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&options, &name.into(), &value.into());
    }
    let format = Intl::DateTimeFormat::new(&Array::of1(&language.into()), &options).format();
    let date = Date::new(&milliseconds.into());
    let words = format.call1(&wasm_bindgen::JsValue::UNDEFINED, &date).ok();
    words
        .and_then(|words| words.as_string())
        .unwrap_or_default()
}
