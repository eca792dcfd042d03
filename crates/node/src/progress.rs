//! Progress bars. They show on a terminal only.

use fragments::{Progress, Stage};
use indicatif::{ProgressBar, ProgressStyle};

/// A bar over bytes, for what takes long in the `fragments` crate.
#[derive(Default)]
pub(crate) struct Bar(Option<ProgressBar>);

impl Progress for Bar {
    fn begin(&mut self, stage: Stage, bytes: u64) {
        self.finish();
        let name = match stage {
            Stage::Cutting => "cutting",
            Stage::Hashing => "hashing",
            Stage::Verifying => "verifying",
            Stage::Joining => "joining",
            Stage::Checking => "checking",
        };
        self.0 = Some(bytes_bar(name, bytes));
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }
}

impl Bar {
    fn finish(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A bar that counts bytes.
pub(crate) fn bytes_bar(name: &'static str, bytes: u64) -> ProgressBar {
    const LOOK: &str = "{msg:>12} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let bar = ProgressBar::new(bytes).with_message(name);
    // The template is a constant; were it wrong, the plain bar would do.
    bar.set_style(
        ProgressStyle::with_template(LOOK).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}
