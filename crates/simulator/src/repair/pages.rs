//! The study as people read it.

use super::study::Study;
use crate::{Model, Page, ReportError};

impl Study {
    /// The study as a page, with the figures beside it.
    ///
    /// # Errors
    /// If the figures cannot be written.
    pub fn page(&self, models: &[Model]) -> Result<Page, ReportError> {
        let mut page = Page::default();
        page.heading(1, "How long repair takes");
        page.paragraph(
            "Made by `cargo xtask lab repair -- --write`; [swarm.md](../swarm.md#repair) says how. Times are from the \
             loss until so many of the fragments that lack replicas have all of them again; the first 90 s of each are \
             three missed heartbeats.",
        );
        for model in models {
            page.heading(2, model.name);
            let header = [
                "wanted",
                "nodes",
                "lost at once",
                "fragments lost",
                "lacking",
                "half repaired",
                "90 %",
                "all",
                "fetched for one missing",
                "received per node",
                "at most",
                "sent at most",
            ];
            let repaired = self.repaired.iter().filter(|it| it.model == model.name);
            let rows = repaired.map(|it| {
                let time = |seconds: Option<f64>| match seconds {
                    _ if it.lacking == 0 => "–".to_owned(),
                    None => "never".to_owned(),
                    Some(seconds) => format!("{:.1} min", seconds / 60.0),
                };
                vec![
                    format!("×{}", it.replicas),
                    it.nodes.to_string(),
                    format!("{:.0} %", 100.0 * it.loss),
                    it.lost.to_string(),
                    it.lacking.to_string(),
                    time(it.half),
                    time(it.nine_tenths),
                    time(it.all),
                    format!("{:.2}", it.fetched_for_missing),
                    format!("{:.0} MB", it.mean_received),
                    format!("{:.0} MB", it.most_received),
                    format!("{:.0} MB", it.most_sent),
                ]
            });
            page.table(header, rows);
        }
        page.figures("repair.csv", &self.repaired)?;
        Ok(page)
    }
}
