//! Numbers over time, drawn and told.

use leptos::prelude::*;

use super::{Column, Table};

/// The drawing's own units; it is stretched to where it stands.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 64.0;

/// A line of values as a path, from left to right, `most` at the top. What was not measured is a gap.
fn line(values: &[Option<f64>], most: f64) -> String {
    let step = WIDTH / (values.len().saturating_sub(1)).max(1) as f64;
    let mut path = String::new();
    let mut drawn = false;
    for (place, value) in values.iter().enumerate() {
        let Some(value) = value else {
            drawn = false;
            continue;
        };
        let (x, y) = (
            place as f64 * step,
            HEIGHT - value / most.max(1e-9) * HEIGHT,
        );
        path += &format!("{}{x:.1} {y:.1}", if drawn { "L" } else { "M" });
        drawn = true;
    }
    path
}

/// Bars that stand for values, as a path.
fn bars(values: &[f64], most: f64) -> String {
    let step = WIDTH / values.len().max(1) as f64;
    let bar = |(place, value): (usize, &f64)| {
        let height = value / most.max(1e-9) * HEIGHT;
        let (x, y, width) = (place as f64 * step, HEIGHT - height, step * 0.8);
        format!("M{x:.1} {y:.1}h{width:.1}v{height:.1}h-{width:.1}z")
    };
    values.iter().enumerate().map(bar).collect()
}

fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

/// How one or two quantities went, with the last of each in words, which stand for the drawing where it is not seen.
#[component]
pub(crate) fn LineChart(
    title: &'static str,
    /// Name for tests.
    testid: &'static str,
    /// The values, one line each; the newest last.
    #[prop(into)]
    lines: Signal<Vec<Vec<Option<f64>>>>,
    /// The newest in words.
    #[prop(into)]
    words: Signal<String>,
    /// The highest value in words.
    highest: impl Fn(f64) -> String + Copy + Send + Sync + 'static,
) -> impl IntoView {
    let drawing = move || {
        lines.with(|lines| {
            let most = most(lines.iter().flatten().flatten().copied());
            let paths = lines.iter().enumerate().map(|(number, values)| {
                view! { <path class=format!("line-{number}") d=line(values, most)/> }
            });
            view! {
                <svg class="chart" viewBox=format!("0 -2 {WIDTH} {}", HEIGHT + 4.0) preserveAspectRatio="none" aria-hidden="true">
                    {paths.collect_view()}
                </svg>
                <span class="chart-most" aria-hidden="true">{(most > 0.0).then(|| highest(most))}</span>
            }
        })
    };
    view! {
        <figure class="chart-box" data-testid=testid>
            <figcaption><strong>{title}</strong><span>{words}</span></figcaption>
            {drawing}
        </figure>
    }
}

/// Days beside each other, and the same as a table.
#[component]
pub(crate) fn DayChart(
    title: &'static str,
    /// Of the columns of the table.
    heads: [&'static str; 2],
    /// A day in words, its value, and that in words.
    #[prop(into)]
    days: Signal<Vec<(String, f64, String)>>,
) -> impl IntoView {
    let drawing = move || {
        let days = days.get();
        let values: Vec<f64> = days.iter().map(|(_, value, _)| *value).collect();
        let most = most(values.iter().copied());
        let row = |(day, _, words): (String, f64, String)| {
            view! { <tr><th scope="row">{day}</th><td class="number">{words}</td></tr> }
        };
        let rows = days.into_iter().rev().map(row).collect_view();
        view! {
            <svg class="chart bars" viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" aria-hidden="true">
                <path d=bars(&values, most)/>
            </svg>
            <details>
                <summary>{title}</summary>
                <Table label=title columns=vec![Column::Words(heads[0]), Column::Numbers(heads[1])]>{rows}</Table>
            </details>
        }
    };
    view! { <div class="chart-box" data-testid="days">{drawing}</div> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_from_left_to_right_and_stops_where_nothing_was_measured() {
        let path = line(&[Some(0.0), Some(2.0), None, Some(1.0)], 2.0);
        assert_eq!(path, "M0.0 64.0L100.0 0.0M300.0 32.0");
        assert_eq!(line(&[], 0.0), "");
        assert!(line(&[Some(0.0), Some(0.0)], 0.0).ends_with("64.0"));
    }

    #[test]
    fn bars_stand_on_the_ground() {
        let path = bars(&[1.0, 2.0, 0.0], 2.0);
        assert_eq!(path.matches('M').count(), 3);
        assert!(path.starts_with("M0.0 32.0h80.0v32.0"), "{path}");
    }
}
