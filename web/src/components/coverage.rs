//! The fragments of the model, layer by layer: how many devices hold each.

use std::collections::{BTreeMap, HashSet};

use leptos::prelude::*;
use web_bridge::status::{Row, Status};

use super::{Column, Table};
use crate::{i18n::Text, state::ui};

/// Length of a cell's side in the drawing.
const CELL: u32 = 10;
/// Room between two layers.
const GAP: u32 = 3;
/// Cells beside each other at most; a layer with more takes several lines.
const WIDEST: u32 = 64;
/// And at least, so that a small model is no column of huge squares.
const NARROWEST: u32 = 16;

/// The things a cell can say, by shape as well as by colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Nobody,
    One,
    Few,
    Many,
    Mine,
}

impl Cell {
    const ALL: [Self; 5] = [Self::Nobody, Self::One, Self::Few, Self::Many, Self::Mine];

    const fn held(by: u8) -> Self {
        match by {
            0 => Self::Nobody,
            1 => Self::One,
            2..=4 => Self::Few,
            _ => Self::Many,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::One => "one",
            Self::Few => "few",
            Self::Many => "many",
            Self::Mine => "mine",
        }
    }

    /// Distance of the square from the border of its cell.
    const fn margin(self) -> f32 {
        match self {
            Self::One => 3.0,
            Self::Nobody => 1.75,
            Self::Few => 2.0,
            Self::Many | Self::Mine => 1.0,
        }
    }

    /// The square in the cell at this place, as a piece of path.
    fn square(self, (x, y): (u32, u32)) -> String {
        let side = CELL as f32 - 2.0 * self.margin();
        let (x, y) = (x as f32 + self.margin(), y as f32 + self.margin());
        format!("M{x} {y}h{side}v{side}h-{side}z")
    }
}

/// Where each fragment is drawn: layer below layer.
#[derive(Debug, Clone, Default, PartialEq)]
struct Places {
    cells: Vec<(u32, u32)>,
    width: u32,
    height: u32,
}

/// Puts fragments in their rows. Without knowing these, all are in one.
fn arrange(rows: &[Row], fragments: usize) -> Places {
    let mut members: BTreeMap<Row, Vec<usize>> = BTreeMap::new();
    for index in 0..fragments {
        let row = rows.get(index).copied().unwrap_or_default();
        members.entry(row).or_default().push(index);
    }
    let longest = members.values().map(Vec::len).max().unwrap_or(0) as u32;
    let columns = longest.clamp(NARROWEST, WIDEST);
    let mut places = Places {
        cells: vec![(0, 0); fragments],
        width: columns * CELL,
        height: 0,
    };
    for row in members.values() {
        for (number, index) in (0u32..).zip(row) {
            let (column, line) = (number % columns, number / columns);
            places.cells[*index] = (column * CELL, places.height + line * CELL);
        }
        places.height += (row.len() as u32).div_ceil(columns) * CELL + GAP;
    }
    places
}

/// One path per kind of cell: a model of 40,000 fragments stays five elements.
fn draw(replicas: &[u8], mine: &HashSet<u32>, places: &Places) -> [String; 5] {
    let mut paths = [const { String::new() }; 5];
    for ((index, &holders), place) in (0u32..).zip(replicas).zip(&places.cells) {
        let cell = match mine.contains(&index) {
            true => Cell::Mine,
            false => Cell::held(holders),
        };
        paths[cell as usize].push_str(&cell.square(*place));
    }
    paths
}

/// What a table says of a row: fragments, those that nobody holds, and the fewest and the most holders.
fn summary(rows: &[Row], replicas: &[u8]) -> BTreeMap<Row, (u32, u32, u8, u8)> {
    let mut summary = BTreeMap::new();
    for (index, &holders) in replicas.iter().enumerate() {
        let row = rows.get(index).copied().unwrap_or_default();
        let (all, nobody, fewest, most) = summary.entry(row).or_insert((0, 0, u8::MAX, 0));
        *all += 1;
        *nobody += u32::from(holders == 0);
        *fewest = holders.min(*fewest);
        *most = holders.max(*most);
    }
    summary
}

