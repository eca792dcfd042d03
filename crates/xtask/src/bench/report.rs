//! `docs/benchmarks.md`: each command replaces the part of it that is its own.

use std::fs;

use anyhow::Result;

use crate::paths;

const TITLE: &str = "# Benchmarks\n";

/// Replaces a part of the document, or adds it.
pub(super) fn write(name: &str, command: &str, text: &str) -> Result<()> {
    let file = paths::root().join("docs/benchmarks.md");
    let document = fs::read_to_string(&file).unwrap_or_else(|_| TITLE.to_owned());
    let text = format!("`{command}`, on {}:\n\n{}", machine(), text.trim_end());
    fs::create_dir_all(paths::root().join("docs"))?;
    fs::write(&file, replaced(&document, name, &text))?;
    println!("      written to {}", file.display());
    Ok(())
}

/// The processor, as far as the system names it.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map_or("?", |(_, value)| value.trim())
    };
    format!(
        "{} (family {}, model {}), {} cores",
        field("model name"),
        field("cpu family"),
        field("model\t"),
        std::thread::available_parallelism().map_or(1, usize::from)
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
