//! `docs/benchmarks.md`: each command replaces the part of it that is its own.

use std::fs;

use anyhow::Result;

use crate::paths;

const TITLE: &str = "# Benchmarks\n";

/// A part of the document that is about to be measured.
pub(super) struct Report {
    name: &'static str,
    command: &'static str,
    machine: String,
}

impl Report {
    /// Looks at the machine before the measurement does: how busy it was beside it is half of what the figures mean.
    pub(super) fn begin(name: &'static str, command: &'static str) -> Self {
        Self {
            name,
            command,
            machine: machine(),
        }
    }

    /// Replaces the part of the document, or adds it.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        let file = paths::root().join("docs/benchmarks.md");
        let document = fs::read_to_string(&file).unwrap_or_else(|_| TITLE.to_owned());
        let (command, machine) = (self.command, &self.machine);
        let text = format!("`{command}`, on {machine}:\n\n{}", text.trim_end());
        fs::create_dir_all(paths::root().join("docs"))?;
        fs::write(&file, replaced(&document, self.name, &text))?;
        println!("      written to {}", file.display());
        Ok(())
    }
}

/// The processor, as far as the system names it, and how many programs wanted it in the last minute.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map_or("?", |(_, value)| value.trim())
    };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "{} (family {}, model {}), {} cores, load average {} at the start",
        field("model name"),
        field("cpu family"),
        field("model\t"),
        std::thread::available_parallelism().map_or(1, usize::from),
        load.split(' ').next().unwrap_or("?"),
    )
}

fn replaced(document: &str, name: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {name}: written -->"),
        format!("<!-- {name}: end -->"),
    );
    let part = format!("{begin}\n{text}\n{end}");
    if let Some((before, rest)) = document.split_once(&begin)
        && let Some((_, after)) = rest.split_once(&end)
    {
        format!("{before}{part}{after}")
    } else {
        format!("{document}\n{part}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_replaced_and_what_is_around_it_stays() {
        let first = replaced("# Title\n\nWords.\n", "a", "old");
        let document = first + "\nMore words.\n";
        let again = replaced(&document, "a", "new");
        assert_eq!(again, document.replace("old", "new"));
    }
}
