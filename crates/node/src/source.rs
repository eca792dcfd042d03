//! Models on this machine: a GGUF file, cut in memory, or a folder of fragments.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use fragments::{DEFAULT_FRAGMENT_SIZE, Fragment, Manifest};
use memmap2::Mmap;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Fragments by their index in the manifest, verified.
pub(crate) type Fragments = BTreeMap<u32, Arc<Fragment<Bytes>>>;

/// Which fragments to open.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// All; an error if one is missing.
    All,
    /// Those that are there.
    Present,
    /// These; an error if one is missing.
    Listed(BTreeSet<u32>),
}

/// A model on this machine.
pub(crate) struct Source {
    pub(crate) manifest: Manifest,
    pub(crate) fragments: Fragments,
}

impl Source {
    /// Opens a GGUF file or a folder of fragments, and verifies what is wanted of it.
    pub(crate) fn open(path: &Path, fragment_size: Option<u32>, wanted: &Wanted) -> Result<Self> {
        let kind = path.metadata().with_context(|| {
            format!(
                "cannot open {}: give a GGUF file or a folder made by `iap2p cut`",
                path.display()
            )
        })?;
        if kind.is_dir() {
            let manifest = fragments::read_manifest(path)?;
            if let Some(size) = fragment_size {
                ensure!(
                    size == manifest.fragment_size(),
                    "{} was cut with --fragment-size {}, not {size}",
                    path.display(),
                    manifest.fragment_size()
                );
            }
            let fragments = from_folder(path, &manifest, wanted)?;
            return Ok(Self {
                manifest,
                fragments,
            });
        }
        let read = || format!("cannot read {}", path.display());
        let files = fragments::model_paths(path).with_context(read)?;
        let map =
            |path: &PathBuf| map(path).with_context(|| format!("cannot read {}", path.display()));
        let files = files.iter().map(map).collect::<Result<Vec<_>>>()?;
        let files: Vec<&[u8]> = files.iter().map(|file| &file[..]).collect();
        let size = fragment_size.unwrap_or(DEFAULT_FRAGMENT_SIZE);
        let (manifest, cut) = fragments::cut_files_in_memory(&files, size)
            .with_context(|| format!("{} cannot be used as a model", path.display()))?;
        let mut fragments = Fragments::new();
        for index in wanted_indices(wanted, &manifest)? {
            if let Some((id, bytes)) = cut.get(index) {
                let fragment =
                    Fragment::open(bytes).with_context(|| format!("fragment {index} ({id})"))?;
                fragments.insert(index, Arc::new(fragment));
            }
        }
        Ok(Self {
            manifest,
            fragments,
        })
    }
}

/// Maps a file into memory.
pub(crate) fn map(path: &Path) -> std::io::Result<Bytes> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: nobody may shorten or change the file while it is mapped. Fragments are written once, under another name,
    // and renamed; this program never changes one. A model's file is the user's, who gains nothing by changing it while
    // it is read; every fragment was hashed before.
    let map = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}

fn wanted_indices(wanted: &Wanted, manifest: &Manifest) -> Result<Vec<u32>> {
    let count = manifest.fragment_ids().len() as u32;
    match wanted {
        Wanted::All | Wanted::Present => Ok((0..count).collect()),
        Wanted::Listed(list) => {
            if let Some(index) = list.iter().find(|index| **index >= count) {
                bail!("the model has no fragment {index}: it has {count}, counted from 0");
            }
            Ok(list.iter().copied().collect())
        }
    }
}

/// Opens fragments of a folder, on all cores.
fn from_folder(folder: &Path, manifest: &Manifest, wanted: &Wanted) -> Result<Fragments> {
    let indices = wanted_indices(wanted, manifest)?;
    let bytes = indices
        .iter()
        .map(|index| u64::from(manifest.plan().fragments[*index as usize].file_len))
        .sum();
    let bar = crate::progress::bytes_bar("verifying", bytes);
    let opened: Vec<_> = indices
        .into_par_iter()
        .map(|index| {
            let fragment = open_fragment(folder, manifest, index);
            bar.inc(manifest.plan().fragments[index as usize].file_len.into());
            (index, fragment)
        })
        .collect();
    bar.finish_and_clear();
    let mut fragments = Fragments::new();
    let mut missing = Vec::new();
    for (index, fragment) in opened {
        match fragment? {
            Some(fragment) => _ = fragments.insert(index, Arc::new(fragment)),
            None => missing.push(index),
        }
    }
    if let (Wanted::All | Wanted::Listed(_), Some(first)) = (wanted, missing.first()) {
        bail!(
            "{} lacks {} of the fragments wanted, first fragment {first} ({}); `iap2p verify {0}` lists all",
            folder.display(),
            missing.len(),
            manifest.fragment_ids()[*first as usize]
        );
    }
    Ok(fragments)
}

/// Opens and verifies one fragment of a folder; nothing if it is not there.
pub(crate) fn open_fragment(
    folder: &Path,
    manifest: &Manifest,
    index: u32,
) -> Result<Option<Fragment<Bytes>>> {
    let id = manifest.fragment_ids()[index as usize];
    let path = folder.join(format!("{id}.fragment"));
    let bytes = match map(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let fragment = manifest.open_fragment(index, bytes);
    let fragment =
        fragment.with_context(|| format!("fragment {index} in {} is damaged", folder.display()))?;
    Ok(Some(fragment))
}

/// Reads a list of fragments as people write it: `0-9,12`.
pub(crate) fn parse_list(text: &str) -> Result<BTreeSet<u32>> {
    let number = |text: &str| -> Result<u32> {
        text.trim().parse().with_context(|| {
            format!("{text:?} is no number of a fragment; write for example 0-9,12")
        })
    };
    let mut list = BTreeSet::new();
    for item in text.split(',').filter(|item| !item.trim().is_empty()) {
        let (first, last) = match item.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(item)?, number(item)?),
        };
        ensure!(first <= last, "{item:?} runs backwards");
        ensure!(
            last - first <= fragments::MAX_FRAGMENTS as u32,
            "{item:?} is longer than any model"
        );
        list.extend(first..=last);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_people_write_them() {
        let list = parse_list("0-2, 7,9-9").unwrap();
        assert_eq!(list.into_iter().collect::<Vec<_>>(), [0, 1, 2, 7, 9]);
        assert!(parse_list("").unwrap().is_empty());
        for wrong in ["3-1", "x", "1-", "0-4294967295"] {
            assert!(parse_list(wrong).is_err(), "{wrong}");
        }
    }
}