fn row_name(t: &Text, row: Row) -> String {
    match row {
        Row::Embedding => t.row_embedding.into(),
        Row::Layer(layer) => (t.row_layer)(layer),
        Row::Output => t.row_output.into(),
        Row::Other => t.row_other.into(),
    }
}

/// The picture with its legend, and the same in words and as a table.
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
    let places = Memo::new(move |_| {
        let fragments = seen.with(|(replicas, _)| replicas.len());
        ui.rows.with(|rows| arrange(rows, fragments))
    });
    let words = move || ui.status.with(|status| in_words(ui.t(), status));
    let grid = move || {
        seen.with(|(replicas, mine)| {
            places.with(|places| {
                let paths = draw(replicas, &mine.iter().copied().collect(), places);
                let shapes = Cell::ALL.map(|cell| view! { <path class=cell.class() d=paths[cell as usize].clone()/> });
                view! {
                    <svg class="coverage" viewBox=format!("0 0 {} {}", places.width, places.height.max(1)) aria-hidden="true">
                        {shapes.into_iter().collect_view()}
                    </svg>
                }
            })
        })
    };
    let table = move || {
        let summary = ui
            .rows
            .with(|rows| seen.with(|(replicas, _)| summary(rows, replicas)));
        let rows = summary
            .into_iter()
            .map(|(row, (all, nobody, fewest, most))| {
                let holders = if fewest == most {
                    most.to_string()
                } else {
                    format!("{fewest}–{most}")
                };
                view! {
                    <tr data-testid="coverage-row">
                        <th scope="row">{row_name(t, row)}</th>
                        <td class="number">{all}</td>
                        <td class="number">{nobody}</td>
                        <td class="number">{holders}</td>
                    </tr>
                }
            });
        rows.collect_view()
    };
    let legend = [
        (Cell::Nobody, t.legend_none),
        (Cell::One, t.legend_one),
        (Cell::Few, t.legend_few),
        (Cell::Many, t.legend_many),
        (Cell::Mine, t.legend_mine),
    ];
    let legend = legend.map(|(cell, name)| {
        view! {
            <li>
                <svg class="coverage" viewBox="0 0 10 10"><path class=cell.class() d=cell.square((0, 0))/></svg>
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
                <details data-testid="coverage-table">
                    <summary>{t.as_table}</summary>
                    <Table label=t.coverage_title columns=vec![
                        Column::Words(t.coverage_row),
                        Column::Numbers(t.coverage_fragments),
                        Column::Numbers(t.legend_none),
                        Column::Numbers(t.coverage_holders),
                    ]>{table}</Table>
                </details>
            </Show>
        </section>
    }
}

fn in_words(t: &Text, status: &Status) -> String {
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
        let places = arrange(&[], 5);
        let paths = draw(&[0, 1, 3, 9, 1], &HashSet::from([4]), &places);
        let squares = paths.map(|path| path.matches('M').count());
        assert_eq!(squares, [1, 1, 1, 1, 1]);
    }

    #[test]
    fn layers_stand_below_each_other_whatever_the_order_of_the_fragments() {
        let rows = [
            Row::Layer(1),
            Row::Embedding,
            Row::Layer(0),
            Row::Layer(1),
            Row::Output,
        ];
        let places = arrange(&rows, 5);
        let line = CELL + GAP;
        let expected = [
            (0, 2 * line),
            (0, 0),
            (0, line),
            (CELL, 2 * line),
            (0, 3 * line),
        ];
        assert_eq!(places.cells, expected);
        assert_eq!((places.width, places.height), (NARROWEST * CELL, 4 * line));
        // What does not fit in a line goes on in the next.
        let places = arrange(&[Row::Layer(0); 70], 70);
        assert_eq!(places.cells[64], (0, CELL));
        assert_eq!(places.height, 2 * CELL + GAP);
        let told = summary(&rows, &[0, 3, 1, 2, 1]);
        assert_eq!(told[&Row::Layer(1)], (2, 1, 0, 2));
        assert_eq!(told.len(), 4);
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
