//! Figures in rows and columns.

use leptos::prelude::*;

/// The head of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    Words(&'static str),
    Numbers(&'static str),
}

/// A table that can be moved sideways where it is wider than its place, by keyboard, too. Its children are the rows.
#[component]
pub(crate) fn Table(
    /// What it shows.
    label: &'static str,
    columns: Vec<Column>,
    children: Children,
) -> impl IntoView {
    let head = |column| match column {
        Column::Words(name) => view! { <th scope="col">{name}</th> }.into_any(),
        Column::Numbers(name) => view! { <th scope="col" class="number">{name}</th> }.into_any(),
    };
    view! {
        <div class="table" tabindex="0" role="group" aria-label=label>
            <table>
                <thead><tr>{columns.into_iter().map(head).collect_view()}</tr></thead>
                <tbody>{children()}</tbody>
            </table>
        </div>
    }
}
