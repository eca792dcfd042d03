//! The service worker's list of files.
//!
//! The service worker is the only file of the
//! page that is not simply copied: it carries the names and digests of all others.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::paths;

const SCRIPT: &str = "service-worker.js";
const PLACE: &str = "/*FILES*/";
/// What only shops of applications show.
const SHOWN_ELSEWHERE: &str = "screenshots/";

/// Writes the service worker with the list of everything that has been built into this folder.
pub(crate) fn write(folder: &Path) -> Result<()> {
    let template = paths::root().join("service-worker").join(SCRIPT);
    let template = fs::read_to_string(&template)
        .with_context(|| format!("cannot read {}", template.display()))?;
    let files = list(folder)?;
    let script = fill(&template, &files)?;
    fs::write(folder.join(SCRIPT), script)?;
    println!("{SCRIPT}: {} files", files.len());
    Ok(())
}

/// Path and digest of every file that is served, in an order that does not depend on the machine.
fn list(root: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path
                .strip_prefix(root)?
                .to_string_lossy()
                .replace('\\', "/");
            if name != SCRIPT && !name.starts_with(SHOWN_ELSEWHERE) {
                files.push((name, hex(&Sha256::digest(fs::read(&path)?))));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fill(template: &str, files: &[(String, String)]) -> Result<String> {
    ensure!(
        template.matches(PLACE).count() == 1,
        "{SCRIPT} must say once where the list goes: {PLACE}"
    );
    ensure!(
        files.iter().any(|(name, _)| name == "index.html"),
        "Trunk has built no index.html"
    );
    let entries: Vec<String> = files
        .iter()
        .map(|(name, digest)| format!("\n  [{name:?}, {digest:?}]"))
        .collect();
    Ok(template.replace(PLACE, &format!("{},\n", entries.join(","))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_a_file_changes_the_script() {
        let page = |digest: &str| vec![("index.html".to_owned(), digest.to_owned())];
        let before = fill("const FILES = [/*FILES*/];", &page("aa")).unwrap();
        let after = fill("const FILES = [/*FILES*/];", &page("bb")).unwrap();
        assert_eq!(before, "const FILES = [\n  [\"index.html\", \"aa\"],\n];");
        assert_ne!(before, after);
    }

    #[test]
    fn a_script_that_lost_its_place_for_the_list_is_refused() {
        let page = [("index.html".to_owned(), String::new())];
        fill("const FILES = [];", &page).unwrap_err();
        fill("[/*FILES*/] [/*FILES*/]", &page).unwrap_err();
        fill("[/*FILES*/]", &[]).unwrap_err();
    }
}
