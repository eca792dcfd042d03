//! The picture of the welcome page: the model as a mosaic, with the visitor's share in it.

use leptos::prelude::*;

const MOST: u32 = 168;
const WHEN_UNKNOWN: u32 = 96;
/// Stride that walks through all tiles in an order without pattern: prime, so that it shares no factor with a count.
const STRIDE: u64 = 7919;

/// `all` fragments, `mine` of them lit. Big models are drawn with fewer tiles.
#[component]
pub(crate) fn Mosaic(#[prop(into)] mine: Signal<u32>, all: Option<u32>) -> impl IntoView {
    let tiles = all.unwrap_or(WHEN_UNKNOWN).clamp(1, MOST);
    // A little wider than high.
    let columns = (f64::from(tiles) * 1.3).sqrt().ceil().clamp(4.0, 14.0) as u32;
    let rows = tiles.div_ceil(columns);
    let tile = move |index: u32| {
        let rank = rank(index, tiles);
        // Three tints, so that the wall looks laid by hand.
        let tint = ["a", "b", "c"][(u64::from(index) * STRIDE / 7 % 3) as usize];
        view! {
            <rect
                class=tint
                class:mine=move || rank < mine.get()
                x=index % columns * 10 + 1 y=index / columns * 10 + 1 width="8" height="8" rx="1.5"
            />
        }
    };
    view! {
        <svg class="mosaic" viewBox=format!("0 0 {} {}", columns * 10, rows * 10) aria-hidden="true">
            {(0..tiles).map(tile).collect_view()}
        </svg>
    }
}

/// When the tile lights up: a permutation of the tiles that starts near the middle.
fn rank(index: u32, tiles: u32) -> u32 {
    let (index, tiles) = (u64::from(index), u64::from(tiles));
    ((index + tiles - tiles * 2 / 5) * STRIDE % tiles) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lending_n_fragments_lights_n_tiles() {
        for tiles in [1, 9, 60, 112, MOST] {
            let mut ranks: Vec<u32> = (0..tiles).map(|index| rank(index, tiles)).collect();
            ranks.sort_unstable();
            assert_eq!(ranks, (0..tiles).collect::<Vec<_>>());
        }
    }
}
