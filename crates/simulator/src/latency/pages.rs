//! The study as people read it.

use super::{CONDITIONS, Distance, study::Study};
use crate::{Model, Page, ReportError};

impl Study {
    /// The study as a page, with the figures beside it.
    ///
    /// # Errors
    /// If the figures cannot be written.
    pub fn page(&self, models: &[Model]) -> Result<Page, ReportError> {
        let mut page = Page::default();
        page.heading(1, "How long a token takes");
        page.paragraph(
            "Made by `cargo xtask lab latency -- --write`; [swarm.md](../swarm.md#how-long-a-token-takes) says how. \
             Seconds for one token as the planner of nodes predicts them, asked from a phone that holds nothing: with \
             one request after the other; with all of a step at once; with servers that run layers and hold what every \
             token needs of them; with the quickest of those who hold a fragment asked. In brackets how much each decision \
             saves. What the first plan estimated stands beside it.",
        );
        for model in models {
            page.heading(2, model.name);
            let header = [
                "nodes",
                "replicas",
                "between them",
                "one by one",
                "steps at once",
                "stages",
                "quickest",
                "waits",
                "hops",
                "first plan",
            ];
            let predicted = self.predicted.iter().filter(|it| it.model == model.name);
            let rows = predicted.map(|it| {
                let conditions = CONDITIONS
                    .iter()
                    .find(|conditions| conditions.name == it.conditions);
                let faster =
                    |before: f64, after: f64| format!("{after:.2} (÷{:.1})", before / after);
                vec![
                    it.nodes.to_string(),
                    format!("×{}", it.replicas),
                    conditions.map_or(String::new(), |it| match it.distance {
                        Distance::Between(shortest, longest) if shortest == longest => {
                            format!("{}, {shortest} ms", it.name)
                        }
                        Distance::Between(shortest, longest) => {
                            format!("{}, {shortest}–{longest} ms", it.name)
                        }
                        Distance::World => format!("{}, 20–420 ms", it.name),
                    }),
                    format!("{:.1}", it.one_by_one),
                    faster(it.one_by_one, it.steps_at_once),
                    faster(it.steps_at_once, it.stages),
                    faster(it.stages, it.quickest),
                    it.waits.to_string(),
                    it.hops.to_string(),
                    conditions.map_or(String::new(), |it| {
                        format!("{}–{}", it.estimate.0, it.estimate.1)
                    }),
                ]
            });
            page.table(header, rows);
        }
        page.figures("latency.csv", &self.predicted)?;
        Ok(page)
    }
}
