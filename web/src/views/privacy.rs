//! What may be claimed about privacy, and what may not.

use leptos::prelude::*;

use crate::state::ui;

#[component]
pub(crate) fn Privacy() -> impl IntoView {
    let items = ui().t().privacy.map(|item| view! { <li>{item}</li> });
    view! { <ul class="plain" data-testid="privacy">{items.into_iter().collect_view()}</ul> }
}
