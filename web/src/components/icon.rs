//! Icons, drawn for this project on a grid of 24.

use leptos::prelude::*;

/// What an icon means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glyph {
    Chat,
    Contribute,
    Network,
    Share,
    Settings,
    Send,
    Stop,
    New,
    Copy,
    Edit,
    List,
    Scan,
    Warning,
}

impl Glyph {
    const fn path(self) -> &'static str {
        match self {
            Self::Chat => "M4 5h16v11H11l-5 4v-4H4z",
            Self::Contribute => "M4 8h16v12H4zM12 3v11M8 10l4 4 4-4",
            Self::Network => "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM17 14v6M14 17h6",
            Self::Share => "M12 15V3M7.5 7.5 12 3l4.5 4.5M5 12v8h14v-8",
            Self::Settings => "M4 7h9M19 7h1M16 4.5v5M4 17h1M11 17h9M8 14.5v5",
            Self::Send => "M12 20V5M5.5 11.5 12 5l6.5 6.5",
            Self::Stop => "M7 7h10v10H7z",
            Self::New => "M12 5v14M5 12h14",
            Self::Copy => "M9 9h11v11H9zM15 9V4H4v11h5",
            Self::Edit => "M4 20l1-5L16 4l4 4L9 19zM14 6l4 4",
            Self::List => "M4 6h16M4 12h16M4 18h10",
            Self::Scan => "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5M8 8h8v8H8z",
            Self::Warning => "M12 4 2.5 20h19zM12 10v5M12 17.2v.3",
        }
    }
}

/// A decoration beside words that say the same: hidden from screen readers.
#[component]
pub(crate) fn Icon(glyph: Glyph) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
            <path d=glyph.path()/>
        </svg>
    }
}

/// The mark of the project: a mosaic with one tile on its way to its place.
#[component]
pub(crate) fn Logo() -> impl IntoView {
    view! {
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
            <path class="logo-wall" d="M4 4h7v7H4zM12.5 4h7v7h-7zM4 12.5h7v7H4zM12.5 12.5h7v7h-7zM21 12.5h7v7h-7zM4 21h7v7H4zM12.5 21h7v7h-7zM21 21h7v7h-7z"/>
            <path class="logo-tile" d="M22.5 2.5h7v7h-7z"/>
        </svg>
    }
}
