//! The study as people read it.

use super::study::{Options, Study};
use crate::{Model, Page, ReportError, report::percent};

impl Study {
    /// The study as a page, with the figures beside it.
    ///
    /// # Errors
    /// If the figures cannot be written.
    pub fn page(&self, models: &[Model], options: &Options) -> Result<Page, ReportError> {
        let mut page = Page::default();
        page.heading(1, "What is left while nodes come and go");
        page.paragraph(&format!(
            "Made by `cargo xtask lab churn -- --write`; [swarm.md](../swarm.md#how-many-replicas) says how. After {} \
             hours it is looked for {}. A fragment is lost when nobody who is there has it. Whoever comes back after it was \
             missed comes with nothing, which is worse than it is: browsers and nodes keep what they had. What goes is the share of replicas that goes while one that is lost is replaced.",
            options.before, options.hours,
        ));
        for model in models {
            page.heading(2, model.name);
            let header = [
                "replicas",
                "nodes",
                "go in an hour",
                "wanted of what every token needs",
                "of which go",
                "lost",
                "wanted of experts",
                "of which go",
                "lost",
                "whole",
                "usable",
                "received per node and hour",
            ];
            let kept = self.kept.iter().filter(|it| it.model == model.name);
            let rows = kept.map(|it| {
                let goes = |share: f64| format!("{:.2} %", 100.0 * share);
                vec![
                    it.mode.name().to_owned(),
                    format!("{:.0}", it.nodes),
                    format!("{:.0}", it.went),
                    it.always_active.to_string(),
                    goes(it.always_active_loss),
                    it.always_active_lost.to_string(),
                    it.conditional.to_string(),
                    goes(it.conditional_loss),
                    it.conditional_lost.to_string(),
                    percent(it.whole),
                    percent(it.usable),
                    format!("{:.0} MB", it.received),
                ]
            });
            page.table(header, rows);
        }
        page.figures("churn.csv", &self.kept)?;
        Ok(page)
    }
}
