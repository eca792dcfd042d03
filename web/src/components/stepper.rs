//! Choosing a small number, by finger, mouse or keyboard.

use leptos::prelude::*;

use crate::state::ui;

/// A number between `min` and `max` with a button on each side.
#[component]
pub(crate) fn Stepper(
    id: &'static str,
    #[prop(into)] value: Signal<u32>,
    #[prop(into)] max: Signal<u32>,
    #[prop(default = 0)] min: u32,
    /// Name for tests.
    testid: &'static str,
    describedby: &'static str,
    change: impl Fn(u32) + Copy + 'static,
) -> impl IntoView {
    let t = ui().t();
    let set = move |wanted: u32| change(wanted.clamp(min, max.get_untracked().max(min)));
    view! {
        <div class="stepper">
            <button type="button" aria-label=t.lend_less aria-controls=id
                disabled=move || value.get() <= min
                on:click=move |_| set(value.get_untracked().saturating_sub(1))>"−"</button>
            <input id=id type="number" inputmode="numeric" min=min max=move || max.get()
                data-testid=testid aria-describedby=describedby
                prop:value=move || value.get().to_string()
                on:change:target=move |event| {
                    let input = event.target();
                    if let Ok(wanted) = input.value().parse() {
                        set(wanted);
                    }
                    // What cannot be had shows as what is.
                    input.set_value(&value.get_untracked().to_string());
                }/>
            <button type="button" aria-label=t.lend_more aria-controls=id
                disabled=move || max.get() <= value.get()
                on:click=move |_| set(value.get_untracked() + 1)>"+"</button>
        </div>
    }
}
