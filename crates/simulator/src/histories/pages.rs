//! The study as people read it.

use super::study::Study;
use crate::Page;

impl Study {
    /// The study as a page.
    #[must_use]
    pub fn page(&self) -> Page {
        let mut page = Page::default();
        page.heading(1, "Histories made up at random");
        page.paragraph(
            "Made by `cargo xtask lab histories -- --write`; [swarm.md](../swarm.md#histories) says what is checked.",
        );
        let rows = [
            ("histories", self.histories),
            ("things made to happen", self.total.steps as u64),
            ("requests answered", self.total.answered as u64),
            ("fragments fetched", self.total.downloaded as u64),
            ("requests asked of another, too", self.total.asked_again),
            ("bans", self.total.banned as u64),
            ("cuts into two halves", self.total.cuts as u64),
            ("fragments taken up", self.total.taken_up as u64),
            ("fragments let go", self.total.let_go as u64),
            ("promises broken", self.broken.len() as u64),
        ];
        let rows = rows.map(|(what, count)| vec![what.to_owned(), count.to_string()]);
        page.table(["what", "how often"], rows);
        page
    }
}
