//! The fragments of the model as a grid: how many devices hold each.

use std::collections::HashSet;

use leptos::prelude::*;
use web_bridge::status::Status;

use crate::state::ui;

/// Length of a cell's side in the drawing.
const CELL: u32 = 10;

/// The four things a cell can say, by shape as well as by colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Nobody,
    One,
    Several,
    Mine,
}

impl Cell {
    const ALL: [Self; 4] = [Self::Nobody, Self::One, Self::Several, Self::Mine];

    const fn class(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::One => "one",
            Self::Several => "several",
            Self::Mine => "mine",
        }
    }

    /// Distance of the square from the border of its cell.
    const fn margin(self) -> f32 {
        match self {
            Self::One => 3.0,
            Self::Nobody => 1.75,
            Self::Several | Self::Mine => 1.0,
        }
    }

    /// The square in the cell at column `x`, row `y`, as a piece of path.
    fn square(self, x: u32, y: u32) -> String {
        let side = CELL as f32 - 2.0 * self.margin();
        let (x, y) = (
            (x * CELL) as f32 + self.margin(),
            (y * CELL) as f32 + self.margin(),
        );
        format!("M{x} {y}h{side}v{side}h-{side}z")
    }
}

/// One path per kind of cell: a model of 40,000 fragments stays four elements.
fn draw(replicas: &[u8], mine: &HashSet<u32>, columns: u32) -> [String; 4] {
    let mut paths = [const { String::new() }; 4];
    for (index, &holders) in (0u32..).zip(replicas) {
        let cell = match holders {
            _ if mine.contains(&index) => Cell::Mine,
            0 => Cell::Nobody,
            1 => Cell::One,
            _ => Cell::Several,
        };
        paths[cell as usize].push_str(&cell.square(index % columns, index / columns));
    }
    paths
}

/// A band rather than a square; cells stay at least as wide as a finger of pixels for small models.
fn columns(fragments: u32) -> u32 {
    (f64::from(fragments) * 2.4).sqrt().ceil().max(16.0) as u32
}

/// The grid with its legend, and the same in words.
#[component]
pub(crate) fn Coverage() -> impl IntoView {
    let ui = ui();
    let t = ui.t();
    // Status comes a few times a second; the drawing changes rarely.
    let seen = Memo::new(move |_| {
        ui.status.with(|status| {
            let mine: Vec<u32> = status.held.iter().map(|held| held.index).collect();
            (status.coverage.to_vec(), mine)
        })
    });
    let words = move || ui.status.with(|status| in_words(ui.t(), status));
    let grid = move || {
        seen.with(|(replicas, mine)| {
            let all = replicas.len() as u32;
            let columns = columns(all);
            let rows = all.div_ceil(columns).max(1);
            let paths = draw(replicas, &mine.iter().copied().collect(), columns);
            let shapes = Cell::ALL.map(|cell| view! { <path class=cell.class() d=paths[cell as usize].clone()/> });
            view! {
                <svg class="coverage" viewBox=format!("0 0 {} {}", columns * CELL, rows * CELL) aria-hidden="true">
                    {shapes.into_iter().collect_view()}
                </svg>
            }
        })
    };
    let legend = [
        (Cell::Nobody, t.legend_none),
        (Cell::One, t.legend_one),
        (Cell::Several, t.legend_more),
        (Cell::Mine, t.legend_mine),
    ];
    let legend = legend.map(|(cell, name)| {
        view! {
            <li>
                <svg class="coverage" viewBox="0 0 10 10"><path class=cell.class() d=cell.square(0, 0)/></svg>
                {name}
            </li>
        }
    });
    view! {
        <section class="panel" data-testid="coverage" aria-labelledby="coverage-title">
            <h3 id="coverage-title">{t.coverage_title}</h3>
            <p class="quiet" data-testid="coverage-text">{words}</p>
            <Show when=move || seen.with(|(replicas, _)| !replicas.is_empty())>
                {grid}
                <ul class="legend" aria-hidden="true">{legend.clone().into_iter().collect_view()}</ul>
            </Show>
        </section>
    }
}

fn in_words(t: &crate::i18n::Text, status: &Status) -> String {
    let all = status.coverage.len() as u32;
    if all == 0 {
        return t.coverage_unknown.into();
    }
    let held_by = |holders: u8| {
        status
            .coverage
            .iter()
            .filter(|&&replicas| replicas == holders)
            .count() as u32
    };
    let (nobody, one) = (held_by(0), held_by(1));
    let mut words = if nobody == 0 {
        (t.coverage_all)(all)
    } else {
        (t.coverage_missing)(nobody, all)
    };
    if one > 0 {
        words.push(' ');
        words.push_str(&(t.coverage_single)(one));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::ENGLISH;

    #[test]
    fn every_fragment_is_drawn_once() {
        let paths = draw(&[0, 1, 2, 9, 1], &HashSet::from([4]), 4);
        let squares = paths.map(|path| path.matches('M').count());
        assert_eq!(squares, [1, 1, 2, 1]);
    }

    #[test]
    fn the_grid_is_told_in_words() {
        let status = Status {
            coverage: vec![0, 1, 2].into(),
            ..Status::default()
        };
        let words = in_words(&ENGLISH, &status);
        assert_eq!(
            words,
            "1 of 3 fragments is held by nobody in sight. 1 fragment is held by one device only."
        );
    }
}
