//! The study as people read it.

use super::study::{Cost, LOSSES, Mode, PlaceLost, Study, Survived};
use crate::{
    Model, Page, Population, ReportError,
    report::{Curve, Plot, percent},
};

impl Study {
    /// The study as a page, with the figures and the plots beside it.
    ///
    /// # Errors
    /// If a plot cannot be drawn.
    pub fn page(&self, models: &[Model]) -> Result<Page, ReportError> {
        let mut page = Page::default();
        page.heading(1, "What survives");
        page.paragraph(
            "Made by `cargo xtask lab survival -- --write`; [swarm.md](../swarm.md) says how and what follows \
             from it. The formula for nothing missing is (1 − loss^replicas)^fragments, multiplied over the classes of fragments, for as \
             many replicas as are wanted; for an answer it is that of what every token needs, for as many as there \
             were, unless more of the experts are lost on average than an answer can do without. Dots in the plots are \
             simulated, lines are the formula for the replicas that there were.",
        );
        for model in models {
            let (always_active, conditional) = model.classes();
            page.heading(2, model.name);
            page.paragraph(&format!(
                "{always_active} fragments that every token needs, {conditional} that some need."
            ));
            self.costs(&mut page, model);
            self.survived(&mut page, model);
            self.plots(&mut page, model)?;
            self.places_lost(&mut page, model);
        }
        page.figures("survival.csv", &self.survived)?;
        page.figures("survival-costs.csv", &self.costs)?;
        page.figures("survival-places.csv", &self.places)?;
        Ok(page)
    }

    fn costs(&self, page: &mut Page, model: &Model) {
        let row = |cost: &Cost| {
            vec![
                cost.mode.name().to_owned(),
                cost.population.to_string(),
                format!("×{}", cost.always_active),
                format!("×{}", cost.conditional),
                format!("{:.2} TB", cost.bytes as f64 / 1e12),
                cost.nodes.to_string(),
                format!("{:.1} %", cost.excess),
            ]
        };
        let costs = self.costs.iter().filter(|cost| cost.model == model.name);
        let header = [
            "wanted",
            "nodes",
            "always active",
            "conditional",
            "stored",
            "joined",
            "replicas too many",
        ];
        page.table(header, costs.map(row));
    }

    fn survived(&self, page: &mut Page, model: &Model) {
        type Read = fn(&Survived) -> f64;
        let kinds: [(&str, Read, Read); 2] = [
            ("Nothing is missing", |it| it.whole_formula, |it| it.whole),
            (
                "There is an answer",
                |it| it.usable_expected,
                |it| it.usable,
            ),
        ];
        let losses = LOSSES.map(|loss| format!("{:.0} % lost", 100.0 * loss));
        for (kind, formula, simulated) in kinds {
            page.paragraph(&format!("{kind}, formula / simulated:"));
            let header = ["wanted", "nodes"];
            let header = header.into_iter().map(str::to_owned);
            let rows = self.costs.iter().filter(|cost| cost.model == model.name);
            let rows = rows.map(|cost| {
                let of = self.survived.iter().filter(|it| it.is_of(cost));
                let cells =
                    of.map(|it| format!("{} / {}", percent(formula(it)), percent(simulated(it))));
                let begin = [cost.mode.name().to_owned(), cost.population.to_string()];
                begin.into_iter().chain(cells).collect()
            });
            page.table(header.chain(losses.clone()), rows);
        }
    }

    fn plots(&self, page: &mut Page, model: &Model) -> Result<(), ReportError> {
        type Read = fn(&Survived) -> f64;
        let kinds: [(&str, &str, Read, Read); 2] = [
            (
                "whole",
                "Nothing is missing",
                |it| it.whole_expected,
                |it| it.whole,
            ),
            (
                "usable",
                "There is an answer",
                |it| it.usable_expected,
                |it| it.usable,
            ),
        ];
        for (kind, title, expected, simulated) in kinds {
            let curve = |cost: &Cost| {
                let survived: Vec<_> = self.survived.iter().filter(|it| it.is_of(cost)).collect();
                let points = |read: Read| {
                    let points = survived.iter();
                    points
                        .map(|it| (100.0 * it.loss, 100.0 * read(it)))
                        .collect()
                };
                Curve {
                    name: format!("{}, {}", cost.mode.name(), cost.population),
                    line: points(expected),
                    dots: points(simulated),
                }
            };
            let shown = self.costs.iter().filter(|cost| {
                let presets = matches!(cost.mode, Mode::Three | Mode::Five);
                cost.model == model.name && presets == (cost.population == Population::OneEach)
            });
            page.plot(
                &format!("survival-{}-{kind}.svg", model.id),
                &Plot {
                    title: &format!("{title}: {}", model.name),
                    x: "nodes lost at once, %",
                    y: "probability, %",
                    x_max: 70.0,
                    y_max: 100.0,
                    curves: shown.map(curve).collect(),
                },
            )?;
        }
        Ok(())
    }

    fn places_lost(&self, page: &mut Page, model: &Model) {
        page.paragraph("When all nodes of one place go, with ×3:");
        let places = self.places.iter().filter(|it| it.model == model.name);
        let header = [
            "places",
            "lost together",
            "of them fatal",
            "most fragments lost",
        ];
        let row = |it: &PlaceLost| {
            let places = if it.places_known {
                "known"
            } else {
                "not known"
            };
            vec![
                places.to_owned(),
                format!("one {} of {}", it.what, it.places),
                it.fatal.to_string(),
                it.most_lost.to_string(),
            ]
        };
        page.table(header, places.map(row));
    }
}
