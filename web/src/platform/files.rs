//! Files that the user is given.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use super::document;

/// Has the browser save a text, where it saves what is downloaded.
pub(crate) fn save(name: &str, kind: &str, text: &str) {
    if let Err(error) = try_save(name, kind, text) {
        leptos::logging::error!("{error:?}");
    }
}

fn try_save(name: &str, kind: &str, text: &str) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    let blob = Blob::new_with_str_sequence_and_options(&Array::of1(&text.into()), &options)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let link: HtmlAnchorElement = document().create_element("a")?.dyn_into()?;
    link.set_href(&url);
    link.set_download(name);
    link.click();
    // The browser has taken what it needs.
    Url::revoke_object_url(&url)
}

/// A title as the name of a file, on every system.
pub(crate) fn name(title: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
    let words: String = title.chars().map(plain).take(60).collect();
    let words: Vec<_> = words.split('-').filter(|word| !word.is_empty()).collect();
    match words.is_empty() {
        true => "conversation".into(),
        false => words.join("-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_what_every_system_takes() {
        assert_eq!(
            name("Qu’est-ce : un \"fragment\" ?"),
            "Qu-est-ce-un-fragment"
        );
        assert_eq!(name("../.."), "conversation");
    }
}
