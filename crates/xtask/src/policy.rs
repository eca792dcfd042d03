//! What a dependency must be: from crates.io, under a licence that lets everybody use the whole as they like.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::shell::Shell;

/// Permissive licences, and two that only bind those who change the very files they cover (MPL) or data (CDLA).
const LICENCES: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Zlib",
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks every package of the lock file, those for other platforms and for tests too.
pub(crate) fn check(shell: &Shell) -> Result<()> {
    let output = shell
        .cargo(&["metadata", "--locked", "--format-version", "1"])
        .output()?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let complaints: Vec<String> = packages.iter().filter_map(complaint).collect();
    ensure!(
        complaints.is_empty(),
        "dependencies against the project's policy:\n      {}",
        complaints.join("\n      ")
    );
    println!("      {} packages", packages.len());
    Ok(())
}

fn complaint(package: &Value) -> Option<String> {
    let text = |key: &str| package[key].as_str();
    let name = format!("{} {}", text("name")?, text("version")?);
    if text("source").is_some_and(|source| source != CRATES_IO) {
        return Some(format!("{name} is not from crates.io"));
    }
    match text("license") {
        Some(licence) if is_allowed(licence) => None,
        Some(licence) => Some(format!("{name} has the licence {licence}")),
        None => Some(format!("{name} names no licence")),
    }
}

/// Whether an SPDX expression leaves a choice that is allowed.
fn is_allowed(expression: &str) -> bool {
    // The old way to write "or" has no precedence to care about.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words) -> bool {
    let mut allowed = all_of(words);
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all_of(words);
    }
    allowed
}

fn all_of(words: &mut Words) -> bool {
    let mut allowed = one(words);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut Words) -> bool {
    if words.next_if_eq(&"(").is_some() {
        return any_of(words) & words.next_if_eq(&")").is_some();
    }
    let mut name = words.next().unwrap_or_default().to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next().unwrap_or_default());
    }
    LICENCES.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_choice_is_enough() {
        assert!(is_allowed("MIT/GPL-3.0"));
        assert!(is_allowed("GPL-3.0 OR Apache-2.0 WITH LLVM-exception"));
        assert!(is_allowed("(GPL-3.0 OR MIT) AND Unicode-3.0"));
    }

    #[test]
    fn every_obligation_counts() {
        assert!(!is_allowed("GPL-3.0"));
        assert!(!is_allowed("MIT AND GPL-3.0"));
        assert!(!is_allowed("(MIT OR Apache-2.0) AND GPL-3.0"));
        assert!(!is_allowed("(MIT OR Apache-2.0"));
        assert!(!is_allowed(""));
    }
}
