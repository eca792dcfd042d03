//! What the browser offers, each facility in a few words. Nothing here knows what it is used for.

pub(crate) mod camera;
pub(crate) mod clipboard;
pub(crate) mod clock;
pub(crate) mod dates;
pub(crate) mod device;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod net;
pub(crate) mod quota;
pub(crate) mod shell;
pub(crate) mod storage;

/// The window of the page.
pub(crate) fn window() -> web_sys::Window {
    // This program runs on the main thread of a page and nowhere else.
    web_sys::window().expect("a page has a window")
}

/// The document of the page.
pub(crate) fn document() -> web_sys::Document {
    window().document().expect("a window has a document")
}

/// The user's languages, the preferred one first.
pub(crate) fn languages() -> Vec<String> {
    window()
        .navigator()
        .languages()
        .iter()
        .filter_map(|tag| tag.as_string())
        .collect()
}

/// Moves the keyboard to the element with this id.
pub(crate) fn focus(id: &str) {
    use wasm_bindgen::JsCast;
    if let Some(element) = document()
        .get_element_by_id(id)
        .and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok())
    {
        // An element that cannot take it keeps it where it was, which is all one can do.
        let _ = element.focus();
    }
}
