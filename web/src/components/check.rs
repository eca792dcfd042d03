//! Something that is wanted or not.

use leptos::prelude::*;

/// A box with its label, and a hint below it if there is one. Its id is its name for tests, too.
#[component]
pub(crate) fn Check(
    id: &'static str,
    label: &'static str,
    #[prop(optional)] hint: Option<&'static str>,
    #[prop(into)] checked: Signal<bool>,
    change: impl Fn(bool) + 'static,
) -> impl IntoView {
    let hint_id = format!("{id}-hint");
    view! {
        <div class="check">
            <input id=id type="checkbox" data-testid=id aria-describedby=hint.map(|_| hint_id.clone())
                prop:checked=move || checked.get()
                on:change:target=move |event| change(event.target().checked())/>
            <label for=id>{label}</label>
        </div>
        {hint.map(|hint| view! { <p id=hint_id.clone() class="quiet">{hint}</p> })}
    }
}
