//! The graphics processor of this device, among what is lent.

use leptos::prelude::*;
use web_bridge::{
    messages::{ToEngine, UseGraphics},
    status::GraphicsState,
};

use crate::{i18n::Text, state::ui};

/// Whether it may compute, and whether it does. Nothing where there is none.
#[component]
pub(crate) fn GraphicsField() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    let graphics = Memo::new(move |_| ui.status.with(|status| status.graphics.clone()));
    let allowed = move || {
        ui.settings
            .with(|settings| settings.graphics != UseGraphics::Never)
    };
    let allow = move |allowed| {
        let wish = match allowed {
            true => UseGraphics::WhereQuicker,
            false => UseGraphics::Never,
        };
        ui.set(|settings| settings.graphics = wish);
        ui.tell(&ToEngine::Graphics(wish));
    };
    let state = move || {
        graphics.with(|graphics| {
            let graphics = graphics.as_ref()?;
            let found = (t.graphics_found)(&graphics.name);
            Some(format!("{found} {}", describe(t, &graphics.state)))
        })
    };
    view! {
        <Show when=move || graphics.with(Option::is_some)>
            <div class="field">
                <div class="check">
                    <input id="graphics" type="checkbox" data-testid="graphics" aria-describedby="graphics-hint graphics-state"
                        prop:checked=allowed on:change:target=move |event| allow(event.target().checked())/>
                    <label for="graphics">{t.graphics}</label>
                </div>
                <p id="graphics-hint" class="quiet">{t.graphics_hint}</p>
                <p id="graphics-state" class="quiet" role="status" data-testid="graphics-state">{state}</p>
            </div>
        </Show>
    }
}

fn describe(t: &Text, state: &GraphicsState) -> String {
    match state {
        GraphicsState::Off => t.graphics_off.into(),
        GraphicsState::Idle => t.graphics_idle.into(),
        GraphicsState::Compared => t.graphics_compared.into(),
        GraphicsState::InUse => t.graphics_in_use.into(),
        GraphicsState::Slower => t.graphics_slower.into(),
        GraphicsState::Failed(reason) => (t.graphics_failed)(reason),
    }
}
