//! What an experiment leaves behind: a page of tables, figures to work with (CSV), and plots (SVG).

use std::{
    fmt::{self, Write as _},
    fs, io,
    path::{Path, PathBuf},
};

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use plotters::{
    coord::Shift,
    prelude::{
        ChartBuilder, Circle, DrawingArea, IntoDrawingArea, PathElement, SVGBackend,
        SeriesLabelPosition,
    },
    series::LineSeries,
    style::{BLACK, Color, Palette, Palette99, RGBColor, WHITE},
};
use serde::Serialize;

/// A report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Figures cannot be written as text.
    #[error("cannot write figures: {0}")]
    Csv(#[from] csv::Error),
    /// A plot cannot be drawn.
    #[error("cannot draw: {0}")]
    Plot(String),
}

/// A page in Markdown with the files beside it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Page {
    text: String,
    files: Vec<(String, Vec<u8>)>,
}

/// What is drawn against the same axes.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) x_max: f64,
    pub(crate) y_max: f64,
    pub(crate) curves: Vec<Curve>,
}

/// What is expected as a line, what came of it as dots.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) line: Vec<(f64, f64)>,
    pub(crate) dots: Vec<(f64, f64)>,
}

impl Page {
    /// Adds a heading.
    pub(crate) fn heading(&mut self, level: usize, text: &str) {
        self.paragraph(&format!("{} {text}", "#".repeat(level)));
    }

    /// Adds text.
    pub(crate) fn paragraph(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Adds a table.
    pub(crate) fn table(
        &mut self,
        header: impl IntoIterator<Item = impl Into<String>>,
        rows: impl IntoIterator<Item = Vec<String>>,
    ) {
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        table.set_header(header.into_iter().map(Into::<String>::into));
        table.add_rows(rows);
        self.paragraph(&table.trim_fmt());
    }

    /// Adds figures, as a file.
    pub(crate) fn figures(
        &mut self,
        name: &str,
        rows: impl IntoIterator<Item = impl Serialize>,
    ) -> Result<(), ReportError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in rows {
            writer.serialize(row)?;
        }
        let bytes = writer
            .into_inner()
            .map_err(|error| csv::Error::from(error.into_error()))?;
        self.files.push((name.to_owned(), bytes));
        Ok(())
    }

    /// Adds a plot, as a file that the page shows.
    pub(crate) fn plot(&mut self, name: &str, plot: &Plot<'_>) -> Result<(), ReportError> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (760, 420)).into_drawing_area();
            draw(&area, plot).map_err(|error| ReportError::Plot(error.to_string()))?;
        }
        svg.push('\n');
        self.paragraph(&format!("![{}]({name})", plot.title));
        self.files.push((name.to_owned(), svg.into_bytes()));
        Ok(())
    }

    /// The files beside the page, by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// Writes the page under this name into a folder, and the files beside it.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(), ReportError> {
        let write = |path: PathBuf, bytes: &[u8]| {
            fs::write(&path, bytes).map_err(|source| ReportError::Write { path, source })
        };
        fs::create_dir_all(folder).map_err(|source| ReportError::Write {
            path: folder.to_owned(),
            source,
        })?;
        for (file, bytes) in self.files() {
            write(folder.join(file), bytes)?;
        }
        write(folder.join(name), self.text.as_bytes())
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

type Drawn = Result<(), plotters::drawing::DrawingAreaErrorKind<io::Error>>;

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, plot: &Plot<'_>) -> Drawn {
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .caption(plot.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..plot.x_max, 0.0..plot.y_max)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(plot.x)
        .y_desc(plot.y)
        .label_style(("sans-serif", 13))
        .draw()?;
    for (number, curve) in plot.curves.iter().enumerate() {
        let (r, g, b) = Palette99::pick(number).to_rgba().rgb();
        let colour = RGBColor(r, g, b);
        chart
            .draw_series(LineSeries::new(
                curve.line.iter().copied(),
                colour.stroke_width(2),
            ))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(
            curve
                .dots
                .iter()
                .map(|dot| Circle::new(*dot, 4, colour.filled())),
        )?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .draw()?;
    area.present()
}

/// A share as people read it: never rounded to a certainty that it is not.
pub(crate) fn percent(share: f64) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match share {
        1.0 => write!(text, "100 %"),
        share if share > 0.999 => write!(text, "> 99.9 %"),
        0.0 => write!(text, "0 %"),
        share if share < 0.001 => write!(text, "< 0.1 %"),
        share => write!(text, "{:.1} %", 100.0 * share),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_certain_is_not_shown_as_certain() {
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.999_999), "> 99.9 %");
        assert_eq!(percent(0.5), "50.0 %");
        assert_eq!(percent(1e-9), "< 0.1 %");
        assert_eq!(percent(0.0), "0 %");
    }
}
