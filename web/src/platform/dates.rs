//! Dates as people of a language write them.

use js_sys::{Array, Date, Intl, Object, Reflect};
use wasm_bindgen::JsValue;

/// Day and time of a number of milliseconds since 1970, where the device is.
pub(crate) fn short(language: &str, milliseconds: f64) -> String {
    let date = Date::new(&milliseconds.into());
    format(
        language,
        &[("dateStyle", "medium"), ("timeStyle", "short")],
        &date,
    )
}

/// A day such as `2026-11-30`.
pub(crate) fn day(language: &str, day: &str) -> String {
    // Days without a time are taken for those of Greenwich.
    let date = Date::new(&day.into());
    format(
        language,
        &[("dateStyle", "medium"), ("timeZone", "UTC")],
        &date,
    )
}

fn format(language: &str, settings: &[(&str, &str)], date: &Date) -> String {
    let options = Object::new();
    for (name, value) in settings {
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&options, &(*name).into(), &(*value).into());
    }
    let format = Intl::DateTimeFormat::new(&Array::of1(&language.into()), &options).format();
    let words = format.call1(&JsValue::UNDEFINED, date).ok();
    words
        .and_then(|words| words.as_string())
        .unwrap_or_default()
}
